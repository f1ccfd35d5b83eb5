"""How many system calls programs make, counted from outside by perf or, where that is not possible, by strace."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional, Sequence

from demo import interruption

# How long a counter may take to attach, and to report.
ATTACH_SECONDS = 0.5
REPORT_SECONDS = 10.0


class SystemCalls:
    """Counts during the blocks of `counting`.

    perf counts in the kernel and disturbs little. strace stops the program at every call: it is slower then, and what
    is gathered into one call while it is waited for is not what it would be otherwise.
    """

    def __init__(self, directory: Path) -> None:
        self._report = directory / "system-calls"
        # What the last block counted; nothing where that was not possible.
        self.counted: Optional[float] = None
        # By what is counted; nothing where neither program is installed and may.
        self.tool = next((tool for tool in ("perf", "strace") if self._works(tool)), None)

    @contextmanager
    def counting(self, pids: Sequence[int]) -> Iterator[None]:
        self.counted = None
        if self.tool is None:
            yield
        else:
            with self._counting(self.tool, pids):
                yield

    @contextmanager
    def _counting(self, tool: str, pids: Sequence[int]) -> Iterator[None]:
        with interruption.held():
            self._report.unlink(missing_ok=True)
            counter = subprocess.Popen(
                self._command(tool, pids), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            time.sleep(ATTACH_SECONDS)
            yield
            counter.send_signal(signal.SIGINT)
            counter.wait(REPORT_SECONDS)
            parse = parse_perf if tool == "perf" else parse_strace
            self.counted = parse(self._report.read_text(encoding="utf-8"))
        except (subprocess.TimeoutExpired, FileNotFoundError):
            # Not counted this time.
            pass
        finally:
            if counter.poll() is None:
                counter.kill()
                counter.wait()

    def _works(self, tool: str) -> bool:
        """Whether a tool is installed and may count what a process of ours does."""
        if not shutil.which(tool):
            return False
        with interruption.held():
            sample = subprocess.Popen(["sleep", "30"], start_new_session=True)
        try:
            with self._counting(tool, [sample.pid]):
                # A stopped program that goes on makes a call.
                sample.send_signal(signal.SIGSTOP)
                sample.send_signal(signal.SIGCONT)
            return self.counted is not None
        finally:
            sample.kill()
            sample.wait()

    def _command(self, tool: str, pids: Sequence[int]) -> list[str]:
        if tool == "perf":
            return ["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-o", str(self._report),
                    "-p", ",".join(map(str, pids))]
        command = ["strace", "-c", "-f", "-o", str(self._report)]
        for pid in pids:
            command += ["-p", str(pid)]
        return command


def parse_perf(report: str) -> Optional[float]:
    """The count in what `perf stat -x ,` wrote; nothing where it says that it could not count."""
    found = re.search(r"^(\d+),[^,]*,raw_syscalls:sys_enter,", report, flags=re.MULTILINE)
    return float(found[1]) if found else None


def parse_strace(report: str) -> Optional[float]:
    """The sum of all calls in the table that `strace -c` wrote."""
    found = re.search(r"^\s*[\d.]+\s+[\d.]+\s+(?:\d+\s+)?(\d+)(?:\s+\d+)?\s+total$", report, flags=re.MULTILINE)
    return float(found[1]) if found else None

"""The programs of a run: started in process groups of their own, and ended by process id."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Optional, Sequence

from . import interruption
from .logs import Log
from .waiting import CheckFailed

# How long a program may take to stop when asked to, before it is killed.
STOP_SECONDS = 5.0


# prctl(2).
_PR_SET_PDEATHSIG = 1
# Looked up here: between fork and exec nothing may be loaded.
_prctl = getattr(ctypes.CDLL(None), "prctl", None)


def _end_with_parent() -> None:
    """Has the kernel kill a program when the thread that started it, the main one, is gone.

    Otherwise the agents of a run that was killed would go on, and disturb the next one. Other systems than Linux have
    no such thing.
    """
    if _prctl:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Program:
    """One running program. Its standard output and error are appended to one log file."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path, environment: Optional[dict[str, str]] = None):
        self.name = name
        self.log = Log(log)
        # Lines before this index are those of an earlier run of the same program.
        self.first_line = self.log.mark()
        self.ended_on_purpose = False
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                list(arguments), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                start_new_session=True, env=environment, preexec_fn=_end_with_parent,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_status(self) -> Optional[int]:
        """The exit status, negative for a signal, or nothing while the program runs."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        self.ended_on_purpose = True
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the program as a crash would, and returns when it is gone."""
        self.ended_on_purpose = True
        self._signal(signal.SIGKILL)
        self._process.wait()

    def wait(self, seconds: float) -> int:
        """Waits for the end and returns the exit status; a program that does not end in time is killed."""
        try:
            return self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self.kill()
            raise CheckFailed(f"{self.name} did not stop within its time and was killed") from None

    def has_leftovers(self) -> bool:
        """Whether any process of this program's group still exists."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _signal(self, number: int) -> None:
        if self._process.poll() is None:
            os.killpg(self.pid, number)

    def reset_peak_memory(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")

    def peak_memory(self) -> int:
        """The highest resident set size, in bytes, since the start or the last reset."""
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise CheckFailed(f"/proc/{self.pid}/status has no VmHWM")


class Processes:
    """Every program that was started, so that none is left behind."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._programs: list[Program] = []

    def start(self, name: str, arguments: Sequence[str], environment: Optional[dict[str, str]] = None) -> Program:
        with interruption.held():
            program = Program(name, arguments, self._logs / f"{name}.log", environment)
            self._programs.append(program)
        return program

    def stop(self, program: Program) -> int:
        program.ask_to_stop()
        return program.wait(STOP_SECONDS)

    def ended_unasked(self) -> list[Program]:
        return [p for p in self._programs if not p.ended_on_purpose and p.exit_status() is not None]

    def stop_all(self) -> list[str]:
        """Stops everything, last started first, and returns what went wrong with it."""
        problems = []
        running = [p for p in reversed(self._programs) if p.exit_status() is None]
        for program in running:
            program.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for program in running:
            try:
                status = program.wait(deadline - time.monotonic())
                if status != 0:
                    problems.append(f"{program.name} ended with status {status} when asked to stop")
            except CheckFailed as failure:
                problems.append(str(failure))
        problems += [f"{p.name} left a process behind" for p in self._programs if p.has_leftovers()]
        return problems

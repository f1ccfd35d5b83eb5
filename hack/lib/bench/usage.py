"""What a process has used: memory and processor time, as the kernel counts them."""

from __future__ import annotations

import os
import re
import time
import urllib.request
from pathlib import Path
from typing import Iterable

_TICKS = os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """MiB of resident memory now."""
    return _status(pid, "VmRSS")


def peak_resident(pid: int) -> float:
    """MiB of resident memory at most, since the start."""
    return _status(pid, "VmHWM")


def anonymous(pid: int) -> float:
    """MiB of resident memory now that no file stands behind: heap and stacks."""
    return _status(pid, "RssAnon")


def _status(pid: int, field: str) -> float:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(rf"^{field}:\s*(\d+) kB$", text, flags=re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def cpu_seconds(pid: int) -> float:
    """Processor time, user and system, of all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, children.read_text(encoding="ascii").split())
    return found


def precise_cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time of processes, in nanoseconds: that of all their threads, those that have ended included."""
    # The kernel's clock of another process, as clock_getcpuclockid(3) names it.
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids) / 1e9


class Metrics:
    """One reading of a program's /metrics."""

    def __init__(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            self._lines = answer.read().decode().splitlines()

    def sum(self, name: str, **labels: str) -> float:
        """The sum of the series of a name with these labels."""
        total = 0.0
        for line in self._lines:
            if re.match(rf"{name}[{{ ]", line) and all(f'{key}="{value}"' in line for key, value in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

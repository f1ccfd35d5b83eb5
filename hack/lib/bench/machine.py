"""What a benchmark ran on, without which its figures say nothing."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from demo.world import ROOT


def describe() -> dict[str, object]:
    return {
        "cpu": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": os.cpu_count(),
        "memory_mib": int((_field("/proc/meminfo", "MemTotal") or "0").split()[0]) // 1024,
        "kernel": platform.release(),
        "load_average": os.getloadavg()[0],
        "commit": _commit(),
    }


def _field(file: str, name: str) -> str:
    found = re.search(rf"^{name}\s*:\s*(.*)$", Path(file).read_text(encoding="ascii"), flags=re.MULTILINE)
    return found[1].strip() if found else ""


def _commit() -> str:
    """The commit that is checked out, with `+` where files differ from it."""
    try:
        commit = _git("rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True).stdout.strip()

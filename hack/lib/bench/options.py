"""What a person may ask of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional


@dataclass(frozen=True)
class BenchOptions:
    """Those of all benchmarks; each looks at its own."""

    name: str
    binaries: Path
    existing_kubeconfig: Optional[Path] = None
    # The controller's: Ingresses, seconds of changes, and changes a second.
    objects: int = 10_000
    duration: float = 60.0
    rate: float = 100.0
    # The others': how often everything is measured, for how many seconds each time, and what (everything if empty).
    rounds: int = 3
    seconds: float = 5.0
    only: tuple[str, ...] = ()

"""What a person may ask of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional


@dataclass(frozen=True)
class BenchOptions:
    name: str
    binaries: Path
    existing_kubeconfig: Optional[Path]
    objects: int
    # Seconds of changes, and changes a second.
    duration: float
    rate: float

"""One case: something that a client does through the gateway, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from .world import ThroughWorld


class Skipped(Exception):
    """This cannot be tried here; the text says why."""


@dataclass(frozen=True)
class Case:
    """What it shows is its name; `play` raises `CheckFailed` where that does not hold, and `Skipped`."""

    name: str
    play: Callable[[ThroughWorld], None]


def case(play: Callable[[ThroughWorld], None]) -> Case:
    """The function's name is the case's."""
    return Case(play.__name__.replace("_", "-").strip("-"), play)

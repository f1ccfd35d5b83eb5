"""Waiting for conditions, with bounds."""

from __future__ import annotations

import time
from typing import Callable, Optional, TypeVar

T = TypeVar("T")


class CheckFailed(Exception):
    """Something that must hold does not; the text says what, and what was seen instead."""


def expect(condition: object, message: str) -> None:
    if not condition:
        raise CheckFailed(message)


def expect_equal(actual: object, expected: object, what: str) -> None:
    if actual != expected:
        raise CheckFailed(f"{what}: expected {expected!r}, got {actual!r}")


def wait_until(what: str, seconds: float, condition: Callable[[], Optional[T]], pause: float = 0.01) -> T:
    """Returns the first true value of `condition`; a `CheckFailed` that it raises is the reason to go on waiting."""
    deadline = time.monotonic() + seconds
    reason = ""
    while True:
        try:
            value = condition()
            if value:
                return value
        except CheckFailed as failure:
            reason = f"; last seen: {failure}"
        if time.monotonic() >= deadline:
            raise CheckFailed(f"{what}: not within {seconds:g} s{reason}")
        time.sleep(pause)

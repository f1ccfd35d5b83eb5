"""What ends a run early: signals and the time limit, and how to keep them out where they would do harm."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import Iterator, Optional


class TimeIsUp(BaseException):
    """The time limit; not an `Exception`, so that no scenario takes it for a failure of its own."""


class Interrupted(BaseException):
    """SIGINT or SIGTERM."""


class _State:
    """Signal handlers run between any two steps of the main thread; this is what they and it share."""

    held = False
    pending: Optional[BaseException] = None


def install() -> None:
    """From here on SIGINT and SIGTERM raise `Interrupted` in the main thread, and the time limit `TimeIsUp`."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _raise(Interrupted()))
    signal.signal(signal.SIGALRM, lambda *_: _raise(TimeIsUp()))


def ignore_signals() -> None:
    """From here on only cleaning up is left, and no signal interrupts it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _raise(reason: BaseException) -> None:
    if _State.held:
        _State.pending = reason
    else:
        raise reason


@contextmanager
def held() -> Iterator[None]:
    """What comes within the block is raised at its end: a program that was started must have been noted."""
    _State.held = True
    try:
        yield
    finally:
        _State.held = False
        pending, _State.pending = _State.pending, None
        if pending:
            raise pending


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)

"""What running cases takes, whichever they are: choosing them by name, one run at a time, and ending in time."""

from __future__ import annotations

import argparse
import fnmatch
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Iterable, Iterator, Mapping, Optional, Protocol, Sequence, TypeVar

from demo import interruption
from demo.__main__ import try_lock
from demo.cluster import ApiError
from demo.waiting import CheckFailed


# What all of them run.
PROGRAMS = ("devcluster", "pipeops-gateway", "pipeops-agent")


class Named(Protocol):
    @property
    def name(self) -> str: ...


C = TypeVar("C", bound=Named)


def choose(groups: Mapping[str, Sequence[C]], pattern: Optional[str]) -> dict[str, list[C]]:
    """Of every group the cases whose names, or whose group's, contain the pattern, in which * and ? are wildcards."""
    return {
        title: [case for case in cases if pattern is None or any(
            fnmatch.fnmatchcase(text, f"*{pattern}*") for text in (title, case.name))]
        for title, cases in groups.items()
    }


def print_names(groups: Mapping[str, Sequence[C]]) -> None:
    for title, cases in groups.items():
        print(title, *(f"  {case.name}" for case in cases), sep="\n")


def require_programs(parser: argparse.ArgumentParser, binaries: Optional[Path], programs: Iterable[str]) -> None:
    """Ends this program where one that is to run has not been built."""
    for program in programs:
        if not binaries or not (binaries / program).is_file():
            parser.error(f"{program} is not built; run without --no-build")


@contextmanager
def alone(directory: Path, name: str) -> Iterator[None]:
    """Ends this program where another one runs the same in a directory; signals end what is within in good order."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w", encoding="ascii") as lock:
        if not try_lock(lock):
            print(f"error: another {name} is running in this directory; end it first.", file=sys.stderr)
            sys.exit(1)
        interruption.install()
        yield


@contextmanager
def bounded(seconds: float, problems: list[str]) -> Iterator[None]:
    """What keeps the cases from running to their end is added to the problems; cleaning up is left to the caller."""
    try:
        with interruption.time_limit(seconds):
            yield
    except interruption.TimeIsUp:
        problems.append(f"not done after {seconds:g} s; the remaining cases did not run")
    except interruption.Interrupted:
        problems.append("interrupted; the remaining cases did not run")
    except (CheckFailed, ApiError, RuntimeError) as failure:
        problems.append(str(failure))
    finally:
        interruption.ignore_signals()

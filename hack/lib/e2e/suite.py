"""The checks by name, and choosing among them."""

from __future__ import annotations

import fnmatch
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Callable, Optional, Sequence

from .world import E2EWorld

# A check takes the running whole, raises `CheckFailed` where it is not as it must be, `Skipped` where it cannot be
# done, and returns what it measured. The first line of its documentation is its title.
CheckFunction = Callable[[E2EWorld], str]
Surroundings = Callable[[E2EWorld], AbstractContextManager[object]]


@dataclass(frozen=True)
class Check:
    name: str
    run: CheckFunction

    @property
    def title(self) -> str:
        return (self.run.__doc__ or "").splitlines()[0].rstrip(".")


@dataclass(frozen=True)
class Group:
    """Checks that run in one order and, where they need it, in surroundings of their own."""

    name: str
    functions: Sequence[CheckFunction]
    surroundings: Surroundings = field(default=lambda _: nullcontext())

    def checks(self, pattern: Optional[str] = None) -> list[Check]:
        every = [Check(f"{self.name}.{function.__name__}", function) for function in self.functions]
        return [check for check in every if matches(check.name, pattern)]


def matches(name: str, pattern: Optional[str]) -> bool:
    """Whether a name contains the pattern, in which * and ? are wildcards."""
    return pattern is None or fnmatch.fnmatchcase(name, f"*{pattern}*")

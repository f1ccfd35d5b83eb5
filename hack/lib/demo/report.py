"""Running scenarios and saying how they went."""

from __future__ import annotations

import time
import traceback
from typing import Callable

from .waiting import CheckFailed
from .world import World

# A scenario takes the running whole, raises `CheckFailed` where it is not as it must be, and returns what it measured.
# The first line of its documentation is its title.
Scenario = Callable[[World], str]


class Report:
    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def run(self, scenario: Scenario, world: World) -> None:
        """Runs one scenario and prints its line. A failed one does not keep the others from running."""
        title = (scenario.__doc__ or scenario.__name__).splitlines()[0].rstrip(".")
        started = time.monotonic()
        try:
            measured = scenario(world)
            self._expect_all_running(world)
        except CheckFailed as failure:
            self.fail(title, str(failure))
        except Exception:  # pylint: disable=broad-except
            # A scenario that trips over the unexpected has failed too; where it did is what helps most.
            self.fail(title, traceback.format_exc().strip())
        else:
            self.passed += 1
            seconds = time.monotonic() - started
            print(f"PASS  {title}{f': {measured}' if measured else ''} ({seconds:.1f} s)", flush=True)

    def fail(self, title: str, reason: str) -> None:
        self.failed += 1
        indented = reason.replace("\n", "\n      ")
        print(f"FAIL  {title}\n      {indented}", flush=True)

    @staticmethod
    def _expect_all_running(world: World) -> None:
        ended = world.processes.ended_unasked()
        for program in ended:
            program.ended_on_purpose = True
        if ended:
            raise CheckFailed("; ".join(f"{p.name} ended by itself:\n{p.log.tail(5)}" for p in ended))

    def conclude(self, title: str, problems: list[str]) -> None:
        """A last line about something that was checked outside a scenario."""
        if problems:
            self.fail(title, "\n".join(problems))
        else:
            self.passed += 1
            print(f"PASS  {title}", flush=True)

    def print_total(self, seconds: float) -> None:
        print(f"\nhack/demo --check took {seconds:.1f} s", flush=True)
        print(f"{self.passed} passed, {self.failed} failed", flush=True)

"""Running checks, one line each, and the same as JSON."""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

from demo import interruption
from demo.cluster import ApiError
from demo.waiting import CheckFailed

from .world import E2EWorld, Skipped
from .suite import Check

# A check that hangs is ended, and fails; no working one takes half as long.
CHECK_SECONDS = 120
PRINTED_CHARACTERS = 600


@dataclass
class Result:
    name: str
    title: str
    result: str
    seconds: float
    detail: str


class Report:
    def __init__(self) -> None:
        self.results: list[Result] = []

    @property
    def failed(self) -> int:
        return self._count("FAIL")

    def run(self, check: Check, world: E2EWorld) -> None:
        """Runs one check and prints its line. A failed one does not keep the others from running."""
        started = time.monotonic()
        result, detail = "ok", ""
        try:
            with interruption.time_limit(CHECK_SECONDS):
                detail = check.run(world)
            _expect_all_running(world)
        except Skipped as reason:
            result, detail = "skip", str(reason)
        except interruption.TimeIsUp:
            result, detail = "FAIL", f"not done after {CHECK_SECONDS} s"
        except (CheckFailed, ApiError) as failure:
            result, detail = "FAIL", str(failure)
        except Exception:  # pylint: disable=broad-except
            # A check that trips over the unexpected has failed too; where it did is what helps most.
            result, detail = "FAIL", traceback.format_exc().strip()
        self.note(Result(check.name, check.title, result, time.monotonic() - started, detail))

    def conclude(self, name: str, title: str, problems: list[str], seconds: float) -> None:
        """A line about something that was checked outside a check."""
        self.note(Result(name, title, "FAIL" if problems else "ok", seconds, "; ".join(problems)))

    def note(self, result: Result) -> None:
        self.results.append(result)
        line = f"{result.result:<4}  {result.name} ({result.seconds:.1f} s)"
        print(f"{line}  {result.title}", flush=True)
        if result.detail:
            lines = [_shortened(line) for line in result.detail.splitlines()]
            print("\n".join(f"      {line}" for line in lines), flush=True)

    def print_total(self, seconds: float) -> None:
        counts = f"{self._count('ok')} ok, {self.failed} failed, {self._count('skip')} skipped"
        print(f"\n{counts} in {seconds:.0f} s", flush=True)

    def write(self, path: Path, facts: dict[str, str], seconds: float) -> None:
        document = {
            **facts, "seconds": round(seconds, 1), "ok": self._count("ok"), "failed": self.failed,
            "skipped": self._count("skip"),
            "checks": [{**asdict(result), "seconds": round(result.seconds, 3)} for result in self.results],
        }
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    def _count(self, result: str) -> int:
        return sum(1 for entry in self.results if entry.result == result)


def _shortened(line: str) -> str:
    """What a person reads; all of it is in the JSON report."""
    return line if len(line) <= PRINTED_CHARACTERS else f"{line[:PRINTED_CHARACTERS]} …"


def _expect_all_running(world: E2EWorld) -> None:
    ended = world.processes.ended_unasked()
    for program in ended:
        program.ended_on_purpose = True
    if ended:
        raise CheckFailed("; ".join(f"{p.name} ended by itself:\n{p.log.tail(5)}" for p in ended))

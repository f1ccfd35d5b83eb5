"""What `hack/conformance http` runs when the programs are built."""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from typing import Optional

from demo.waiting import CheckFailed
from demo.world import ROOT

from ..running import PROGRAMS, alone, bounded, choose, print_names, require_programs
from .case import Case, Stage
from .connection import shown
from .differential import COUNT, Differential, Difference
from .groups import GROUPS
from .message import Malformed
from .page import GroupResult, page, table
from .world import WireWorld

PAGE = ROOT / "docs" / "http-conformance.md"
# The whole takes less than two minutes; so long for the cases, and the rest for cleaning up.
SECONDS = 105


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/conformance http")
    parser.add_argument("--binaries", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--only", metavar="PATTERN", help="the cases whose names, or groups, contain this; * and ? are wildcards")
    parser.add_argument("--list", action="store_true", help="print the names of the cases, and run none")
    parser.add_argument("--seed", type=int, help="of the generated requests; another one each time unless given")
    arguments = parser.parse_args()
    chosen = choose(GROUPS, arguments.only)
    if arguments.list:
        print_names(chosen)
        return 0
    if not any(chosen.values()):
        parser.error(f"no case has a name like {arguments.only!r}; --list prints them")
    require_programs(parser, arguments.binaries, PROGRAMS)
    seed = random.SystemRandom().randrange(1 << 32) if arguments.seed is None else arguments.seed
    directory = ROOT / ".conformance"
    with alone(directory, "hack/conformance http"):
        return run(WireWorld(arguments.binaries, directory), chosen, arguments.only, seed)


def run(world: WireWorld, chosen: dict[str, list[Case]], only: Optional[str], seed: int) -> int:
    started = time.monotonic()
    results: list[GroupResult] = []
    differences: list[Difference] = []
    problems: list[str] = []
    count = 0
    with bounded(SECONDS, problems):
        stage = world.open_stage()
        for title, cases in chosen.items():
            if cases:
                results.append(run_group(title, cases, stage))
        if only is None:
            count = COUNT
            differences = Differential(stage, stage.recorder.address).run(seed, count)
    problems += [f"{program.name} ended by itself" for program in world.processes.ended_unasked()]
    problems += world.processes.stop_all()
    failed = show(results, differences, seed, count) or bool(problems)
    for problem in problems:
        print(f"error: {problem}")
    print(f"{time.monotonic() - started:.0f} s. Logs: {world.workspace.logs}", flush=True)
    if only is None and not problems:
        PAGE.write_text(page(results, count, len(differences)), encoding="utf-8")
        print(f"Written to {PAGE.relative_to(ROOT)}")
    return 1 if failed else 0


def run_group(title: str, cases: list[Case], stage: Stage) -> GroupResult:
    result = GroupResult(title)
    for case in cases:
        result.names.append(case.name)
        try:
            case.play(stage)
        except (CheckFailed, Malformed, OSError) as failure:
            result.failures[case.name] = str(failure) or repr(failure)
        finally:
            stage.end()
    return result


def show(results: list[GroupResult], differences: list[Difference], seed: int, count: int) -> bool:
    """Prints the table and what failed, with the bytes; returns whether anything did."""
    failures = [(name, detail) for result in results for name, detail in result.failures.items()]
    for name, detail in failures:
        print(f"FAILED {name}: {detail}")
    for difference in differences:
        print(f"FAILED generated request {difference.number} of --seed {seed}:")
        print(f"    sent {shown(difference.sent)}\n    {difference.detail}")
    print("\n".join(table(results)))
    if count:
        print(f"{count} generated requests (seed {seed}): {len(differences)} differ")
    return bool(failures or differences)


if __name__ == "__main__":
    sys.exit(main())

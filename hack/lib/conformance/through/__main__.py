"""What `hack/conformance websocket`, `browser` and `clients` run when the programs are built."""

from __future__ import annotations

import argparse
import importlib.metadata
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from demo.world import ROOT

from ..running import PROGRAMS, alone, bounded, choose, print_names, require_programs
from . import autobahn, browser, curl, loads, sockets
from .case import Case, Skipped
from .results import GroupResult, section, table, with_section
from .world import APPLICATION, ECHO, LOAD, SOCKETS, ThroughWorld

PAGE = ROOT / "docs" / "client-conformance.md"


@dataclass(frozen=True)
class Suite:
    title: str
    groups: dict[str, list[Case]]
    # Names and versions of what was run.
    clients: Callable[[], str]
    # The longest that all of it may take.
    seconds: float
    applications: tuple[str, ...]
    programs: tuple[str, ...] = PROGRAMS


def packages(*names: str) -> str:
    return " and ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def commands(*names: str) -> str:
    """The first line that each says about its version."""
    found = []
    for name in names:
        done = subprocess.run(
            [name, "-v" if name == "wrk" else "--version"], capture_output=True, text=True, timeout=10, check=False)
        words = (done.stdout or done.stderr).split()
        found.append(" ".join(words[:2]))
    return ", ".join(found)


SUITES = {
    "websocket": Suite(
        "WebSocket", {module.TITLE: module.CASES for module in (autobahn, sockets)},
        lambda: packages("kosoku", "websockets"), 180, (APPLICATION, SOCKETS, ECHO), (*PROGRAMS, "websocket-echo")),
    "browser": Suite("Browser", {browser.TITLE: browser.CASES}, browser.version, 120, (APPLICATION, SOCKETS)),
    "clients": Suite(
        "Command-line clients", {module.TITLE: module.CASES for module in (curl, loads)},
        lambda: commands("curl", "wrk", "h2load", "nghttp"), 180, (APPLICATION, LOAD)),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/conformance")
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--binaries", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--only", metavar="PATTERN", help="the cases whose names, or groups, contain this; * and ? are wildcards")
    parser.add_argument("--list", action="store_true", help="print the names of the cases, and run none")
    arguments = parser.parse_args()
    suite = SUITES[arguments.suite]
    chosen = choose(suite.groups, arguments.only)
    if arguments.list:
        print_names(chosen)
        return 0
    if not any(chosen.values()):
        parser.error(f"no case has a name like {arguments.only!r}; --list prints them")
    require_programs(parser, arguments.binaries, suite.programs)
    directory = ROOT / ".conformance" / arguments.suite
    with alone(directory, f"hack/conformance {arguments.suite}"):
        return run(ThroughWorld(arguments.binaries, directory), suite, chosen, is_all=arguments.only is None)


def run(world: ThroughWorld, suite: Suite, chosen: dict[str, list[Case]], is_all: bool) -> int:
    started = time.monotonic()
    results: list[GroupResult] = []
    problems: list[str] = []
    with bounded(suite.seconds, problems):
        world.open(*suite.applications)
        for title, cases in chosen.items():
            if cases:
                results.append(run_group(title, cases, world))
    problems += world.end()
    for result in results:
        for name, reason in result.failures.items():
            print(f"FAILED {name}: {reason}")
        for name, reason in result.skipped.items():
            print(f"SKIPPED {name}: {reason}")
    print("\n".join(table(results)))
    for problem in problems:
        print(f"error: {problem}")
    print(f"{time.monotonic() - started:.0f} s. Logs: {world.workspace.logs}", flush=True)
    if is_all and not problems:
        page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
        text = section(suite.title, suite.clients(), results)
        PAGE.write_text(
            with_section(page, [one.title for one in SUITES.values()], suite.title, text), encoding="utf-8")
        print(f"Written to {PAGE.relative_to(ROOT)}")
    return 1 if problems or any(result.failures for result in results) else 0


def run_group(title: str, cases: list[Case], world: ThroughWorld) -> GroupResult:
    result = GroupResult(title)
    for case in cases:
        result.names.append(case.name)
        try:
            case.play(world)
        except Skipped as reason:
            result.skipped[case.name] = str(reason)
        # Libraries fail in their own ways: whatever it is, the others run all the same.
        except Exception as failure:
            result.failures[case.name] = str(failure) or repr(failure)
    return result


if __name__ == "__main__":
    sys.exit(main())

"""What `hack/e2e` runs when the programs are built."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Optional

from demo import interruption
from demo.__main__ import try_lock
from demo.cluster import ApiError
from demo.kubeconfig import KubeconfigError
from demo.waiting import CheckFailed
from demo.world import ROOT, Options

from .report import Report
from .scenarios import GROUPS
from .world import E2EWorld

# Every object is deleted one by one, in a cluster that may be far away.
CLEAN_UP_SECONDS = 120


def main() -> int:
    arguments = parse_arguments()
    if arguments.list:
        for group in GROUPS:
            for check in group.checks(arguments.only):
                print(f"{check.name}  {check.title}")
        return 0
    directory = arguments.directory
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w", encoding="ascii") as lock:
        if not try_lock(lock):
            print("error: another hack/e2e is running in this directory; end it first.", file=sys.stderr)
            return 1
        interruption.install()
        return run(arguments)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hack/e2e")
    parser.add_argument("--binaries", type=Path)
    parser.add_argument("--existing-cluster", action="store_true")
    parser.add_argument("--only", metavar="PATTERN")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--directory", type=Path, default=ROOT / ".e2e", help="for logs and the files of the run")
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    arguments.report = arguments.report or arguments.directory / "report.json"
    if not any(group.checks(arguments.only) for group in GROUPS):
        parser.error(f"no check has a name like {arguments.only!r}; --list prints them")
    arguments.kubeconfig = None
    if arguments.list:
        return arguments
    if arguments.existing_cluster:
        named = os.environ.get("KUBECONFIG", "")
        if not named or not Path(named).is_file():
            parser.error("--existing-cluster needs KUBECONFIG to name one kubeconfig file")
        arguments.kubeconfig = Path(named).resolve()
    for program in ("devcluster", "pipeops-gateway", "pipeops-agent"):
        if not arguments.binaries or not (arguments.binaries / program).is_file():
            parser.error(f"{program} is not built; run without --no-build")
    return arguments


def run(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    report = Report()
    existing: Optional[Path] = arguments.kubeconfig
    world = E2EWorld(
        Options(arguments.binaries, existing, check=True), arguments.only is None, arguments.directory)
    try:
        start(world)
        for group in GROUPS:
            checks = group.checks(arguments.only)
            if not checks:
                continue
            with group.surroundings(world):
                for check in checks:
                    report.run(check, world)
    except interruption.Interrupted:
        report.conclude("interrupted", "The remaining checks did not run", ["interrupted"], 0)
    except (CheckFailed, ApiError, KubeconfigError, RuntimeError) as failure:
        report.conclude("start", "Cluster, gateway and surroundings start", [str(failure)], 0)
    finally:
        interruption.ignore_signals()
        ended = time.monotonic()
        problems = end(world)
    report.conclude(
        "end", "Every program stopped when asked to, and nothing is left behind", problems, time.monotonic() - ended)
    seconds = time.monotonic() - started
    report.print_total(seconds)
    facts = {"cluster": str(existing or "embedded"), "server": getattr(world, "server_version", "unknown")}
    report.write(arguments.report, facts, seconds)
    print(f"Report: {arguments.report}\nLogs: {world.workspace.logs}", flush=True)
    return 1 if report.failed else 0


def start(world: E2EWorld) -> None:
    world.start_cluster()
    world.prepare_cluster()
    world.start_gateway()
    # Here, so that they outlast every check.
    world.blue()
    world.green()
    local = "of this machine" if world.services_are_local else "elsewhere: applications get addresses of this machine"
    print(f"API server {world.server_version}, service addresses {local}\n", flush=True)


def end(world: E2EWorld) -> list[str]:
    """Removes what was created in the cluster and stops every program; returns what went wrong."""
    problems = world.end_agents()
    try:
        with interruption.time_limit(CLEAN_UP_SECONDS):
            problems += world.clean_up()
    except interruption.TimeIsUp:
        problems.append(f"cleaning up the cluster took more than {CLEAN_UP_SECONDS} s")
    except Exception as failure:  # pylint: disable=broad-except
        # Whatever it is, the programs must not stay.
        problems.append(f"cleaning up the cluster: {failure!r}")
    return problems + world.processes.stop_all()


if __name__ == "__main__":
    sys.exit(main())

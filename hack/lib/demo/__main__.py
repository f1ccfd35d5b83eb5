"""What `hack/demo` runs when the programs are built."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
from pathlib import Path
from typing import Optional, TextIO

from . import interruption
from .cluster import ApiError
from .kubeconfig import KubeconfigError
from .report import Report
from .scenarios import SCENARIOS
from .waiting import CheckFailed
from .world import EXAMPLE_HOST, ROOT, Options, World

# `--check` ends within a minute: so long for the scenarios, and the rest for cleaning up.
SCENARIO_SECONDS = 48
CLEAN_UP_SECONDS = 7


def main() -> int:
    options = parse_arguments()
    directory = ROOT / ".demo"
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w", encoding="ascii") as lock:
        if not try_lock(lock):
            print("error: another hack/demo is running in this directory; end it first.", file=sys.stderr)
            return 1
        interruption.install()
        return check(options) if options.check else stay(options)


def parse_arguments() -> Options:
    parser = argparse.ArgumentParser(prog="hack/demo")
    parser.add_argument("--binaries", type=Path, required=True)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--existing-cluster", action="store_true")
    arguments = parser.parse_args()
    kubeconfig: Optional[Path] = None
    if arguments.existing_cluster:
        named = os.environ.get("KUBECONFIG", "")
        if not named or not Path(named).is_file():
            parser.error("--existing-cluster needs KUBECONFIG to name one kubeconfig file")
        kubeconfig = Path(named).resolve()
    for program in ("devcluster", "pipeops-gateway", "pipeops-agent"):
        if not (arguments.binaries / program).is_file():
            parser.error(f"{arguments.binaries / program} does not exist; run without --no-build")
    return Options(arguments.binaries, kubeconfig, arguments.check)


def try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def start(world: World) -> None:
    world.start_cluster()
    world.prepare_cluster()
    world.start_gateway()
    world.start_agent()


def check(options: Options) -> int:
    started = time.monotonic()
    report = Report()
    world = World(options)
    try:
        with interruption.time_limit(SCENARIO_SECONDS):
            start(world)
            for scenario in SCENARIOS:
                report.run(scenario, world)
    except interruption.TimeIsUp:
        report.fail("Time limit", f"not done after {SCENARIO_SECONDS} s; the remaining scenarios did not run")
    except interruption.Interrupted:
        report.fail("Interrupted", "the remaining scenarios did not run")
    except (CheckFailed, ApiError, KubeconfigError, RuntimeError) as failure:
        report.fail("Start", str(failure))
    finally:
        interruption.ignore_signals()
        problems = end(world, clean=True)
    report.conclude("Every program stopped when asked to, and nothing is left behind", problems)
    report.print_total(time.monotonic() - started)
    if report.failed:
        print(f"Logs: {world.workspace.logs}", flush=True)
    return 1 if report.failed else 0


def stay(options: Options) -> int:
    world = World(options)
    status = 0
    try:
        start(world)
        world.apply_example()
        world.wait_for_example(seconds=20)
        print_what_to_try(world)
        while not world.processes.ended_unasked():
            time.sleep(0.2)
        for program in world.processes.ended_unasked():
            print(f"error: {program.name} ended by itself:\n{program.log.tail(5)}", file=sys.stderr)
        status = 1
    except interruption.Interrupted:
        print("\nStopping.", flush=True)
    except (CheckFailed, ApiError, KubeconfigError, RuntimeError) as failure:
        print(f"error: {failure}\nLogs: {world.workspace.logs}", file=sys.stderr)
        status = 1
    finally:
        interruption.ignore_signals()
        problems = end(world, clean=options.existing_kubeconfig is not None)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else status


def end(world: World, clean: bool) -> list[str]:
    """Removes what was created in the cluster and stops every program; returns what went wrong."""
    problems = []
    try:
        with interruption.time_limit(CLEAN_UP_SECONDS):
            if clean:
                problems += world.clean_up()
    except interruption.TimeIsUp:
        problems.append(f"cleaning up the cluster took more than {CLEAN_UP_SECONDS} s")
    return problems + world.processes.stop_all()


def print_what_to_try(world: World) -> None:
    kubeconfig = os.path.relpath(world.cluster.kubeconfig, ROOT)
    logs = os.path.relpath(world.workspace.logs, ROOT)
    print(
        f"""
The application my-app runs in a private cluster and answers through the gateway:

  curl -i -H 'Host: {EXAMPLE_HOST}' http://127.0.0.1:{world.front_port}/

What the agent recorded about it:

  kubectl --kubeconfig {kubeconfig} get gatewayroutes -A
  kubectl --kubeconfig {kubeconfig} describe gatewayroute my-app -n {world.example_namespace}

Take it away, and watch the answer become 404:

  kubectl --kubeconfig {kubeconfig} delete ingress my-app -n {world.example_namespace}

Logs are in {logs}: gateway.log, agent.log, devcluster.log, my-app.log.
Ctrl-C stops everything.""",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())

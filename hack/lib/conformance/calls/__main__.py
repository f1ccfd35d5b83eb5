"""What `hack/conformance grpc` runs when the programs are built."""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from pathlib import Path

from demo import interruption
from demo.__main__ import try_lock
from demo.cluster import ApiError
from demo.waiting import CheckFailed
from demo.world import ROOT

from .cases import CASES, GRPCIO_CASES, Stage
from .client import GrpcioClient
from .server import Application
from .world import CallWorld

SECONDS = 180


def main() -> int:
    parser = argparse.ArgumentParser(prog="hack/conformance grpc")
    parser.add_argument("--binaries", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", metavar="PATTERN", default="", help="the cases whose names contain this")
    parser.add_argument("--http1", action="store_true", help="only calls by HTTP/1.1, without grpcio at the front")
    arguments = parser.parse_args()
    for program in ("devcluster", "pipeops-gateway", "pipeops-agent"):
        if not arguments.binaries or not (arguments.binaries / program).is_file():
            parser.error(f"{program} is not built; run without --no-build")
    directory = ROOT / ".conformance"
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w", encoding="ascii") as lock:
        if not try_lock(lock):
            print("error: another hack/conformance is running in this directory; end it first.", file=sys.stderr)
            return 1
        interruption.install()
        return run(CallWorld(arguments.binaries, directory), arguments.only, http2=not arguments.http1)


def run(world: CallWorld, only: str, http2: bool) -> int:
    started = time.monotonic()
    problems: list[str] = []
    held = failed = 0
    applications: tuple[Application, ...] = ()
    try:
        with interruption.time_limit(SECONDS):
            applications = world.open_stage(["--h2c"] if http2 else [])
            for client in world.clients(http2):
                cases = GRPCIO_CASES if isinstance(client, GrpcioClient) else CASES
                for name, case in cases.items():
                    if not fnmatch.fnmatchcase(name, f"*{only}*"):
                        continue
                    try:
                        case(Stage(client, applications[0]))
                        held += 1
                    except (CheckFailed, OSError, RuntimeError, ValueError) as failure:
                        failed += 1
                        print(f"FAILED {name}, by {client.name}: {failure}")
    except interruption.TimeIsUp:
        problems.append(f"not done after {SECONDS} s; the remaining cases did not run")
    except interruption.Interrupted:
        problems.append("interrupted; the remaining cases did not run")
    except (CheckFailed, ApiError, RuntimeError) as failure:
        problems.append(str(failure))
    finally:
        interruption.ignore_signals()
        for application in applications:
            application.stop()
        problems += [f"{program.name} ended by itself" for program in world.processes.ended_unasked()]
        problems += world.processes.stop_all()
    for problem in problems:
        print(f"error: {problem}")
    print(f"{held} cases hold, {failed} do not. {time.monotonic() - started:.0f} s. Logs: {world.workspace.logs}")
    return 1 if failed or problems or not held else 0


if __name__ == "__main__":
    sys.exit(main())

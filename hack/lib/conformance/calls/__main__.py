"""What `hack/conformance grpc` runs when the programs are built."""

from __future__ import annotations

import argparse
import fnmatch
import sys
import time
from pathlib import Path

from demo.waiting import CheckFailed
from demo.world import ROOT

from ..running import PROGRAMS, alone, bounded, require_programs
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
    require_programs(parser, arguments.binaries, PROGRAMS)
    directory = ROOT / ".conformance"
    with alone(directory, "hack/conformance"):
        return run(CallWorld(arguments.binaries, directory), arguments.only, http2=not arguments.http1)


def run(world: CallWorld, only: str, http2: bool) -> int:
    started = time.monotonic()
    problems: list[str] = []
    held = failed = 0
    applications: tuple[Application, ...] = ()
    try:
        with bounded(SECONDS, problems):
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
    finally:
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

"""What `hack/bench` runs when the programs are built."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from pathlib import Path
from typing import Callable, Optional

from demo import interruption
from demo.cluster import ApiError
from demo.kubeconfig import KubeconfigError
from demo.waiting import CheckFailed
from demo.world import ROOT

from . import controller
from .figures import Figures
from .options import BenchOptions

# Every benchmark by its name: what it is about, and what runs it.
BENCHMARKS: dict[str, tuple[str, Callable[[BenchOptions, Figures], None]]] = {
    "controller": ("the agent with many Ingresses: starts, changes, memory and idle CPU", controller.run),
}

MISSED, NOT_MEASURED = 1, 2


def main() -> int:
    options = parse_arguments()
    if options is None:
        for name, (title, _) in BENCHMARKS.items():
            print(f"{name:<12} {title}")
        return 0
    directory = ROOT / ".bench"
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("error: another hack/bench is running in this directory; end it first.", file=sys.stderr)
            return NOT_MEASURED
        return measure(options)


def measure(options: BenchOptions) -> int:
    interruption.install()
    figures = Figures(options.name)
    problem: Optional[str] = None
    try:
        BENCHMARKS[options.name][1](options, figures)
    except (CheckFailed, ApiError, KubeconfigError, RuntimeError) as failure:
        problem = str(failure)
    except interruption.Interrupted:
        problem = "interrupted"
    if problem:
        print(f"error: {problem}", file=sys.stderr)
    figures.print(vars_of(options), problem)
    if problem:
        return NOT_MEASURED
    return MISSED if figures.missed else 0


def vars_of(options: BenchOptions) -> dict[str, object]:
    return {"objects": options.objects, "duration": options.duration, "rate": options.rate,
            "existing_cluster": options.existing_kubeconfig is not None, "binaries": options.binaries.name}


def parse_arguments() -> Optional[BenchOptions]:
    parser = argparse.ArgumentParser(prog="hack/bench")
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS))
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--binaries", type=Path)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--duration", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--existing-cluster", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        return None
    if not arguments.name:
        parser.error("name a benchmark; --list prints them")
    if arguments.objects < 1 or arguments.duration <= 0 or arguments.rate <= 0:
        parser.error("--objects, --duration and --rate must be greater than zero")
    kubeconfig: Optional[Path] = None
    if arguments.existing_cluster:
        named = os.environ.get("KUBECONFIG", "")
        if not named or not Path(named).is_file():
            parser.error("--existing-cluster needs KUBECONFIG to name one kubeconfig file")
        kubeconfig = Path(named).resolve()
    for program in ("devcluster", "pipeops-gateway", "pipeops-agent"):
        if not (arguments.binaries / program).is_file():
            parser.error(f"{arguments.binaries / program} does not exist; run without --no-build")
    return BenchOptions(
        arguments.name, arguments.binaries, kubeconfig, arguments.objects, arguments.duration, arguments.rate)


if __name__ == "__main__":
    sys.exit(main())

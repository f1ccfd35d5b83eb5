"""What `hack/bench` runs when the programs are built."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Sequence

from demo import interruption
from demo.cluster import ApiError
from demo.kubeconfig import KubeconfigError
from demo.waiting import CheckFailed
from demo.world import ROOT

from . import controller, proxy, routing, tunnel
from .figures import Figures
from .options import BenchOptions


@dataclass(frozen=True)
class Benchmark:
    title: str
    run: Callable[[BenchOptions, Figures], None]
    # The options that it takes.
    options: tuple[str, ...]
    # What `--only` may name.
    measures: tuple[str, ...] = ()
    # What it runs.
    programs: tuple[str, ...] = ("devcluster", "pipeops-gateway", "pipeops-agent")


BENCHMARKS = {
    "controller": Benchmark(
        "the agent with many Ingresses: starts, changes, memory and idle CPU", controller.run,
        ("objects", "duration", "rate", "existing_cluster")),
    "proxy": Benchmark(
        "what requests and large bodies cost in gateway and agent, beside two chained nginx", proxy.run,
        ("rounds", "seconds", "only"), proxy.MEASURES),
    "tunnel": Benchmark(
        "stalled streams beside live ones, memory budgets, a long fat pipe, idle tunnels, and a gateway that restarts",
        tunnel.run, ("rounds", "seconds", "only"), tuple(tunnel.MEASURES),
        ("devcluster", "pipeops-gateway", "pipeops-agent", "tunnel-swarm")),
    "routing": Benchmark(
        "the look-up of a request's route in the gateway's cache, and how it grows with the number of routes",
        routing.run, ("rounds", "only"), tuple(routing.MEASURES), (routing.PROGRAM,)),
}

MISSED, NOT_MEASURED = 1, 2


def main() -> int:
    options = parse_arguments()
    if options is None:
        for name, benchmark in BENCHMARKS.items():
            print(f"{name:<12} {benchmark.title}")
            if benchmark.measures:
                print(f"{'':<12} --only {', '.join(benchmark.measures)}")
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
        BENCHMARKS[options.name].run(options, figures)
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
    """What was asked for, as far as the benchmark looks at it."""
    values: dict[str, object] = {"binaries": options.binaries.name}
    for name in BENCHMARKS[options.name].options:
        is_cluster = name == "existing_cluster"
        values[name] = options.existing_kubeconfig is not None if is_cluster else getattr(options, name)
    return values


def parse_arguments() -> Optional[BenchOptions]:
    parser = argparse.ArgumentParser(prog="hack/bench")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--binaries", type=Path)
    benchmarks = parser.add_subparsers(dest="name", metavar="NAME")
    for name, benchmark in BENCHMARKS.items():
        takes = benchmarks.add_parser(name, prog=f"hack/bench {name}", argument_default=argparse.SUPPRESS)
        for option in benchmark.options:
            _add_option(takes, option, benchmark.measures)
    arguments = vars(parser.parse_args())
    if arguments.pop("list"):
        return None
    if not arguments["name"]:
        parser.error("name a benchmark; --list prints them")
    if any(arguments.get(name, 1) <= 0 for name in ("objects", "duration", "rate", "rounds", "seconds")):
        parser.error("--objects, --duration, --rate, --rounds and --seconds must be greater than zero")
    if arguments.pop("existing_cluster", False):
        named = os.environ.get("KUBECONFIG", "")
        if not named or not Path(named).is_file():
            parser.error("--existing-cluster needs KUBECONFIG to name one kubeconfig file")
        arguments["existing_kubeconfig"] = Path(named).resolve()
    for program in BENCHMARKS[arguments["name"]].programs:
        if not (arguments["binaries"] / program).is_file():
            parser.error(f"{arguments['binaries'] / program} does not exist; run without --no-build")
    return BenchOptions(**{**arguments, "only": tuple(arguments.get("only", ()))})


def _add_option(parser: argparse.ArgumentParser, name: str, measures: Sequence[str]) -> None:
    """Adds an option that is absent from what is parsed unless it is given: the defaults are those of BenchOptions."""
    flag = f"--{name.replace('_', '-')}"
    if name == "only":
        parser.add_argument(flag, action="append", choices=measures)
    elif name == "existing_cluster":
        parser.add_argument(flag, action="store_true")
    else:
        parser.add_argument(flag, type=int if name in ("objects", "rounds") else float)


if __name__ == "__main__":
    sys.exit(main())

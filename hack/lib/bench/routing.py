"""What it takes the front door to find a request's route in its cache, and how that grows with the number of routes.

A program of its own (Tests/RoutingBench) fills a cache and looks requests up in it as the front door does, in random
order, with texts that were just made. Every look-up is timed by itself: its p99 counts, readings of the clock included.
As many are timed again in batches of 50, for which a reading of the clock counts for little: their mean, and the p99 of
the batches' means. Every answer is checked, outside of what is timed.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from dataclasses import dataclass
from typing import Sequence

from demo import interruption
from demo.waiting import CheckFailed

from .figures import Figures
from .options import BenchOptions

PROGRAM = "routing-bench"
SIZES = (100, 1_000, 10_000, 100_000)
# Microseconds at the largest size.
BOUND = 5.0
LOOKUPS = 200_000
# Filling a cache included, in a debug build too.
SECONDS = 120


@dataclass(frozen=True)
class Measure:
    title: str
    arguments: tuple[str, ...]
    # Whether p99 at the largest size is bounded; without that it is measured for information.
    is_bounded: bool = True


MEASURES = {
    "hosts": Measure("Exact hosts", ("--shape", "hosts")),
    "wildcards": Measure("Wildcard hosts", ("--shape", "wildcards")),
    "paths": Measure("Ten paths a host", ("--shape", "paths")),
    "one-host": Measure("All paths on one host", ("--shape", "one-host")),
    "mixed": Measure("Mixed", ("--shape", "mixed")),
    "misses": Measure("Mixed, misses alone", ("--shape", "misses")),
    "changing": Measure("Mixed, 1000 hosts/s change", ("--shape", "mixed", "--changes", "1000")),
    "beside": Measure("Mixed, another thread looks up, too", ("--shape", "mixed", "--lookups-beside"), is_bounded=False),
    "resync": Measure("Mixed, all hosts change all the time", ("--shape", "mixed", "--resyncs"), is_bounded=False),
}


@dataclass(frozen=True)
class Sample:
    """Microseconds, but for the count."""

    p50: float
    p99: float
    p999: float
    most: float
    clock: float
    batch_mean: float
    batch_p99: float
    changed_hosts: int

    @classmethod
    def parse(cls, line: str) -> Sample:
        """Reads what the program prints, in nanoseconds."""
        report = json.loads(line)
        times = [report[name] / 1000 for name in ("p50", "p99", "p999", "most", "clock", "batchMean", "batchP99")]
        return cls(*times, changed_hosts=report["changedHosts"])


def run(options: BenchOptions, figures: Figures) -> None:
    names = [name for name in MEASURES if not options.only or name in options.only]
    samples: dict[tuple[str, int], list[Sample]] = {(name, size): [] for name in names for size in SIZES}
    for number in range(options.rounds):
        for name in names:
            figures.phase(f"{MEASURES[name].title}: round {number + 1} of {options.rounds}")
            for size in SIZES:
                samples[name, size].append(_measure(options, MEASURES[name], size))
    for name in names:
        show(figures, name, {size: samples[name, size] for size in SIZES})
    every = [sample for group in samples.values() for sample in group]
    figures.add(
        "clock_us", statistics.median(sample.clock for sample in every), "us",
        "Two readings of the clock, part of every single look-up")


def _measure(options: BenchOptions, measure: Measure, size: int) -> Sample:
    command = [
        str(options.binaries / PROGRAM), *measure.arguments, "--routes", str(size), "--lookups", str(LOOKUPS)]
    try:
        with interruption.held():
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"{' '.join(command)} did not end within {SECONDS} s") from None
    if done.returncode != 0:
        raise CheckFailed(f"{' '.join(command)} ended with status {done.returncode}: {done.stderr.strip()}")
    return Sample.parse(done.stdout)


def show(figures: Figures, name: str, samples: dict[int, Sequence[Sample]]) -> None:
    """The figures of one measure: p99 and mean at every size, the rest at the largest."""
    measure, prefix = MEASURES[name], name.replace("-", "_")
    largest = max(samples)

    def add(key: str, what: str, values: Sequence[float], bound: float | None = None, unit: str = "us") -> None:
        figures.add_rounds(f"{prefix}_{key}", values, unit, f"{measure.title}: {what}", bound)

    for size, rounds in samples.items():
        is_bounded = size == largest and measure.is_bounded
        add(f"{size}_p99_us", f"p99, {size} routes", [sample.p99 for sample in rounds], BOUND if is_bounded else None)
    for size, rounds in samples.items():
        add(f"{size}_mean_us", f"mean, {size} routes", [sample.batch_mean for sample in rounds])
    rounds = samples[largest]
    add(f"{largest}_p50_us", f"p50, {largest} routes", [sample.p50 for sample in rounds])
    add(f"{largest}_p999_us", f"p99.9, {largest} routes", [sample.p999 for sample in rounds])
    add(f"{largest}_max_us", f"slowest, {largest} routes", [sample.most for sample in rounds])
    add(f"{largest}_batch_p99_us", f"p99 of batches, {largest} routes", [sample.batch_p99 for sample in rounds])
    smallest = samples[min(samples)]
    add("growth", f"mean, {largest} over {min(samples)} routes",
        [large.batch_mean / small.batch_mean for large, small in zip(rounds, smallest)], unit="")
    if any(sample.changed_hosts for sample in rounds):
        add("changed_hosts", f"hosts changed meanwhile, {largest} routes",
            [sample.changed_hosts for sample in rounds], unit="")

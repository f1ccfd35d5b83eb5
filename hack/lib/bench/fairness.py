"""Stalled downloads beside live requests on one tunnel: what the live ones notice, and what it takes in memory."""

from __future__ import annotations

import time

from demo.waiting import expect

from . import usage
from .figures import Figures, percentile
from .nginx import SMALL_BYTES, SMALL_PATH
from .options import BenchOptions
from .paced import Answers, PacedClient
from .stalled import StalledDownloads
from .traffic import TrafficWorld

STALLED = 200
LIVE = 200
LIVE_RATE = 1000.0
STALLED_BYTES = 100 * 1024 * 1024
WARM_UP_SECONDS = 2.0
# How long after their start downloads count as stalled, and after their end as gone.
SETTLE_SECONDS = 2.0
P99_BOUND = 2.0
MEMORY_BOUND = 64.0


def measure(world: TrafficWorld, options: BenchOptions, figures: Figures) -> None:
    path = world.write_file("stalled", STALLED_BYTES)
    pair = world.start_pair(agent_flags=world.one_tunnel)
    programs = {"gateway": pair.gateway.pid, "agent": pair.agent.pid}
    stalled = StalledDownloads(pair.front, path)
    live = PacedClient(pair.front, SMALL_PATH, SMALL_BYTES, LIVE, LIVE_RATE)
    without, filling, beside = [], [], []
    accepted = STALLED
    try:
        live.run(WARM_UP_SECONDS)
        before = {name: usage.anonymous(pid) for name, pid in programs.items()}
        growth = dict.fromkeys(programs, 0.0)
        for number in range(options.rounds):
            figures.phase(f"{STALLED} stalled beside {LIVE} live: round {number + 1} of {options.rounds}")
            without.append(live.run(options.seconds))
            stalled.add(STALLED)
            filling.append(live.run(SETTLE_SECONDS))
            beside.append(live.run(options.seconds))
            accepted = min(accepted, stalled.statuses().count(200))
            for name, pid in programs.items():
                growth[name] = max(growth[name], usage.anonymous(pid) - before[name])
            stalled.close()
            time.sleep(SETTLE_SECONDS)
    finally:
        live.close()
        stalled.close()
    world.stop_pair(pair)
    _tell(figures, without, filling, beside)
    figures.add("fairness_stalled", accepted, "", "Fairness: downloads that were answered and stalled", STALLED, True)
    for name in programs:
        figures.add(
            f"fairness_{name}_memory_mib", growth[name], "MiB", f"Fairness: growth of memory (RssAnon), {name}",
            MEMORY_BOUND)


def _tell(figures: Figures, without: list[Answers], filling: list[Answers], beside: list[Answers]) -> None:
    alone, crowded = _p99(without), _p99(beside)
    figures.add_rounds(
        "fairness_p99_ratio", [high / low for high, low in zip(crowded, alone)], "",
        "Fairness: p99 of live requests, with stalled over without", P99_BOUND)
    figures.add_rounds("fairness_p99_ms", crowded, "ms", "Fairness: p99 beside stalled downloads")
    figures.add_rounds("fairness_p99_without_ms", alone, "ms", "Fairness: p99 without them")
    figures.add_rounds("fairness_p99_filling_ms", _p99(filling), "ms", "Fairness: p99 while they begin to stall")
    failures = [reason for answers in (*without, *filling, *beside) for reason in answers.failures]
    if failures:
        figures.note("fairness_first_failure", failures[0])
    figures.add("fairness_failed", len(failures), "", "Fairness: live requests that failed", 0)


def _p99(rounds: list[Answers]) -> list[float]:
    """Milliseconds, by round."""
    expect(all(answers.latencies for answers in rounds), "none of the live requests of a round was answered")
    return [1000 * percentile(answers.latencies, 0.99) for answers in rounds]

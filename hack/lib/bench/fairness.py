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
# Downloads have stalled when what they cost is over: gateway and agent use no more than so many times as much processor
# time as with the live requests alone. If that never happens, they count as stalled after a while.
CALM = 1.3
FILLING_SECONDS = 15
# How long the end of the stalled ones may occupy gateway and agent.
SETTLE_SECONDS = 2.0
P99_BOUND = 2.0
MEMORY_BOUND = 64.0


def measure(world: TrafficWorld, options: BenchOptions, figures: Figures) -> None:
    path = world.write_file("stalled", STALLED_BYTES)
    pair = world.start_pair(agent_flags=world.one_tunnel)
    stalled = StalledDownloads(pair.front, path)
    live = PacedClient(pair.front, SMALL_PATH, SMALL_BYTES, LIVE, LIVE_RATE)
    fairness = Fairness({"gateway": pair.gateway.pid, "agent": pair.agent.pid}, live, stalled)
    try:
        live.run(WARM_UP_SECONDS)
        fairness.remember_memory()
        for number in range(options.rounds):
            figures.phase(f"{STALLED} stalled beside {LIVE} live: round {number + 1} of {options.rounds}")
            fairness.measure_round(options.seconds)
    finally:
        live.close()
        stalled.close()
    world.stop_pair(pair)
    fairness.tell(figures)


class Fairness:
    """What the rounds have shown, of gateway and agent by their process ids."""

    def __init__(self, pids: dict[str, int], live: PacedClient, stalled: StalledDownloads) -> None:
        self._pids = pids
        self._live = live
        self._stalled = stalled
        # Live requests in each round: alone, while downloads begin to stall, and beside stalled ones.
        self._alone: list[Answers] = []
        self._filling: list[Answers] = []
        self._beside: list[Answers] = []
        # Seconds until the downloads of a round had stalled, and how many did.
        self._filled: list[float] = []
        self._accepted = STALLED
        self._memory_before: dict[str, float] = {}
        self._growth = dict.fromkeys(pids, 0.0)

    def remember_memory(self) -> None:
        self._memory_before = {name: usage.anonymous(pid) for name, pid in self._pids.items()}

    def measure_round(self, seconds: float) -> None:
        before = self._cpu()
        self._alone.append(self._live.run(seconds))
        cost = (self._cpu() - before) / seconds
        self._stalled.add(STALLED)
        self._fill(CALM * cost)
        self._beside.append(self._live.run(seconds))
        self._accepted = min(self._accepted, self._stalled.statuses().count(200))
        for name, pid in self._pids.items():
            self._growth[name] = max(self._growth[name], usage.anonymous(pid) - self._memory_before[name])
        self._stalled.close()
        time.sleep(SETTLE_SECONDS)

    def _fill(self, calm: float) -> None:
        """Goes on with live requests until two seconds in a row have cost no more than `calm` each."""
        answers = Answers()
        began = time.monotonic()
        calm_seconds = 0
        while calm_seconds < 2 and time.monotonic() - began < FILLING_SECONDS:
            before, start = self._cpu(), time.monotonic()
            answers.add(self._live.run(1.0))
            is_calm = (self._cpu() - before) / (time.monotonic() - start) <= calm
            calm_seconds = calm_seconds + 1 if is_calm else 0
        self._filling.append(answers)
        self._filled.append(time.monotonic() - began)

    def _cpu(self) -> float:
        return usage.precise_cpu_seconds(self._pids.values())

    def tell(self, figures: Figures) -> None:
        alone, filling, beside = _p99(self._alone), _p99(self._filling), _p99(self._beside)
        figures.add_rounds(
            "fairness_p99_ratio", [high / low for high, low in zip(beside, alone)], "",
            "Fairness: p99 of live requests, with stalled over without", P99_BOUND)
        figures.add_rounds("fairness_p99_ms", beside, "ms", "Fairness: p99 beside stalled downloads")
        figures.add_rounds("fairness_p99_alone_ms", alone, "ms", "Fairness: p99 without them")
        figures.add_rounds("fairness_p99_filling_ms", filling, "ms", "Fairness: p99 while they begin to stall")
        figures.add_rounds("fairness_filling_s", self._filled, "s", "Fairness: how long until they have stalled")
        failures = [
            reason for answers in (*self._alone, *self._filling, *self._beside) for reason in answers.failures]
        if failures:
            figures.note("fairness_first_failure", failures[0])
        figures.add("fairness_failed", len(failures), "", "Fairness: live requests that failed", 0)
        figures.add(
            "fairness_stalled", self._accepted, "", "Fairness: downloads that were answered and stalled", STALLED,
            at_least=True)
        for name, growth in self._growth.items():
            figures.add(
                f"fairness_{name}_memory_mib", growth, "MiB", f"Fairness: growth of memory (RssAnon), {name}",
                MEMORY_BOUND)


def _p99(rounds: list[Answers]) -> list[float]:
    """Milliseconds, by round."""
    for answers in rounds:
        expect(answers.latencies, f"none of the live requests of a round was answered; {answers.failures[:1]}")
    return [1000 * percentile(answers.latencies, 0.99) for answers in rounds]

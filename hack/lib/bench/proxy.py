"""What a request and a gigabyte cost in gateway and agent, compared with two nginx, one behind the other.

Both sides stand between the same client and the same backend, are measured in turn in every round, and run with what
their operators would give them. One difference is in nginx's favour: the gateway writes a line of log for every
request, as it always does, while the nginx that count write none. Others are measured beside them, for information: two
that log, and two whose operator has tuned them less for large bodies; and both sides with TLS between their two parts,
with TLS at their front, and with HTTP/2 at their front.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from typing import Callable, Optional, Sequence

from demo.http_client import Server
from demo.processes import Program
from demo.waiting import CheckFailed

from . import load, usage
from .figures import Figures
from .nginx import SMALL_BYTES, SMALL_PATH, UPLOAD_PATH, Tuning
from .options import BenchOptions
from .paced import PacedClient
from .syscalls import SystemCalls
from .traffic import Pair, TrafficWorld, expect_served, traffic_world
from .transfer import TransferClient

SATURATING_CONNECTIONS = 32
PACED_CONNECTIONS = 8
PACED_RATE = 2000.0
# Of each connection with HTTP/2; all together as many as there are connections otherwise.
HTTP2_STREAMS = 8
BODY_BYTES = 100 * 1024 * 1024
# As often on one connection with HTTP/2, and how many seconds that may take.
HTTP2_DOWNLOADS = 2
DOWNLOAD_PATIENCE = 60.0
WARM_UP_SECONDS = 1.0
SYSTEM_CALL_SECONDS = 2.0


@dataclass(frozen=True)
class Side:
    """What stands between client and backend: its name in figures, where it is asked, and its parts."""

    name: str
    title: str
    server: Server
    parts: dict[str, list[Program]]

    @property
    def pids(self) -> list[int]:
        return [pid for part in self.parts for pid in self.pids_of(part)]

    def pids_of(self, part: str) -> list[int]:
        return [pid for program in self.parts[part] for pid in usage.family(program.pid)]


@dataclass(frozen=True)
class Sample:
    """One side in one round: how much was done, and the processor time that each of its parts took for it."""

    units: float
    seconds: float
    cpu: dict[str, float]

    @property
    def cost(self) -> float:
        return sum(self.cpu.values()) / self.units

    @property
    def rate(self) -> float:
        return self.units / self.seconds


@dataclass(frozen=True)
class Unit:
    """A cost in seconds times `scale` is one in `cost`, and a rate times `rate_scale` one in `rate`."""

    cost: str
    scale: float
    rate: str
    rate_scale: float


@dataclass(frozen=True)
class Work:
    """Something that a side can be made to do for some seconds; returns how much was done, in how many seconds."""

    name: str
    title: str
    # Of the ratio of the costs; without one it is measured for information.
    bound: Optional[float]
    do: Callable[[Side, float], tuple[float, float]]
    unit: Unit
    # Which of the other nginx are measured beside those that count.
    other: Optional[str] = None
    counts_system_calls: bool = False


def saturated(side: Side, seconds: float) -> tuple[float, float]:
    done = load.saturate(side.server, SMALL_PATH, SATURATING_CONNECTIONS, seconds, SMALL_BYTES)
    return done.requests, done.seconds


def paced(side: Side, seconds: float) -> tuple[float, float]:
    client = PacedClient(side.server, SMALL_PATH, SMALL_BYTES, PACED_CONNECTIONS, PACED_RATE)
    try:
        answers = client.run(seconds)
    finally:
        client.close()
    answers.expect_all()
    return len(answers.latencies), seconds


def in_bursts(side: Side, seconds: float) -> tuple[float, float]:
    done = load.send_bursts(side.server, SMALL_PATH, PACED_CONNECTIONS, PACED_RATE, seconds, SMALL_BYTES)
    return done.requests, done.seconds


def downloads(side: Side, seconds: float) -> tuple[float, float]:
    return _transfers(side, seconds, lambda client: client.download("/large", BODY_BYTES))


def uploads(side: Side, seconds: float) -> tuple[float, float]:
    return _transfers(side, seconds, lambda client: client.upload(UPLOAD_PATH, BODY_BYTES))


def saturated_http2(side: Side, seconds: float) -> tuple[float, float]:
    connections = SATURATING_CONNECTIONS // HTTP2_STREAMS
    done = load.saturate_http2(side.server, SMALL_PATH, connections, HTTP2_STREAMS, seconds, SMALL_BYTES)
    return done.requests, done.seconds


def downloads_http2(side: Side, seconds: float) -> tuple[float, float]:
    count, took = 0, 0.0
    while took < seconds:
        done = load.download_http2(side.server, "/large", HTTP2_DOWNLOADS, DOWNLOAD_PATIENCE, BODY_BYTES)
        count, took = count + done.requests, took + done.seconds
    return count * BODY_BYTES, took


def _transfers(side: Side, seconds: float, transfer: Callable[[TransferClient], int]) -> tuple[float, float]:
    client = TransferClient(side.server)
    try:
        done = client.repeat(lambda: transfer(client), seconds)
    finally:
        client.close()
    return done.bytes, done.seconds


LOGGING, WITH_FILES = "logging_nginx", "filing_nginx"
PER_REQUEST = Unit("us", 1e6, "1/s", 1.0)
PER_GIGABYTE = Unit("s/GB", 1e9, "MB/s", 1e-6)
WORKS = (
    Work("saturated", "CPU per request, saturated", 1.0, saturated, PER_REQUEST, LOGGING, counts_system_calls=True),
    Work("paced", f"CPU per request at {PACED_RATE:g}/s", 1.0, paced, PER_REQUEST, LOGGING, counts_system_calls=True),
    Work("bursts", f"CPU per request at {PACED_RATE:g}/s, h2load", None, in_bursts, PER_REQUEST),
    Work("download", "CPU per GB downloaded", 1.25, downloads, PER_GIGABYTE, WITH_FILES),
    Work("upload", "CPU per GB uploaded", 1.5, uploads, PER_GIGABYTE, WITH_FILES),
)
LATENCY = "latency"
LATENCY_BOUND = 1.2
# What is measured with TLS, for information.
_SATURATED, _DOWNLOAD, _UPLOAD = (
    Work("saturated", "CPU per request, saturated", None, saturated, PER_REQUEST),
    Work("download", "CPU per GB downloaded", None, downloads, PER_GIGABYTE),
    Work("upload", "CPU per GB uploaded", None, uploads, PER_GIGABYTE),
)


@dataclass(frozen=True)
class Variant:
    """Both sides set up in another way."""

    title: str
    tuning: Tuning
    works: tuple[Work, ...]


VARIANTS = {
    "tunnel-tls": Variant("TLS between the two", Tuning(inner_tls=True), (_SATURATED, _DOWNLOAD, _UPLOAD)),
    "front-tls": Variant("TLS at the front", Tuning(front_tls=True), (_SATURATED, _DOWNLOAD, _UPLOAD)),
    "http2": Variant(
        "HTTP/2 at the front", Tuning(front_tls=True, http2=True),
        (replace(_SATURATED, do=saturated_http2), replace(_DOWNLOAD, do=downloads_http2))),
}
MEASURES = (*(work.name for work in WORKS), LATENCY, *VARIANTS)


def run(options: BenchOptions, figures: Figures) -> None:
    with traffic_world(options, figures) as world:
        ProxyBenchmark(options, figures, world).run()


class ProxyBenchmark:
    def __init__(self, options: BenchOptions, figures: Figures, world: TrafficWorld) -> None:
        self._options = options
        self._figures = figures
        self._world = world
        self._calls: SystemCalls
        self._nginx: Side
        self._others: dict[str, Side]

    def run(self) -> None:
        world = self._world
        self._figures.phase("Starting cluster, backends and nginx")
        self._calls = SystemCalls(world.workspace.logs)
        self._figures.note("system_calls_counted_by", self._calls.tool or "nothing: neither perf nor strace may")
        world.start_backends()
        world.write_file("large", BODY_BYTES)
        self._nginx = self._chain("nginx", "two nginx", Tuning())
        self._others = {
            LOGGING: self._chain(LOGGING, "two nginx that log", Tuning(logs_requests=True)),
            WITH_FILES: self._chain(WITH_FILES, "two nginx tuned less", Tuning(avoids_files=False)),
        }
        if any(self._wants(measure) for measure in MEASURES if measure not in VARIANTS):
            self._measure_pair()
        for name, variant in VARIANTS.items():
            if self._wants(name):
                self._measure_variant(name, variant)

    def _chain(self, name: str, title: str, tuning: Tuning) -> Side:
        world = self._world
        front, programs = world.nginx.start_chain(
            name.replace("_", "-"), world.ports, world.backend, world.sink, tuning)
        authority = world.authority if tuning.front_tls else None
        return Side(name, title, Server(front.host, front.port, world.direct.host, authority), {"nginx": programs})

    def _measure_pair(self) -> None:
        self._figures.phase("Starting gateway and agent")
        pair = self._world.start_pair()
        comparison = Comparison(self._options, self._figures, self._side(pair))
        for work in WORKS:
            if self._wants(work.name):
                comparison.costs(work, self._nginx, self._others[work.other] if work.other else None)
                if work.counts_system_calls:
                    comparison.system_calls(work, self._nginx, self._calls)
        if self._wants(LATENCY):
            comparison.latency(self._nginx, self._world.direct)
        comparison.memory(self._nginx)
        self._world.stop_pair(pair)

    def _measure_variant(self, name: str, variant: Variant) -> None:
        self._figures.phase(f"{variant.title}: starting gateway, agent and nginx")
        tuning = replace(variant.tuning, certificates=self._world.certificates)
        pair = self._world.start_pair(tls=tuning.inner_tls, front_tls=tuning.front_tls)
        nginx = replace(self._chain(f"nginx_{name}", "two nginx", tuning), name="nginx")
        comparison = Comparison(
            self._options, self._figures, self._side(pair), f"{name.replace('-', '_')}_", f"{variant.title}: ")
        for work in variant.works:
            comparison.costs(work, nginx, None)
        comparison.memory(nginx)
        self._world.stop_pair(pair)
        for program in nginx.parts["nginx"]:
            self._world.processes.stop(program)

    @staticmethod
    def _side(pair: Pair) -> Side:
        return Side("tunnel", "gateway and agent", pair.front, {"gateway": [pair.gateway], "agent": [pair.agent]})

    def _wants(self, measure: str) -> bool:
        return not self._options.only or measure in self._options.only


class Comparison:
    """Measures one pair of gateway and agent beside others."""

    def __init__(
        self, options: BenchOptions, figures: Figures, ours: Side, prefix: str = "", title: str = ""
    ) -> None:
        self._options = options
        self._figures = figures
        self._ours = ours
        self._prefix = prefix
        self._title = title

    def costs(self, work: Work, nginx: Side, other: Optional[Side]) -> None:
        """The cost of some work, ours over nginx's, in rounds in which all sides take their turn."""
        sides = [self._ours, nginx, *([other] if other else [])]
        for side in sides:
            expect_served(side.server)
        samples: dict[str, list[Sample]] = {side.name: [] for side in sides}
        for number in range(self._options.rounds):
            self._figures.phase(f"{self._title}{work.title}: round {number + 1} of {self._options.rounds}")
            # The other way round in every other round: what changes with time hits all.
            for side in sides if number % 2 == 0 else reversed(sides):
                work.do(side, WARM_UP_SECONDS)
                samples[side.name].append(self._sample(work, side))
        ours, theirs = samples[self._ours.name], samples[nginx.name]
        self._add_rounds(
            f"{work.name}_ratio", ratios(ours, theirs), "", f"{work.title}: over two nginx", work.bound)
        self._add_costs(work, self._ours, ours)
        for part in self._ours.parts:
            self._add_rounds(
                f"{work.name}_{part}_cpu", [work.unit.scale * sample.cpu[part] / sample.units for sample in ours],
                work.unit.cost, f"{work.title}: {part} alone")
        self._add_costs(work, nginx, theirs)
        if other:
            self._add_rounds(
                f"{work.name}_ratio_to_{other.name}", ratios(ours, samples[other.name]), "",
                f"{work.title}: over {other.title}")
            self._add_costs(work, other, samples[other.name])

    def system_calls(self, work: Work, nginx: Side, calls: SystemCalls) -> None:
        """Counted apart from the cost, which counting would raise."""
        for side in (self._ours, nginx):
            for part in side.parts:
                with calls.counting(side.pids_of(part)):
                    units, _ = work.do(side, SYSTEM_CALL_SECONDS)
                if calls.counted is None:
                    self._figures.phase(f"{work.title}: system calls of {part}: not measured")
                else:
                    self._add(f"{work.name}_{part}_system_calls", calls.counted / units, "",
                              f"{work.title}: system calls, {part}")

    def latency(self, nginx: Side, direct: Server) -> None:
        """What either side adds to the time of a request, with one connection."""
        title = "Added latency (p50), one connection"
        servers = {"direct": direct, self._ours.name: self._ours.server, nginx.name: nginx.server}
        medians: dict[str, list[float]] = {name: [] for name in servers}
        for number in range(self._options.rounds):
            self._figures.phase(f"{self._title}{title}: round {number + 1} of {self._options.rounds}")
            slices: dict[str, list[float]] = {name: [] for name in servers}
            # Which processor a program happens to be on changes its latency, so all take many short turns.
            for _ in range(round(self._options.seconds) + 1):
                for name, server in servers.items():
                    slices[name].append(load.saturate(server, SMALL_PATH, 1, 1, SMALL_BYTES).p50_us)
            for name, values in slices.items():
                # The first one has warmed up.
                medians[name].append(statistics.median(values[1:]))
        added = {
            name: [through - straight for through, straight in zip(values, medians["direct"])]
            for name, values in medians.items()}
        if min(added[nginx.name]) <= 0:
            raise CheckFailed("two nginx seem to add nothing to the latency: this machine is too busy to measure it")
        self._add_rounds(
            "latency_ratio", [ours / theirs for ours, theirs in zip(added[self._ours.name], added[nginx.name])], "",
            f"{title}: over two nginx", LATENCY_BOUND)
        for side in (self._ours, nginx):
            self._add_rounds(f"latency_{side.name}_us", added[side.name], "us", f"{title}: {side.title}")
        self._add_rounds("latency_direct_us", medians["direct"], "us", "Latency (p50) without either")

    def memory(self, nginx: Side) -> None:
        for side in (self._ours, nginx):
            for part in side.parts:
                self._add(f"memory_{part}_mib", sum(map(usage.resident, side.pids_of(part))), "MiB",
                          f"Memory (RSS) afterwards: {part}")

    def _sample(self, work: Work, side: Side) -> Sample:
        pids = {part: side.pids_of(part) for part in side.parts}
        before = {part: usage.precise_cpu_seconds(pids[part]) for part in pids}
        units, seconds = work.do(side, self._options.seconds)
        return Sample(
            units, seconds, {part: usage.precise_cpu_seconds(pids[part]) - before[part] for part in pids})

    def _add_costs(self, work: Work, side: Side, samples: Sequence[Sample]) -> None:
        self._add_rounds(
            f"{work.name}_{side.name}_cpu", [work.unit.scale * sample.cost for sample in samples],
            work.unit.cost, f"{work.title}: {side.title}")
        self._add_rounds(
            f"{work.name}_{side.name}_rate", [work.unit.rate_scale * sample.rate for sample in samples],
            work.unit.rate, f"{work.title}: rate, {side.title}")

    def _add(self, name: str, value: float, unit: str, what: str) -> None:
        self._figures.add(self._prefix + name, value, unit, self._title + what)

    def _add_rounds(
        self, name: str, values: Sequence[float], unit: str, what: str, bound: Optional[float] = None
    ) -> None:
        self._figures.add_rounds(
            self._prefix + name, values, unit, self._title + what, bound)


def ratios(ours: Sequence[Sample], theirs: Sequence[Sample]) -> list[float]:
    """Round by round, what ours cost over what theirs did."""
    return [our.cost / their.cost for our, their in zip(ours, theirs)]

"""A tunnel over a long way without a narrow place: what one stream moves, and what small requests beside it wait."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import Callable, Iterator

from demo.http_client import Server
from demo.waiting import CheckFailed, expect

from .figures import Figures, percentile
from .nginx import SMALL_BYTES, SMALL_PATH, UPLOAD_PATH
from .options import BenchOptions
from .paced import PacedClient
from .relay import DelayingRelay
from .sink import RECEIVED_PATH
from .traffic import HOST, TrafficWorld
from .transfer import TransferClient

DELAY = 0.05
# More than any stream moves while it is measured.
STREAM_BYTES = 16 * 1024 ** 3
WARM_UP_SECONDS = 3.0
RATE_BOUND = 40.0
# One and a half times there and back.
LATENCY_BOUND = 1.5 * 2000 * DELAY
REQUESTS_PER_SECOND = 40.0
CONNECTIONS = 16


def measure(world: TrafficWorld, options: BenchOptions, figures: Figures) -> None:
    path = world.write_file("endless", STREAM_BYTES)
    _relay_alone(world, options, figures, path)
    port = world.ports.free(0)
    relay = DelayingRelay(port, ("127.0.0.1", world.tunnel_port), DELAY)
    try:
        pair = world.start_pair(agent_flags=world.one_tunnel, dial_port=port)
        sink = Server(world.sink.host, world.sink.port, HOST)
        directions = [
            Direction("download", lambda client: client.download(path, STREAM_BYTES), lambda client: client.moved),
            Direction(
                "upload", lambda client: client.upload(UPLOAD_PATH, STREAM_BYTES),
                lambda _: int(sink.get(RECEIVED_PATH).text)),
        ]
        for number in range(options.rounds):
            figures.phase(f"One stream and small requests beside it: round {number + 1} of {options.rounds}")
            for direction in directions:
                direction.measure(pair.front, options.seconds)
        for direction in directions:
            direction.tell(figures)
        world.stop_pair(pair)
    finally:
        relay.close()


def _relay_alone(world: TrafficWorld, options: BenchOptions, figures: Figures, path: str) -> None:
    """What the relay would let through: far more than is asked of the tunnel, or nothing is measured here."""
    figures.phase("The relay alone")
    port = world.ports.free(0)
    relay = DelayingRelay(port, (world.backend.host, world.backend.port), DELAY)
    try:
        server = Server("127.0.0.1", port, HOST)
        client = TransferClient(server)
        with running(client, lambda: client.download(path, STREAM_BYTES)):
            time.sleep(WARM_UP_SECONDS)
            before, began = client.moved, time.perf_counter()
            time.sleep(options.seconds / 2)
            rate = (client.moved - before) / (time.perf_counter() - began) / 1e6
        waited = [server.get(SMALL_PATH).seconds for _ in range(5)]
    finally:
        relay.close()
    figures.add("relay_mbps", rate, "MB/s", "Long fat pipe: what the relay alone lets through")
    # A connection of its own costs no way there and back: the relay accepts before it asks.
    figures.add("relay_rtt_ms", 1000 * percentile(waited, 0.5), "ms", "Long fat pipe: there and back, the relay alone")


class Direction:
    """One stream at a time, counted where its bytes arrive, with small requests beside it."""

    def __init__(
        self, name: str, transfer: Callable[[TransferClient], int], arrived: Callable[[TransferClient], int]
    ) -> None:
        self._name = name
        self._transfer = transfer
        self._arrived = arrived
        # MB/s and milliseconds, by round.
        self._rates: list[float] = []
        self._medians: list[float] = []
        self._p99s: list[float] = []
        self._failures: list[str] = []

    def measure(self, front: Server, seconds: float) -> None:
        client = TransferClient(front)
        requests = PacedClient(front, SMALL_PATH, SMALL_BYTES, CONNECTIONS, REQUESTS_PER_SECOND)
        try:
            with running(client, lambda: self._transfer(client)):
                time.sleep(WARM_UP_SECONDS)
                before, began = self._arrived(client), time.perf_counter()
                answers = requests.run(seconds)
                self._rates.append((self._arrived(client) - before) / (time.perf_counter() - began) / 1e6)
        finally:
            requests.close()
        expect(answers.latencies, f"no small request beside the {self._name} was answered; {answers.failures[:1]}")
        self._medians.append(1000 * percentile(answers.latencies, 0.5))
        self._p99s.append(1000 * percentile(answers.latencies, 0.99))
        self._failures += answers.failures

    def tell(self, figures: Figures) -> None:
        name = self._name
        figures.add_rounds(
            f"fat_pipe_{name}_mbps", self._rates, "MB/s", f"Long fat pipe: {name}, one stream", RATE_BOUND,
            at_least=True)
        figures.add_rounds(
            f"fat_pipe_beside_{name}_p50_ms", self._medians, "ms",
            f"Long fat pipe: median of requests beside the {name}", LATENCY_BOUND)
        figures.add_rounds(
            f"fat_pipe_beside_{name}_p99_ms", self._p99s, "ms", f"Long fat pipe: p99 of requests beside the {name}")
        if self._failures:
            figures.note(f"fat_pipe_beside_{name}_first_failure", self._failures[0])
        figures.add(
            f"fat_pipe_beside_{name}_failed", len(self._failures), "",
            f"Long fat pipe: requests beside the {name} that failed", 0)


@contextmanager
def running(client: TransferClient, transfer: Callable[[], object]) -> Iterator[None]:
    """Transfers in a thread of its own during the block, which the transfer must outlast, and breaks it off then."""
    problems: list[str] = []

    def run() -> None:
        try:
            transfer()
            problems.append("everything has been transferred before its time")
        except CheckFailed as failure:
            problems.append(str(failure))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
        expect(not problems, "; ".join(problems))
    finally:
        client.abort()
        thread.join()
        client.close()

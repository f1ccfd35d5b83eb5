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
        pipe = FatPipe(options, figures, pair.front)
        pipe.measure(
            "download", lambda client: client.download(path, STREAM_BYTES), lambda client: client.moved)
        sink = Server(world.sink.host, world.sink.port, HOST)
        pipe.measure(
            "upload", lambda client: client.upload(UPLOAD_PATH, STREAM_BYTES),
            lambda _: int(sink.get(RECEIVED_PATH).text))
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


class FatPipe:
    """One pair of gateway and agent with the long way between them."""

    def __init__(self, options: BenchOptions, figures: Figures, front: Server) -> None:
        self._options = options
        self._figures = figures
        self._front = front

    def measure(
        self, name: str, transfer: Callable[[TransferClient], int], arrived: Callable[[TransferClient], int]
    ) -> None:
        """One stream, counted where its bytes arrive, and small requests beside it."""
        self._figures.phase(f"Long fat pipe: one {name} and small requests beside it")
        client = TransferClient(self._front)
        requests = PacedClient(self._front, SMALL_PATH, SMALL_BYTES, CONNECTIONS, REQUESTS_PER_SECOND)
        try:
            with running(client, lambda: transfer(client)):
                time.sleep(WARM_UP_SECONDS)
                before, began = arrived(client), time.perf_counter()
                answers = requests.run(self._options.seconds)
                rate = (arrived(client) - before) / (time.perf_counter() - began) / 1e6
        finally:
            requests.close()
        add = self._figures.add
        add(f"fat_pipe_{name}_mbps", rate, "MB/s", f"Long fat pipe: {name}, one stream", RATE_BOUND, at_least=True)
        expect(answers.latencies, f"no small request beside the {name} was answered; {answers.failures[:1]}")
        for title, share, bound in (("median", 0.5, LATENCY_BOUND), ("p99", 0.99, None)):
            add(f"fat_pipe_beside_{name}_{title}_ms", 1000 * percentile(answers.latencies, share), "ms",
                f"Long fat pipe: {title} of requests beside the {name}", bound)
        add(f"fat_pipe_beside_{name}_failed", len(answers.failures), "",
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

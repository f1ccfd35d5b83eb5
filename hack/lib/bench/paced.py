"""Small requests at a fixed rate over kept-alive connections, each sent when it is due.

wrk knows no rate, and h2load sends in bursts: several requests at once cost a proxy less than as many one by one.
"""

from __future__ import annotations

import gc
import heapq
import re
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Iterator, Optional

from demo.http_client import Server
from demo.waiting import expect

from .connecting import connect, wait

# How long the last answers are waited for.
PATIENCE = 10.0
_RECEIVE_BYTES = 65536


@dataclass
class Answers:
    """What came of one run: the seconds that each answer took, and for each request that failed, how."""

    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, others: Answers) -> None:
        """Takes in what came of a further run."""
        self.latencies += others.latencies
        self.failures += others.failures

    def expect_all(self) -> None:
        """Whoever measures the cost of answers wants no other among them."""
        count = len(self.failures)
        expect(not count, f"{count} of {count + len(self.latencies)} requests failed; the first: {self.failures[:1]}")
        expect(self.latencies, "no request was answered")


class PacedClient:
    """An open loop: each connection sends at its own times, all of them spread evenly.

    A latency is counted from when the request was sent or, where the answer before it was still awaited then, from when
    it was due: so a server that stalls cannot hide what it held up, and this client's own lateness is not the server's.
    """

    def __init__(self, server: Server, path: str, body_bytes: int, connections: int, rate: float) -> None:
        self._server = server
        self._request = f"GET {path} HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode()
        self._body_bytes = body_bytes
        self._rate = rate
        self._poll = select.epoll()
        self._by_descriptor: dict[int, _Connection] = {}
        self._connections = [_Connection(number) for number in range(connections)]
        for connection in self._connections:
            self._open(connection)

    def close(self) -> None:
        for connection in self._connections:
            connection.socket.close()
        self._poll.close()

    def run(self, seconds: float) -> Answers:
        """Sends what is due within so many seconds, and waits for the last answers."""
        # A collection of garbage would look like a slow answer.
        gc.disable()
        try:
            return self._run(seconds)
        finally:
            gc.enable()

    def _run(self, seconds: float) -> Answers:
        answers = Answers()
        start = time.perf_counter()
        end = start + seconds
        interval = len(self._connections) / self._rate
        # Connections without a request under way, by when their next one is due.
        idle: list[tuple[float, int]] = []
        for connection in self._connections:
            connection.due = start + connection.number / self._rate
            idle.append((connection.due, connection.number))
        under_way: set[_Connection] = set()
        while idle or under_way:
            now = time.perf_counter()
            if now > end + PATIENCE:
                for connection in under_way:
                    self._fail(connection, "no answer", answers)
                break
            while idle and idle[0][0] <= now:
                connection = self._connections[heapq.heappop(idle)[1]]
                under_way.add(connection)
                self._send(connection, now)
            until = idle[0][0] if idle else end + PATIENCE
            for connection in self._over(until - now, answers):
                under_way.discard(connection)
                connection.due += interval
                if connection.due < end:
                    heapq.heappush(idle, (connection.due, connection.number))
        return answers

    def _send(self, connection: _Connection, now: float) -> None:
        connection.since = connection.due if connection.idle_since > connection.due else now
        # Where that fails, reading tells why.
        with suppress(OSError):
            connection.socket.send(self._request)

    def _over(self, seconds: float, answers: Answers) -> Iterator[_Connection]:
        """The connections whose request is over, as soon as there are any, or none after these seconds."""
        for descriptor, _ in wait(self._poll, seconds):
            connection = self._by_descriptor.get(descriptor)
            if connection and self._is_over(connection, answers):
                connection.since = None
                connection.idle_since = time.perf_counter()
                yield connection

    def _is_over(self, connection: _Connection, answers: Answers) -> bool:
        try:
            data = connection.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            # The event was one of a connection that this one has replaced.
            return False
        except OSError as error:
            return self._fail(connection, repr(error), answers)
        if not data:
            return self._fail(connection, "the connection was closed", answers)
        connection.received += data
        status, size = answer_size(connection.received)
        if status is None or len(connection.received) < size:
            return False
        if connection.since is None:
            return self._fail(connection, "an answer that nobody asked for", answers)
        if status != 200 or size < self._body_bytes:
            return self._fail(connection, f"unusable: {connection.received[:120]!r}", answers)
        answers.latencies.append(time.perf_counter() - connection.since)
        connection.received = b""
        return True

    def _fail(self, connection: _Connection, reason: str, answers: Answers) -> bool:
        """Notes a failure and goes on with a new connection. Returns whether a request is over by it."""
        was_under_way = connection.since is not None
        if was_under_way:
            answers.failures.append(reason)
        del self._by_descriptor[connection.socket.fileno()]
        self._poll.unregister(connection.socket)
        connection.socket.close()
        self._open(connection)
        return was_under_way

    def _open(self, connection: _Connection) -> None:
        connection.socket = connect(self._server)
        connection.socket.setblocking(False)
        connection.received = b""
        connection.since = None
        self._by_descriptor[connection.socket.fileno()] = connection
        self._poll.register(connection.socket, select.EPOLLIN)


class _Connection:
    """One connection, and the request that is under way on it."""

    socket: socket.socket

    def __init__(self, number: int) -> None:
        self.number = number
        self.received = b""
        # From when the answer's time counts; nothing while no request is under way.
        self.since: Optional[float] = None
        # When the last request was over.
        self.idle_since = 0.0
        # When the next request is due, or the one under way was.
        self.due = 0.0


_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def answer_size(received: bytes) -> tuple[Optional[int], int]:
    """Status and size in bytes, head included, of the answer that begins here; no status before its head is whole."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None, 0
    status, length = _STATUS.match(received), _LENGTH.search(received, 0, end)
    if not status or not length:
        # Nothing that small answers look like: over, and whoever asked will find the status wrong.
        return 0, 0
    return int(status[1]), end + 4 + int(length[1])

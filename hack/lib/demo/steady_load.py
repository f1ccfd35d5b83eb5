"""Steady load on the sample application, and a count of what came of it."""

from __future__ import annotations

import hashlib
import http.client
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Optional

from .http_client import Server
from .waiting import CheckFailed, expect, wait_until

# A request that takes longer has failed.
REQUEST_SECONDS = 30.0
MIB = 1024 * 1024


@dataclass(frozen=True)
class Exchange:
    """A request, and a part of the body that must answer it: all of it, where the answer is not JSON."""

    kind: str
    method: str
    target: str
    answer: bytes
    body: bytes = b""
    # Whether the gateway must bring it to an end whatever happens to a tunnel: it may be processed twice, and its body
    # is little enough to be kept.
    is_replayable: bool = True

    def is_answered_by(self, body: bytes) -> bool:
        return self.answer in body if self.method == "PUT" else self.answer == body


# What the sample application's `/bytes/N` repeats.
SAMPLE_BLOCK = bytes((index * 31 + (index >> 8) * 17) & 0xFF for index in range(65536))


def exchanges(application: str) -> list[Exchange]:
    """One round of mixed requests: small and large, quick and slow, with bodies and without."""

    def small(number: int) -> Exchange:
        target = f"/small/{number}"
        return Exchange("GET small", "GET", target, f"{application}:{target}\n".encode())

    def upload(kind: str, size: int, is_replayable: bool = True) -> Exchange:
        body = b"%06d" % size * (size // 6 + 1)
        digest = hashlib.sha256(body[:size]).hexdigest()
        return Exchange(kind, "PUT", "/checksum", digest.encode(), body[:size], is_replayable)

    return [
        small(0), upload("PUT ≤64 KiB", 1000),
        small(1), Exchange("GET 1 MiB", "GET", f"/bytes/{MIB}", SAMPLE_BLOCK * (MIB // len(SAMPLE_BLOCK))),
        small(2), upload("PUT ≤64 KiB", 20_000), small(3), upload("PUT ≤64 KiB", 64 * 1024),
        small(4), Exchange("GET slow", "GET", "/delay/700", f"{application}\n".encode()),
        small(5), upload("PUT 1 MiB", MIB, is_replayable=False), small(6), upload("PUT ≤64 KiB", 5000),
    ]


@dataclass(frozen=True)
class Failure:
    at: float
    kind: str
    is_replayable: bool
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:.2f} s: {self.detail}"


class SteadyLoad:
    """Clients as they are found: each keeps its connection, sends one request after another, and repeats on a new
    connection a request that a kept one broke off before anything of an answer (RFC 9112 §9.3.1)."""

    def __init__(self, server: Server, application: str, clients: int, pause: float) -> None:
        self._server = server
        self._exchanges = exchanges(application)
        self._pause = pause
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._answered: Counter[str] = Counter()
        self._failures: list[Failure] = []
        self._repeated = 0
        self._slowest = 0.0
        self._start = time.monotonic()
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(clients)]

    def __enter__(self) -> SteadyLoad:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(REQUEST_SECONDS + 5)

    # Looking

    @property
    def now(self) -> float:
        """Seconds since the start, the time in which failures are told."""
        return time.monotonic() - self._start

    @property
    def answered(self) -> int:
        with self._lock:
            return sum(self._answered.values())

    @property
    def failed(self) -> int:
        with self._lock:
            return len(self._failures)

    def goes_on(self, count: int, seconds: float) -> None:
        """Waits until so many more requests have been answered."""
        before = self.answered
        wait_until(f"{count} more requests are answered", seconds, lambda: self.answered >= before + count, pause=0.02)

    def expect_no_failure(self) -> None:
        """That everything was answered that the gateway can bring to an end whatever happens to a tunnel."""
        with self._lock:
            failures = list(self._failures)
        replayable = [failure for failure in failures if failure.is_replayable]
        expect(
            not replayable,
            f"{len(replayable)} replayable requests failed, {len(failures) - len(replayable)} others; {self}\n"
            + "\n".join(str(failure) for failure in (replayable + failures)[:12]))

    def __str__(self) -> str:
        with self._lock:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self._answered.items()))
            others = [failure for failure in self._failures if not failure.is_replayable]
            return (
                f"{sum(self._answered.values())} answered ({kinds}), {len(self._failures) - len(others)} replayable "
                f"failed, {len(others)} others failed, {self._repeated} repeated by clients on a new connection, "
                f"slowest {self._slowest:.1f} s")

    # Clients

    def _run(self, number: int) -> None:
        kept: Optional[http.client.HTTPConnection] = None
        # Clients are spread over the round and over the pause.
        self._is_over.wait(self._pause * (number % 10) / 10)
        while not self._is_over.is_set():
            exchange = self._exchanges[number % len(self._exchanges)]
            number += 1
            started = time.monotonic()
            try:
                kept = self._ask(exchange, kept)
            except (OSError, http.client.HTTPException, CheckFailed) as error:
                kept = None
                detail = f"{type(error).__name__}: {error} after {time.monotonic() - started:.2f} s"
                with self._lock:
                    self._failures.append(Failure(self.now, exchange.kind, exchange.is_replayable, detail))
            else:
                with self._lock:
                    self._answered[exchange.kind] += 1
                    self._slowest = max(self._slowest, time.monotonic() - started)
            self._is_over.wait(self._pause)
        if kept:
            kept.close()

    def _ask(
        self, exchange: Exchange, kept: Optional[http.client.HTTPConnection]
    ) -> Optional[http.client.HTTPConnection]:
        """Returns the connection where it may be used again."""
        fields = [("Content-Length", str(len(exchange.body)))] if exchange.method == "PUT" else []

        def send(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
            return self._server.send(connection, exchange.method, exchange.target, fields, exchange.body or None)

        connection = kept or self._server.connect(REQUEST_SECONDS)
        try:
            try:
                response = send(connection)
            except ConnectionError:
                if not kept:
                    raise
                connection.close()
                with self._lock:
                    self._repeated += 1
                connection = self._server.connect(REQUEST_SECONDS)
                response = send(connection)
            body = response.read()
            expect(response.status == 200, f"{response.status} {body[:200]!r}")
            expect(exchange.is_answered_by(body), f"{len(body)} bytes that are not the answer: {body[:100]!r}")
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
            return None
        return connection

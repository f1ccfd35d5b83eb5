"""Large bodies, one after the other on one connection, by a client that does as little as possible with them."""

from __future__ import annotations

import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Callable

from demo.http_client import Server
from demo.waiting import CheckFailed, expect, expect_equal

from .connecting import connect

BUFFER_BYTES = 256 * 1024
# How long nothing may move.
PATIENCE = 10.0
# How long the last body may take beyond the time that was given.
GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class Transferred:
    bytes: int
    seconds: float


class TransferClient:
    """One connection. `moved` counts the bytes of bodies, for whoever looks on from another thread."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._socket = connect(server)
        self._socket.settimeout(PATIENCE)
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self.moved = 0

    def close(self) -> None:
        self._socket.close()

    def abort(self) -> None:
        """Breaks off what another thread is transferring, which `close` would not wake."""
        # The other side may have been quicker.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def repeat(self, transfer: Callable[[], int], seconds: float) -> Transferred:
        """Transfers one body after the other until the time is over; the last one is finished."""
        limit = threading.Timer(seconds + GRACE_SECONDS, self.abort)
        limit.start()
        try:
            began = time.perf_counter()
            total = 0
            while time.perf_counter() - began < seconds:
                total += transfer()
            return Transferred(total, time.perf_counter() - began)
        finally:
            limit.cancel()

    def download(self, path: str, size: int) -> int:
        """Fetches a body of this size."""
        try:
            self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._server.host}\r\n\r\n".encode())
            length, body = self._answer_head(path)
            expect_equal(length, size, f"GET {path}: length of the answer")
            self.moved += len(body)
            left = size - len(body)
            while left:
                count = self._socket.recv_into(self._buffer, min(left, BUFFER_BYTES))
                expect(count, f"GET {path}: the answer ends {left} bytes too early")
                left -= count
                self.moved += count
        except OSError as error:
            raise CheckFailed(f"GET {path}: {error!r}") from error
        return size

    def upload(self, path: str, size: int) -> int:
        """Sends a body of this size to a sink, which must say that it has read as much."""
        head = f"PUT {path} HTTP/1.1\r\nHost: {self._server.host}\r\nContent-Length: {size}\r\n\r\n"
        try:
            self._socket.sendall(head.encode())
            left = size
            while left:
                count = self._socket.send(self._buffer[:min(left, BUFFER_BYTES)])
                left -= count
                self.moved += count
            length, body = self._answer_head(path)
            while len(body) < length:
                data = self._socket.recv(BUFFER_BYTES)
                expect(data, f"PUT {path}: the answer ends too early")
                body += data
            expect_equal(body, str(size).encode(), f"PUT {path}: bytes that arrived at the backend")
        except OSError as error:
            raise CheckFailed(f"PUT {path}: {error!r}; an answer before its time: {self._early_answer()!r}") from error
        return size

    def _answer_head(self, path: str) -> tuple[int, bytes]:
        """Reads the head of an answer, which must be 200: the body's length, and what came of it already."""
        received = b""
        while b"\r\n\r\n" not in received:
            data = self._socket.recv(BUFFER_BYTES)
            expect(data, f"{path}: the connection ends where an answer should begin, after {received[:80]!r}")
            received += data
        head, _, body = received.partition(b"\r\n\r\n")
        expect(head.split(b" ", 2)[1:2] == [b"200"], f"{path}: answered {head.splitlines()[0]!r}")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, flags=re.IGNORECASE)
        if not length:
            raise CheckFailed(f"{path}: the answer names no length")
        return int(length[1]), body

    def _early_answer(self) -> bytes:
        """The start of an answer that came although the request was not whole."""
        try:
            self._socket.setblocking(False)
            return self._socket.recv(80)
        except OSError:
            return b""

"""Where uploads end: an HTTP server that reads every byte of a body and keeps none.

A program of its own (`python3 -m bench.sink ADDRESS PORT`), because no setting makes nginx do just that: `return`
answers before the body has come, and a PUT writes it to a file, which costs more than carrying it and needs as much
memory. It answers a request with a body once it has read all of it, with the number of bytes; `GET /received` tells how
many bytes of bodies have arrived since its start, those of unfinished requests included.
"""

from __future__ import annotations

import re
import signal
import socket
import sys
import threading

RECEIVED_PATH = "/received"
BUFFER_BYTES = 256 * 1024
HEAD_LIMIT = 64 * 1024


class Sink:
    def __init__(self, host: str, port: int) -> None:
        self._listener = socket.create_server((host, port), backlog=256)
        self._lock = threading.Lock()
        self._received = 0

    def run(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer, rest = bytearray(BUFFER_BYTES), b""
        with connection:
            try:
                while True:
                    head, rest = _head(connection, rest)
                    if not head:
                        return
                    rest = self._answer(connection, head, rest, buffer)
            except OSError:
                # The client is gone.
                return

    def _answer(self, connection: socket.socket, head: bytes, rest: bytes, buffer: bytearray) -> bytes:
        """Reads the body of a request and answers; returns what had been read of the next one."""
        if re.search(rb"\r\ntransfer-encoding:", head, flags=re.IGNORECASE):
            connection.sendall(b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            raise ConnectionError("a body without a length")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, flags=re.IGNORECASE)
        size = int(length[1]) if length else 0
        left = size - min(size, len(rest))
        self._add(size - left)
        while left:
            count = connection.recv_into(buffer, min(left, BUFFER_BYTES))
            if not count:
                raise ConnectionError("the body ends too early")
            left -= count
            self._add(count)
        is_question = head.split(b" ", 2)[1] == RECEIVED_PATH.encode()
        text = str(self._received if is_question else size).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
        return rest[size:]

    def _add(self, count: int) -> None:
        with self._lock:
            self._received += count


def _head(connection: socket.socket, rest: bytes) -> tuple[bytes, bytes]:
    """The next request's head, empty where there is none, and what was read beyond it."""
    while b"\r\n\r\n" not in rest:
        data = connection.recv(HEAD_LIMIT)
        if not data or len(rest) > HEAD_LIMIT:
            return b"", b""
        rest += data
    head, _, rest = rest.partition(b"\r\n\r\n")
    return head, rest


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Sink(sys.argv[1], int(sys.argv[2])).run()

"""Clients that ask for a large file and then do not read what they are sent."""

from __future__ import annotations

import re
import socket
from typing import Optional

from demo.http_client import Server

from .connecting import connect

# The least that the kernel lets a receive buffer be.
RECEIVE_BUFFER = 1


class StalledDownloads:
    """Grows on request; all of them stay as they are until `close`."""

    def __init__(self, server: Server, path: str) -> None:
        self._server = server
        self._request = f"GET {path} HTTP/1.1\r\nHost: {server.host}\r\n\r\n".encode()
        self._connections: list[socket.socket] = []

    def add(self, count: int) -> None:
        for _ in range(count):
            connection = connect(self._server, RECEIVE_BUFFER)
            self._connections.append(connection)
            connection.sendall(self._request)
            connection.setblocking(False)

    def __len__(self) -> int:
        return len(self._connections)

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def statuses(self) -> list[Optional[int]]:
        """How each was answered; nothing for one that has seen no answer. Looks without reading."""
        return [_status(connection) for connection in self._connections]


def _status(connection: socket.socket) -> Optional[int]:
    try:
        found = re.match(rb"HTTP/1\.1 (\d{3})", connection.recv(16, socket.MSG_PEEK))
    except OSError:
        return None
    return int(found[1]) if found else None

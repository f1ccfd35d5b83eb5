"""Connections of this process's own clients."""

from __future__ import annotations

import resource
import select
import socket
from typing import Optional

from demo.http_client import Server
from demo.waiting import CheckFailed

CONNECT_SECONDS = 5.0


def connect(server: Server, receive_buffer: Optional[int] = None) -> socket.socket:
    """A connection on which requests leave at once; a small receive buffer keeps the kernel from reading ahead."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(CONNECT_SECONDS)
        connection.connect((server.address, server.port))
        if server.tls:
            return server.tls.wrap_socket(connection, server_hostname=server.address)
    except OSError as error:
        connection.close()
        raise CheckFailed(f"cannot connect to {server.address}:{server.port}: {error}") from error
    return connection


def wait(poll: select.epoll, seconds: Optional[float]) -> list[tuple[int, int]]:
    """What has happened as soon as anything has, or nothing after these seconds.

    Unlike the waiting of `poll` itself, which ends at whole milliseconds, this ends in time.
    """
    timeout = None if seconds is None else max(0.0, seconds)
    return poll.poll(0) if select.select([poll], [], [], timeout)[0] else []


def allow_many() -> None:
    """Lets this process, and those that it starts, have as many files open as it may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

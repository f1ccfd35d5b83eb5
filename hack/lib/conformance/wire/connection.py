"""Sockets at both ends of a case: the client's, and those on which the application is called."""

from __future__ import annotations

import select
import socket
import time
from typing import Callable, Optional

from demo.waiting import CheckFailed, expect

from .message import Malformed, Message, read_request, read_response

# The longest that anything may take that is to happen.
SECONDS = 5.0


class Connection:
    """One connection. Everything that comes is kept; what was understood is taken from the front."""

    def __init__(self, plain: socket.socket, name: str) -> None:
        self.socket = plain
        self.name = name
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()
        # What of it has been taken.
        self.taken = 0
        self.has_ended = False
        # Whether it ended by a reset.
        self.was_reset = False

    @property
    def rest(self) -> bytes:
        """What came and is not taken."""
        return bytes(self.received[self.taken:])

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
            # The other side has closed it; what it said before is still to be read.
            pass

    def pump(self) -> None:
        """Takes in what the socket has; to be called when there is something."""
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            self.was_reset = True
            data = b""
        self.received += data
        self.has_ended = self.has_ended or not data

    def wait(self, what: str, condition: Callable[[], object], seconds: float = SECONDS) -> None:
        """Takes in bytes until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            if self.has_ended or left <= 0:
                why = "the connection ended" if self.has_ended else f"not within {seconds:g} s"
                raise CheckFailed(f"{self.name}: {what}: {why}; got {shown(self.rest)}")
            if select.select([self.socket], [], [], left)[0]:
                self.pump()

    def wait_for(self, data: bytes, seconds: float = SECONDS) -> None:
        """Takes exactly these bytes."""
        self.wait(shown(data), lambda: len(self.rest) >= len(data), seconds)
        expect(self.rest.startswith(data), f"{self.name}: expected {shown(data)}, got {shown(self.rest)}")
        self.taken += len(data)

    def wait_until_ended(self, seconds: float = SECONDS) -> None:
        self.wait("the end of the connection", lambda: self.has_ended, seconds)

    def response(self, method: bytes = b"GET", seconds: float = SECONDS) -> Message:
        """Takes the next response, an informational one too."""
        found: list[Message] = []

        def is_there() -> bool:
            message = read_response(self.rest, method, self.has_ended)
            found.extend([message] if message else [])
            return bool(found)

        try:
            self.wait("a response", is_there, seconds)
        except CheckFailed:
            # One that is ended by the connection's end.
            if not is_there():
                raise
        self.taken += found[0].size
        return found[0]

    def end_output(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Ends the connection as a crash would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def close(self) -> None:
        self.socket.close()


class Recorder:
    """The application: keeps the bytes that it gets, and answers with what it is told to."""

    def __init__(self, address: str, port: int) -> None:
        self._listener = socket.create_server((address, port), backlog=256)
        self.address = (address, port)
        self.connections: list[Connection] = []

    def close(self) -> None:
        self.end_connections()
        self._listener.close()

    def accept(self, seconds: float = SECONDS) -> Connection:
        """The next new connection."""
        expect(select.select([self._listener], [], [], seconds)[0], "the application was not called")
        return self._accept()

    def _accept(self) -> Connection:
        plain, _ = self._listener.accept()
        connection = Connection(plain, "application")
        self.connections.append(connection)
        return connection

    def pump(self, seconds: float, also: Optional[Connection] = None) -> None:
        """Takes in what comes next on any connection, or on another one beside them."""
        open_connections = [one for one in self.connections if not one.has_ended and one.socket.fileno() >= 0]
        if also and not also.has_ended:
            open_connections.append(also)
        sockets = [one.socket for one in open_connections]
        ready = select.select([self._listener, *sockets], [], [], max(seconds, 0))[0]
        if self._listener in ready:
            self._accept()
        for connection in open_connections:
            if connection.socket in ready:
                connection.pump()

    def drain(self) -> None:
        """Takes in all that is there already."""
        while True:
            before = sum(len(connection.received) + 1 for connection in self.connections)
            self.pump(0)
            if before == sum(len(connection.received) + 1 for connection in self.connections):
                return

    def next(
        self, client: Optional[Connection] = None, seconds: float = SECONDS
    ) -> tuple[Connection, Message, bytes]:
        """The next whole request, on whichever connection it comes, with its bytes as they came.

        Fails at once where the client is answered, or its connection ended, before the application was asked.
        """
        deadline = time.monotonic() + seconds
        while True:
            for connection in self.connections:
                try:
                    message = read_request(connection.rest)
                except Malformed as error:
                    raise CheckFailed(
                        f"the application got what is not HTTP/1.1: {error}; {shown(connection.rest)}") from None
                if message:
                    data = connection.rest[:message.size]
                    connection.taken += message.size
                    return connection, message, data
            heard = client is not None and (client.has_ended or bool(client.rest))
            left = deadline - time.monotonic()
            if heard or left <= 0:
                got = b" ".join(connection.rest for connection in self.connections)
                said = f", but the client {shown(client.rest)}" if client else ""
                raise CheckFailed(f"no whole request reached the application{said}; it got {shown(got)}")
            self.pump(left, client)

    def end_connections(self) -> None:
        """Closes every connection, one that nobody looked at too; the agent has heard of it when this returns."""
        self.drain()
        for connection in self.connections:
            if connection.socket.fileno() < 0:
                continue
            try:
                connection.end_output()
                connection.wait_until_ended(2)
            except (OSError, CheckFailed):
                pass
            connection.close()
        self.connections = []


def shown(data: bytes, most: int = 2000) -> str:
    """Bytes for a person to read."""
    if not data:
        return "nothing"
    return repr(data[:most])[1:] + (f"… ({len(data)} bytes)" if len(data) > most else "")

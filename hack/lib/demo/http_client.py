"""An HTTP/1.1 client that changes nothing: targets, field names, repeated fields and arrival times stay as they are."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator, Optional, Sequence, Union

Fields = Sequence[tuple[str, str]]
Body = Union[bytes, Iterable[bytes], None]


@dataclass(frozen=True)
class Response:
    status: int
    fields: list[tuple[str, str]]
    body: bytes
    seconds: float

    def values(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field.lower() == name.lower()]

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """An HTTP server, at an address and port, asked for one host; by TLS where the file of an authority is given, whose
    certificate must be for the address."""

    def __init__(self, address: str, port: int, host: str, authority: Optional[Path] = None) -> None:
        self.address = address
        self.port = port
        self.host = host
        self.tls = ssl.create_default_context(cafile=str(authority)) if authority else None

    @property
    def scheme(self) -> str:
        return "https" if self.tls else "http"

    def connect(self, timeout: float = 10.0) -> http.client.HTTPConnection:
        if self.tls:
            return http.client.HTTPSConnection(self.address, self.port, timeout=timeout, context=self.tls)
        return http.client.HTTPConnection(self.address, self.port, timeout=timeout)

    def send(
        self, connection: http.client.HTTPConnection, method: str, target: str, fields: Fields = (), body: Body = None
    ) -> http.client.HTTPResponse:
        """Sends a request with just these fields and `Host`, and returns when the response's head has arrived."""
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", self.host)
        for name, value in fields:
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection.getresponse()

    def request(
        self, method: str, target: str, fields: Fields = (), body: Body = None, timeout: float = 10.0
    ) -> Response:
        """One exchange on a connection of its own. Without an answer: status 0, and the error as the body."""
        started = time.monotonic()
        connection = self.connect(timeout)
        try:
            response = self.send(connection, method, target, fields, body)
            content = response.read()
            return Response(response.status, response.getheaders(), content, time.monotonic() - started)
        except (OSError, http.client.HTTPException) as error:
            return Response(0, [], repr(error).encode(), time.monotonic() - started)
        finally:
            connection.close()

    def get(self, target: str = "/", fields: Fields = (), timeout: float = 10.0) -> Response:
        return self.request("GET", target, fields, timeout=timeout)


class Poller:
    """Asks one server the same thing again and again, on a kept-alive connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: Optional[http.client.HTTPConnection] = None

    def get(self, target: str = "/") -> Response:
        started = time.monotonic()
        connection = self._connection or self._server.connect()
        try:
            response = self._server.send(connection, "GET", target)
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self._connection = None
            return Response(0, [], repr(error).encode(), time.monotonic() - started)
        self._connection = None if response.will_close else connection
        return Response(response.status, response.getheaders(), content, time.monotonic() - started)

    def close(self) -> None:
        if self._connection:
            self._connection.close()


class RawExchange:
    """One request on a plain socket, to see the response's bytes as they arrive."""

    def __init__(self, server: Server, request: bytes, timeout: float = 10.0) -> None:
        self._socket = socket.create_connection((server.address, server.port), timeout=timeout)
        self._socket.sendall(request)
        self._buffer = b""

    def __enter__(self) -> RawExchange:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionError(f"the connection ended; left over: {self._buffer!r}")
        self._buffer += data

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._receive()
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line

    def head(self) -> tuple[int, dict[str, str]]:
        """The status and the fields, their names in lower case."""
        status = int(self._line().split()[1])
        fields = {}
        while line := self._line():
            name, value = line.decode("latin-1").split(":", 1)
            fields[name.strip().lower()] = value.strip()
        return status, fields

    def chunks(self) -> Iterator[tuple[float, bytes]]:
        """The chunks of a chunked body, each with the time at which its last byte had arrived."""
        while size := int(self._line().split(b";")[0], 16):
            while len(self._buffer) < size + 2:
                self._receive()
            chunk, self._buffer = self._buffer[:size], self._buffer[size + 2 :]
            yield time.monotonic(), chunk

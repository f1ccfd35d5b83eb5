"""An HTTP/1.1 client that shows what a friendlier one hides: informational heads, trailers, and the moment of each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Optional, Sequence

Fields = Sequence[tuple[str, str]]


@dataclass
class Answer:
    status: int
    fields: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    # Informational heads that came before.
    informational: list[tuple[int, list[tuple[str, str]]]] = field(default_factory=list)


class Client:
    """One connection to the gateway's front door."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int) -> Client:
        # A small buffer, so that a client that does not read is noticed by who sends to it.
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=65_536))

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Goes away without a word."""
        self.writer.transport.abort()

    def send_head(self, method: str, host: str, target: str = "/", fields: Fields = ()) -> None:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in fields)]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    async def send(self, payload: bytes) -> None:
        self.writer.write(payload)
        await self.writer.drain()

    async def send_chunk(self, payload: bytes) -> None:
        await self.send(b"%x\r\n%s\r\n" % (len(payload), payload))

    async def send_last_chunk(self, trailers: Fields = ()) -> None:
        await self.send(("0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in trailers) + "\r\n").encode())

    async def receive_head(self) -> Answer:
        """The next head, be it informational or not."""
        block = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = block[:-4].split("\r\n")
        return Answer(int(status.split()[1]), [_field(line) for line in lines])

    async def receive_chunk(self) -> bytes:
        size = int(await self.reader.readline(), 16)
        if size == 0:
            return b""
        return (await self.reader.readexactly(size + 2))[:-2]

    async def receive(self, method: str = "GET") -> Answer:
        """The rest of an answer, informational heads included."""
        informational = []
        answer = await self.receive_head()
        while answer.status < 200 and answer.status != 101:
            informational.append((answer.status, answer.fields))
            answer = await self.receive_head()
        answer.informational = informational
        fields = {name.lower(): value for name, value in answer.fields}
        if method == "HEAD" or answer.status in (101, 204, 304):
            return answer
        if fields.get("transfer-encoding") == "chunked":
            parts = []
            while chunk := await self.receive_chunk():
                parts.append(chunk)
            answer.body = b"".join(parts)
            while (line := await self.reader.readline()) not in (b"\r\n", b""):
                answer.trailers.append(_field(line.decode("latin-1").rstrip()))
        elif "content-length" in fields:
            answer.body = await self.reader.readexactly(int(fields["content-length"]))
        else:
            answer.body = await self.reader.read()
        return answer


async def request(
    port: int, host: str, target: str = "/", method: str = "GET", body: Optional[bytes] = None, fields: Fields = ()
) -> Answer:
    """One exchange on a connection of its own."""
    async with await Client.connect(port) as client:
        length = [] if body is None else [("Content-Length", str(len(body)))]
        client.send_head(method, host, target, [*fields, *length])
        if body:
            await client.send(body)
        return await client.receive(method)


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()

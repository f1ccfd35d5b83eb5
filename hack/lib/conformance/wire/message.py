"""Reads HTTP/1.1 messages strictly, and writes them in one way, so that two can be compared (RFC 9112).

What is not told apart: how a chunked body is cut into chunks. Everything else is kept as it came.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Optional

Field = tuple[bytes, bytes]

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^\x00-\x20\x7f]+ HTTP/1\.[01]")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-9][0-9]{2} [\t\x20-\x7e\x80-\xff]*")


class Malformed(Exception):
    """These bytes are not HTTP/1.1."""


@dataclass(frozen=True)
class Message:
    start: bytes
    fields: tuple[Field, ...]
    body: bytes = b""
    # `None` but for a chunked body.
    trailers: Optional[tuple[Field, ...]] = None
    # How many bytes it took.
    size: int = 0

    def values(self, name: str) -> list[bytes]:
        return [value for field, value in self.fields if field.lower() == name.lower().encode()]

    @property
    def status(self) -> int:
        return int(self.start.split(b" ")[1])

    def without(self, *names: str) -> Message:
        gone = {name.lower().encode() for name in names}
        return replace(self, fields=tuple(field for field in self.fields if field[0].lower() not in gone))

    @property
    def canonical(self) -> bytes:
        """The message as bytes, with its whole body in one chunk where it is chunked."""
        text = self.start + b"\r\n" + _lines(self.fields) + b"\r\n"
        if self.trailers is None:
            return text + self.body
        chunk = b"%x\r\n%s\r\n" % (len(self.body), self.body) if self.body else b""
        return text + chunk + b"0\r\n" + _lines(self.trailers) + b"\r\n"


def _lines(fields: tuple[Field, ...]) -> bytes:
    return b"".join(b"%s: %s\r\n" % field for field in fields)


def read_request(data: bytes) -> Optional[Message]:
    """The first request of these bytes, `None` while it is incomplete."""
    head = _head(data, _REQUEST_LINE)
    if head is None:
        return None
    if not head.values("Content-Length") and not head.values("Transfer-Encoding"):
        return head
    return _with_body(head, data)


def read_response(data: bytes, method: bytes = b"GET", has_ended: bool = False) -> Optional[Message]:
    """The first response of these bytes, `None` while it is incomplete.

    Where its end is the connection's, `has_ended` says whether that has come.
    """
    head = _head(data, _STATUS_LINE)
    if head is None:
        return None
    if head.status < 200 or head.status in (204, 304) or method == b"HEAD":
        return head
    if not head.values("Content-Length") and not head.values("Transfer-Encoding"):
        return replace(head, body=data[head.size:], size=len(data)) if has_ended else None
    return _with_body(head, data)


def _head(data: bytes, start: re.Pattern[bytes]) -> Optional[Message]:
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = data[:end].split(b"\r\n")
    if not start.fullmatch(first):
        raise Malformed(f"its first line is {first!r}")
    return Message(first, tuple(_field(line) for line in lines), size=end + 4)


def _field(line: bytes) -> Field:
    name, colon, value = line.partition(b":")
    value = value.strip(b" \t")
    if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise Malformed(f"a field line is {line!r}")
    return name, value


def _with_body(head: Message, data: bytes) -> Optional[Message]:
    lengths, codings = head.values("Content-Length"), head.values("Transfer-Encoding")
    if codings:
        if lengths or [coding.lower() for coding in codings] != [b"chunked"]:
            raise Malformed(f"its framing is {lengths!r} and {codings!r}")
        return _chunked(head, data)
    if len(lengths) != 1 or not lengths[0].isdigit():
        raise Malformed(f"its Content-Length is {lengths!r}")
    end = head.size + int(lengths[0])
    return replace(head, body=data[head.size:end], size=end) if len(data) >= end else None


def _chunked(head: Message, data: bytes) -> Optional[Message]:
    position, body = head.size, []
    while True:
        end = data.find(b"\r\n", position)
        if end < 0:
            return None
        if not re.fullmatch(rb"[0-9A-Fa-f]+", data[position:end]):
            raise Malformed(f"a chunk's first line is {data[position:end]!r}")
        size, position = int(data[position:end], 16), end + 2
        if size == 0:
            break
        if len(data) < position + size + 2:
            return None
        if data[position + size:position + size + 2] != b"\r\n":
            raise Malformed("a chunk is longer than its size")
        body.append(data[position:position + size])
        position += size + 2
    trailers = []
    while True:
        end = data.find(b"\r\n", position)
        if end < 0:
            return None
        line, position = data[position:end], end + 2
        if not line:
            return replace(head, body=b"".join(body), trailers=tuple(trailers), size=position)
        trailers.append(_field(line))

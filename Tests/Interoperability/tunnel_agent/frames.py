"""Frames (§4): bytes to values and back."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import Iterator, Union

from .violation import Violation

MESSAGE_LIMIT = 262_144
DATA_LIMIT = 65_536
HEADERS_LIMIT = 131_072
DETAIL_LIMIT = 1_024
FIELDS_TO_SEND = 65_536

END_STREAM = 0x01

Fields = list[tuple[str, str]]

RESET_CODES = [
    "cancelled", "protocol_error", "internal_error", "refused", "overloaded", "not_advertised", "backend_unresolved",
    "backend_unreachable", "backend_timeout", "backend_closed", "backend_invalid", "idle_timeout",
    "backend_connect_timeout", "backend_tls_failed",
]

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NOT_IN_VALUE = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_NOT_IN_TARGET = re.compile("[\x00-\x20\x7f]")


@dataclass
class Request:
    window: int
    method: str
    authority: str
    target: str
    fields: Fields = field(default_factory=list)
    upgrade: str = ""


@dataclass
class Response:
    status: int
    fields: Fields = field(default_factory=list)


@dataclass
class Trailers:
    fields: Fields = field(default_factory=list)


Head = Union[Request, Response, Trailers]


@dataclass
class Headers:
    stream: int
    head: Head
    end_stream: bool = False


@dataclass
class Data:
    stream: int
    payload: bytes
    end_stream: bool = False


@dataclass
class Window:
    stream: int
    increment: int


@dataclass
class Reset:
    stream: int
    code: str
    detail: str = ""


@dataclass
class GoAway:
    last_stream: int
    detail: str = ""


Frame = Union[Headers, Data, Window, Reset, GoAway]


# Writing


def encode(frame: Frame) -> bytes:
    flags = 0
    if isinstance(frame, Data):
        kind, stream, payload, flags = 0, frame.stream, frame.payload, END_STREAM if frame.end_stream else 0
    elif isinstance(frame, Headers):
        kind, stream, payload, flags = 1, frame.stream, _head(frame.head), END_STREAM if frame.end_stream else 0
    elif isinstance(frame, Window):
        kind, stream, payload = 2, frame.stream, struct.pack("!I", frame.increment)
    elif isinstance(frame, Reset):
        code = struct.pack("!I", RESET_CODES.index(frame.code))
        kind, stream, payload = 3, frame.stream, code + frame.detail.encode()
    else:
        kind, stream, payload = 4, 0, struct.pack("!I", frame.last_stream) + frame.detail.encode()
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def _text8(text: str) -> bytes:
    data = text.encode()
    return struct.pack("!B", len(data)) + data


def _text16(text: str) -> bytes:
    data = text.encode()
    return struct.pack("!H", len(data)) + data


def _fields(fields: Fields) -> bytes:
    return struct.pack("!H", len(fields)) + b"".join(_text16(name) + _text16(value) for name, value in fields)


def _head(head: Head) -> bytes:
    if isinstance(head, Request):
        texts = _text8(head.method) + _text8(head.upgrade) + _text16(head.authority) + _text16(head.target)
        return struct.pack("!BI", 1, head.window) + texts + _fields(head.fields)
    if isinstance(head, Response):
        return struct.pack("!BH", 2, head.status) + _fields(head.fields)
    return struct.pack("!B", 3) + _fields(head.fields)


def is_sendable(head: Union[Response, Trailers]) -> bool:
    """Whether the gateway will take it: a sender checks before it sends."""
    try:
        _check_fields(head.fields)
        return len(_fields(head.fields)) <= FIELDS_TO_SEND
    except (Violation, struct.error):
        return False


# Reading


def decode(message: bytes) -> Iterator[Frame]:
    """The frames of one binary message; those of unknown types are passed over."""
    if len(message) > MESSAGE_LIMIT:
        raise Violation("too_large", f"a message of {len(message)} bytes")
    position = 0
    while position < len(message):
        if len(message) - position < 9:
            raise Violation("truncated", "a message that ends inside a frame's header")
        length = int.from_bytes(message[position:position + 3], "big")
        kind, flags, stream = struct.unpack_from("!BBI", message, position + 3)
        position += 9
        if kind in _READERS and length > _READERS[kind][0]:
            raise Violation("too_large", f"a frame of type {kind} with {length} bytes")
        if length > len(message) - position:
            raise Violation("truncated", "a frame longer than its message")
        payload = message[position:position + length]
        position += length
        if kind in _READERS:
            yield _READERS[kind][1](stream, bool(flags & END_STREAM), payload)


class _Cursor:
    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._position = 0

    def take(self, count: int) -> bytes:
        if len(self._payload) - self._position < count:
            raise Violation("truncated", "a frame that ends before its fields do")
        self._position += count
        return self._payload[self._position - count:self._position]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def text(self, size: int) -> str:
        return self.take(self.number(size)).decode(errors="replace")

    def rest(self) -> str:
        return self.take(len(self._payload) - self._position).decode(errors="replace")

    def end(self) -> None:
        if self._position != len(self._payload):
            raise Violation("malformed_frame", "bytes behind the last field")


def _data(stream: int, end_stream: bool, payload: bytes) -> Frame:
    return Data(stream, payload, end_stream)


def _headers(stream: int, end_stream: bool, payload: bytes) -> Frame:
    cursor = _Cursor(payload)
    kind = cursor.number(1)
    head: Head
    if kind == 1:
        window = cursor.number(4)
        method, upgrade = cursor.text(1), cursor.text(1)
        authority, target = cursor.text(2), cursor.text(2)
        head = Request(window, method, authority, target, _read_fields(cursor), upgrade)
        _check(window < 1 << 31, "a window beyond 2^31-1")
        _check(_TOKEN.fullmatch(method), "a method that is no token")
        _check(not upgrade or not _NOT_IN_VALUE.search(upgrade), "an upgrade that is no protocol")
        _check(not _NOT_IN_TARGET.search(authority), "an authority with a space or control character")
        _check(target and not _NOT_IN_TARGET.search(target), "a target that is empty or has a space")
    elif kind == 2:
        head = Response(cursor.number(2), _read_fields(cursor))
        _check(100 <= head.status <= 999, "a status out of range")
    elif kind == 3:
        head = Trailers(_read_fields(cursor))
    else:
        raise Violation("malformed_frame", f"HEADERS of kind {kind}")
    cursor.end()
    return Headers(stream, head, end_stream)


def _read_fields(cursor: _Cursor) -> Fields:
    fields = []
    for _ in range(cursor.number(2)):
        name = cursor.text(2)
        fields.append((name, cursor.text(2)))
    _check_fields(fields)
    return fields


def _check_fields(fields: Fields) -> None:
    for name, value in fields:
        _check(_TOKEN.fullmatch(name), "a field name that is no token")
        _check(not _NOT_IN_VALUE.search(value), "a field value with a control character")


def _check(condition: object, detail: str) -> None:
    if not condition:
        raise Violation("malformed_frame", detail)


def _window(stream: int, _: bool, payload: bytes) -> Frame:
    cursor = _Cursor(payload)
    increment = cursor.number(4)
    cursor.end()
    return Window(stream, increment)


def _reset(stream: int, _: bool, payload: bytes) -> Frame:
    cursor = _Cursor(payload)
    code = cursor.number(4)
    name = RESET_CODES[code] if code < len(RESET_CODES) else "internal_error"
    return Reset(stream, name, cursor.rest())


def _go_away(_: int, __: bool, payload: bytes) -> Frame:
    cursor = _Cursor(payload)
    return GoAway(cursor.number(4), cursor.rest())


_READERS = {
    0: (DATA_LIMIT, _data),
    1: (HEADERS_LIMIT, _headers),
    2: (MESSAGE_LIMIT, _window),
    3: (4 + DETAIL_LIMIT, _reset),
    4: (4 + DETAIL_LIMIT, _go_away),
}

"""Clients of HTTP/2: the library h2, which checks what the gateway sends, and frames of which nothing is checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Iterable, Optional

import hpack
from demo.waiting import CheckFailed, expect, expect_equal
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError

from .case import HOST, OK, Stage, get
from .connection import SECONDS, Connection, shown

Field = tuple[bytes, bytes]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Types of frames (RFC 9113 §6).
(DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION) = range(10)
END_STREAM, END_HEADERS, PADDED, WITH_PRIORITY, ACK = 0x1, 0x4, 0x8, 0x20, 0x1
# Codes of errors (RFC 9113 §7).
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR,
 REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM) = range(12)


def fields(*more: str, method: str = "GET", path: str = "/", host: Optional[str] = HOST) -> list[Field]:
    """The fields of a request, pseudo ones first; more as `name: value`."""
    pseudo = [(":method", method), (":scheme", "http"), (":path", path)]
    if host is not None:
        pseudo.append((":authority", host))
    return [(name.encode(), value.encode("latin-1")) for name, value in pseudo] + [pair(line) for line in more]


def pair(line: str) -> Field:
    """A field from `name: value`, where the name may begin with a colon."""
    name, _, value = line[1:].partition(": ")
    return (line[0] + name).encode("latin-1"), value.encode("latin-1")


@dataclass
class Answer:
    """What has come on a stream."""

    informational: list[list[Field]] = field(default_factory=list)
    fields: Optional[list[Field]] = None
    body: bytes = b""
    trailers: Optional[list[Field]] = None
    has_ended: bool = False
    reset: Optional[int] = None

    @property
    def status(self) -> int:
        return int(dict(self.fields or [])[b":status"])

    @property
    def is_over(self) -> bool:
        return self.has_ended or self.reset is not None

    def values(self, name: str) -> list[bytes]:
        return [value for field_name, value in self.fields or [] if field_name == name.encode()]


class Client:
    """The library's connection: an answer that breaks a rule of HTTP/2 fails the case."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.state = H2Connection(H2Configuration(
            client_side=True, header_encoding=None, validate_outbound_headers=False,
            normalize_outbound_headers=False))
        self.answers: dict[int, Answer] = {}
        self.goaway: Optional[tuple[int, int]] = None
        # Whether what comes is credited at once.
        self.credits = True
        self.state.initiate_connection()
        self.flush()

    def flush(self) -> None:
        data = self.state.data_to_send()
        if data:
            self.connection.send(data)

    def request(self, block: Iterable[Field], body: Optional[bytes] = None, end: bool = True) -> int:
        """Sends a request, as far as given, and returns its stream."""
        stream = self.state.get_next_available_stream_id()
        self.answers[stream] = Answer()
        self.state.send_headers(stream, list(block), end_stream=body is None and end)
        if body is not None:
            self.state.send_data(stream, body, end_stream=end)
        self.flush()
        return stream

    def send(self, stream: int, body: bytes, end: bool = False) -> None:
        """Sends as much as the gateway lets it, and the rest as it lets it."""
        while True:
            size = min(self.state.local_flow_control_window(stream), self.state.max_outbound_frame_size, len(body))
            if size > 0 or not body:
                self.state.send_data(stream, body[:size], end_stream=end and size == len(body))
                self.flush()
                body = body[size:]
                if not body:
                    return
            else:
                self.wait("credit", lambda: self.state.local_flow_control_window(stream) > 0)

    def trailers(self, stream: int, block: list[Field]) -> None:
        self.state.send_headers(stream, block, end_stream=True)
        self.flush()

    def reset(self, stream: int, code: int = CANCEL) -> None:
        self.state.reset_stream(stream, code)
        self.flush()

    def wait(self, what: str, condition: Callable[[], object], seconds: float = SECONDS) -> None:
        def is_there() -> bool:
            self._take()
            return bool(condition())

        self.connection.wait(what, is_there, seconds)

    def head(self, stream: int) -> Answer:
        answer = self.answers[stream]
        self.wait(f"the head on stream {stream}", lambda: answer.fields is not None or answer.is_over)
        expect(answer.fields is not None, f"stream {stream} was reset ({answer.reset}) before its head")
        return answer

    def answer(self, stream: int) -> Answer:
        """The whole answer."""
        answer = self.answers[stream]
        self.wait(f"the end of stream {stream}", lambda: answer.is_over)
        expect(answer.has_ended, f"stream {stream} was reset: {answer.reset}")
        return answer

    def _take(self) -> None:
        data = self.connection.rest
        if not data:
            return
        self.connection.taken += len(data)
        try:
            happened = self.state.receive_data(data)
        except ProtocolError as error:
            raise CheckFailed(f"what the gateway sends is not HTTP/2: {error!r}; {shown(data)}") from None
        for event in happened:
            self._note(event)
        self.flush()

    def _note(self, event: events.Event) -> None:
        answer = self.answers.get(getattr(event, "stream_id", None) or 0, Answer())
        if isinstance(event, events.InformationalResponseReceived):
            answer.informational.append(list(event.headers))
        elif isinstance(event, events.ResponseReceived):
            answer.fields = list(event.headers)
        elif isinstance(event, events.TrailersReceived):
            answer.trailers = list(event.headers)
        elif isinstance(event, events.DataReceived):
            answer.body += event.data
            if self.credits and event.flow_controlled_length:
                self.state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, events.StreamEnded):
            answer.has_ended = True
        elif isinstance(event, events.StreamReset) and event.remote_reset is not False:
            answer.reset = event.error_code
        elif isinstance(event, events.ConnectionTerminated):
            self.goaway = event.error_code, event.last_stream_id


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"", length: Optional[int] = None) -> bytes:
    """A frame's bytes, whatever they mean."""
    size = len(payload) if length is None else length
    return size.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def settings(*values: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(
        name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in values))


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def rst_stream(stream: int, code: int = CANCEL) -> bytes:
    return frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


class Raw:
    """Sends whatever it is told to, and reads frames."""

    def __init__(self, connection: Connection, opening: bytes = PREFACE + settings()) -> None:
        self.connection = connection
        self.encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self.frames: list[Frame] = []
        self.answers: dict[int, Answer] = {}
        self.goaways: list[tuple[int, int]] = []
        connection.send(opening)

    def send(self, *data: bytes) -> None:
        self.connection.send(b"".join(data))

    def headers(self, stream: int, block: Iterable[Field], end: bool = True, flags: int = END_HEADERS) -> bytes:
        return frame(HEADERS, flags | (END_STREAM if end else 0), stream, self.encoder.encode(list(block)))

    def wait(self, what: str, condition: Callable[[], object], seconds: float = SECONDS) -> None:
        def is_there() -> bool:
            self._take()
            return bool(condition())

        self.connection.wait(what, is_there, seconds)

    def answer(self, stream: int) -> Answer:
        """The answer, to its end or the stream's."""
        answer = self.answers.setdefault(stream, Answer())
        self.wait(f"the end of stream {stream}", lambda: answer.is_over or self.goaways)
        expect(answer.is_over, f"the connection ends: {self.goaways}")
        return answer

    def end(self) -> Optional[int]:
        """The code of the last GOAWAY before the connection ended; None where there was none."""
        try:
            self.wait("the end of the connection", lambda: False)
        except CheckFailed:
            pass
        expect(self.connection.has_ended, f"the connection is not ended; GOAWAY: {self.goaways}")
        return self.goaways[-1][1] if self.goaways else None

    def _take(self) -> None:
        while len(data := self.connection.rest) >= 9:
            size = int.from_bytes(data[:3], "big")
            if len(data) < 9 + size:
                return
            self.connection.taken += 9 + size
            self._note(Frame(data[3], data[4], int.from_bytes(data[5:9], "big"), data[9:9 + size]))

    def _note(self, got: Frame) -> None:
        self.frames.append(got)
        answer = self.answers.setdefault(got.stream, Answer())
        if got.kind == HEADERS:
            block = self._decoder.decode(got.payload, raw=True)
            if dict(block).get(b":status", b"").startswith(b"1"):
                answer.informational.append(block)
            elif answer.fields is None:
                answer.fields = block
            else:
                answer.trailers = block
        elif got.kind == DATA:
            answer.body += got.payload
        elif got.kind == RST_STREAM:
            answer.reset = int.from_bytes(got.payload, "big")
        elif got.kind == GOAWAY:
            self.goaways.append((int.from_bytes(got.payload[:4], "big"), int.from_bytes(got.payload[4:8], "big")))
        elif got.kind == SETTINGS and not got.flags & ACK:
            self.connection.send(frame(SETTINGS, ACK, 0))
        if got.kind in (HEADERS, DATA) and got.flags & END_STREAM:
            answer.has_ended = True


def open_raw(stage: Stage, opening: bytes = PREFACE + settings()) -> Raw:
    return Raw(stage.client(), opening)


def goes_on(stage: Stage, raw: Raw, stream: int) -> None:
    """Another request on the connection is answered."""
    raw.send(raw.headers(stream, fields(path="/next")))
    stage.asked(get("/next")).send(OK)
    expect_equal(raw.answer(stream).status, 200, "another request on the connection")


def block(raw: Raw, *more: str, **options: str) -> bytes:
    """The fields of a request, compressed."""
    return raw.encoder.encode(fields(*more, **options))


def in_parts(raw: Raw, stream: int, size: int, *more: str) -> list[bytes]:
    """A request as HEADERS and CONTINUATION frames of so many bytes each."""
    whole = block(raw, *more)
    parts = [whole[start:start + size] for start in range(0, len(whole), size)]
    between = [frame(CONTINUATION, 0, stream, part) for part in parts[1:-1]]
    return [
        frame(HEADERS, END_STREAM, stream, parts[0]), *between, frame(CONTINUATION, END_HEADERS, stream, parts[-1])]

"""Streams (§5), their credit (§6), and the order in which frames leave; without a connection."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Callable, Optional

from . import frames
from .frames import Data, Fields, Frame, GoAway, Headers, Request, Reset, Response, Trailers, Window
from .violation import Violation

REQUEST_CREDIT = 65_536
MOST_CREDIT = (1 << 31) - 1
TURN = 16_384
MESSAGE = 65_536
# Bytes that wait for credit before their writer does.
QUEUE = 65_536


class StreamReset(Exception):
    """The gateway ended the stream with RESET, or the tunnel ended."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class Stream:
    """One exchange: the request to read, and the answer to write."""

    def __init__(self, owner: Streams, number: int, head: Request, end_stream: bool) -> None:
        self.number = number
        self.head = head
        self.trailers: Optional[Fields] = None
        self._owner = owner
        # The request's direction.
        self.request_ended = end_stream
        self._received: deque[bytes] = deque()
        self._receive_credit = REQUEST_CREDIT
        self._to_return = 0
        self.most_unread = 0
        self.windows_sent = 0
        # The answer's.
        self.head_sent = False
        self.answer_ended = False
        self.credit = head.window
        self.waiting: deque[bytes] = deque()
        self.bytes_waiting = 0
        self._last: Optional[Frame] = None
        self.times_without_credit = 0
        self.reset: Optional[StreamReset] = None
        self.gone = asyncio.Event()
        self._changed = asyncio.Event()

    # What the user of the stream does

    async def read(self) -> bytes:
        """Bytes of the request's body, and none at its end. What was read before counts as written onward now."""
        self._return_credit()
        while not self._received:
            self._check()
            if self.request_ended:
                return b""
            await self._wait()
        chunk = self._received.popleft()
        self._to_return += len(chunk)
        return chunk

    async def read_all(self) -> bytes:
        parts = []
        while chunk := await self.read():
            parts.append(chunk)
        return b"".join(parts)

    def inform(self, status: int, fields: Fields = ()) -> None:
        """An informational response."""
        self._owner.urgent(Headers(self.number, Response(status, list(fields))))

    def respond(self, status: int, fields: Fields = (), end: bool = False) -> None:
        self._check()
        head = Response(status, list(fields))
        if not frames.is_sendable(head):
            self.abort("backend_invalid", "the answer's head cannot be sent")
            raise StreamReset("backend_invalid", "the answer's head cannot be sent")
        self.head_sent = True
        self._owner.urgent(Headers(self.number, head, end))
        if end:
            self._end_answer()

    async def send(self, payload: bytes) -> None:
        """Returns when little enough waits for credit."""
        for start in range(0, len(payload), TURN):
            self._check()
            self.waiting.append(payload[start:start + TURN])
            self.bytes_waiting += len(self.waiting[-1])
            self._owner.ready(self)
            while self.bytes_waiting > QUEUE:
                self._check()
                await self._wait()

    def end(self, trailers: Optional[Fields] = None) -> None:
        """Ends the answer, behind what waits."""
        self._check()
        if trailers is None:
            self._last = Data(self.number, b"", True)
        else:
            self._last = Headers(self.number, Trailers(trailers), True)
        self._owner.ready(self)

    async def answer(self, status: int, body: bytes = b"", fields: Fields = ()) -> None:
        self.respond(status, fields, end=not body)
        if body:
            await self.send(body)
            self.end()

    def abort(self, code: str, detail: str = "") -> None:
        """RESET: both directions end at once."""
        if self._owner.forget(self):
            self._owner.urgent(Reset(self.number, code, detail))
            self.was_reset(code, detail)

    # What the wire does

    def data(self, payload: bytes, end_stream: bool) -> None:
        if self.request_ended:
            raise Violation("unexpected_frame", f"DATA behind the end of stream {self.number}")
        if len(payload) > self._receive_credit:
            raise Violation("credit_exceeded", f"{len(payload)} bytes, whose credit is {self._receive_credit}")
        self._receive_credit -= len(payload)
        if payload:
            self._received.append(payload)
            self.most_unread = max(self.most_unread, sum(map(len, self._received)))
        self._request_end(end_stream)

    def received_trailers(self, fields: Fields, end_stream: bool) -> None:
        if self.request_ended or not end_stream:
            raise Violation("unexpected_frame", f"trailers that are not the end of stream {self.number}")
        self.trailers = fields
        self._request_end(True)

    def window(self, increment: int) -> None:
        if self.answer_ended:
            return
        if increment == 0 or self.credit + increment > MOST_CREDIT:
            raise Violation("bad_credit", f"{increment} more than {self.credit} on stream {self.number}")
        self.credit += increment
        self._owner.ready(self)

    def was_reset(self, code: str, detail: str) -> None:
        self.reset = StreamReset(code, detail)
        self.waiting.clear()
        self._signal()
        self.gone.set()

    def next_frame(self) -> Optional[Frame]:
        """The next of the answer, as far as the credit goes."""
        if self.waiting:
            if self.credit == 0:
                self.times_without_credit += 1
                return None
            chunk = self.waiting.popleft()
            if len(chunk) > self.credit:
                self.waiting.appendleft(chunk[self.credit:])
                chunk = chunk[:self.credit]
            self.credit -= len(chunk)
            self.bytes_waiting -= len(chunk)
            self._signal()
            ends = not self.waiting and isinstance(self._last, Data)
            if ends:
                self._last = None
                self._end_answer()
            return Data(self.number, chunk, ends)
        last, self._last = self._last, None
        if last:
            self._end_answer()
        return last

    @property
    def has_more(self) -> bool:
        return bool(self.waiting) and self.credit > 0 or not self.waiting and self._last is not None

    def _request_end(self, end_stream: bool) -> None:
        self.request_ended = self.request_ended or end_stream
        self._signal()
        self._forget_if_done()

    def _end_answer(self) -> None:
        self.answer_ended = True
        self._forget_if_done()

    def _forget_if_done(self) -> None:
        if self.request_ended and self.answer_ended:
            self._owner.forget(self)
            self.gone.set()

    def _return_credit(self) -> None:
        if self._to_return < REQUEST_CREDIT // 2 or self.request_ended:
            return
        self.windows_sent += 1
        self._receive_credit += self._to_return
        self._owner.urgent(Window(self.number, self._to_return))
        self._to_return = 0

    def _check(self) -> None:
        if self.reset:
            raise self.reset

    def _signal(self) -> None:
        self._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class Streams:
    """All streams of a tunnel, and what of them waits to be sent."""

    def __init__(self, max_streams: int, opened: Callable[[Stream], None]) -> None:
        self.open: dict[int, Stream] = {}
        self.highest = 0
        self.max_streams = max_streams
        self.draining = False
        self.gateway_is_draining = asyncio.Event()
        self.gateway_last_stream: Optional[int] = None
        self.has_output = asyncio.Event()
        # Everything that could be sent was handed to the connection.
        self.is_quiet = asyncio.Event()
        self._opened = opened
        self._urgent: deque[Frame] = deque()
        self._turns: deque[Stream] = deque()

    # Receiving

    def receive(self, frame: Frame) -> None:
        if isinstance(frame, GoAway):
            self.gateway_last_stream = frame.last_stream
            self.gateway_is_draining.set()
            return
        if isinstance(frame, Headers) and isinstance(frame.head, Request):
            return self._open(frame.stream, frame.head, frame.end_stream)
        if isinstance(frame, Headers) and isinstance(frame.head, Response):
            raise Violation("unexpected_frame", "a response from the gateway")
        if frame.stream == 0 or frame.stream > self.highest:
            raise Violation("bad_stream_id", f"a frame of stream {frame.stream}, which was never opened")
        stream = self.open.get(frame.stream)
        if not stream:
            return
        if isinstance(frame, Data):
            stream.data(frame.payload, frame.end_stream)
        elif isinstance(frame, Headers):
            stream.received_trailers(frame.head.fields, frame.end_stream)
        elif isinstance(frame, Window):
            stream.window(frame.increment)
        else:
            self.forget(stream)
            stream.was_reset(frame.code, frame.detail)

    def _open(self, number: int, head: Request, end_stream: bool) -> None:
        if not self.highest < number < 1 << 31:
            raise Violation("bad_stream_id", f"stream {number} after {self.highest}")
        self.highest = number
        # Canaries (§9) are not counted.
        if self.draining or len(self.open) >= self.max_streams and head.method != "CANARY":
            return self.urgent(Reset(number, "refused", "draining" if self.draining else "too many streams"))
        stream = Stream(self, number, head, end_stream)
        self.open[number] = stream
        self._opened(stream)

    def lost(self) -> None:
        """The tunnel has ended."""
        for stream in list(self.open.values()):
            stream.was_reset("cancelled", "the tunnel has ended")
        self.open.clear()

    # Sending

    def urgent(self, frame: Frame) -> None:
        """What leaves before any DATA."""
        self._urgent.append(frame)
        self._awake()

    def ready(self, stream: Stream) -> None:
        if stream not in self._turns:
            self._turns.append(stream)
        self._awake()

    def _awake(self) -> None:
        self.has_output.set()
        self.is_quiet.clear()

    def forget(self, stream: Stream) -> bool:
        return self.open.pop(stream.number, None) is not None

    def drain(self, last_stream: Optional[int] = None) -> None:
        """GOAWAY. The tests may say that less was accepted than was."""
        self.draining = True
        self.urgent(GoAway(self.highest if last_stream is None else last_stream, "shutting down"))

    def next_message(self) -> bytes:
        """What there is to say at this moment, in one message; empty where there is nothing."""
        message = bytearray()
        while self._urgent and len(message) < MESSAGE:
            message += frames.encode(self._urgent.popleft())
        while self._turns and not self._urgent and len(message) < MESSAGE:
            stream = self._turns.popleft()
            frame = None if stream.reset else stream.next_frame()
            if frame:
                message += frames.encode(frame)
                if stream.has_more:
                    self._turns.append(stream)
        if not message:
            self.has_output.clear()
            self.is_quiet.set()
        return bytes(message)

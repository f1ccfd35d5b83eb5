"""HTTP/2: frames that are not allowed."""

from __future__ import annotations

from typing import Callable, Iterable

from demo.waiting import expect

from ..case import Case, Stage
from ..http2 import (
    ACK, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY,
    HEADERS, PADDED, PING, PREFACE, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS,
    STREAM_CLOSED, WINDOW_UPDATE, Answer, Raw, block, fields, frame, open_raw, rst_stream, settings, window_update,
)

TITLE = "HTTP/2: frames that are not allowed"


def ends_connection(
    name: str, sends: Callable[[Raw], Iterable[bytes]], *codes: int, opening: bytes = PREFACE + settings(),
) -> Case:
    """What no connection survives: GOAWAY with one of the codes,
    and the end; nothing of it reaches the application."""

    def play(stage: Stage) -> None:
        raw = open_raw(stage, opening)
        raw.send(*sends(raw))
        code = raw.end()
        expect(code in codes, f"GOAWAY says {code}, and not one of {codes}")
        stage.exchange()

    return Case(name, play)


def ends_stream(name: str, sends: Callable[[Raw], Iterable[bytes]], *codes: int) -> Case:
    """What ends a stream that is open, or the connection: RFC 9113 lets both be."""

    def play(stage: Stage) -> None:
        raw = open_raw(stage)
        raw.send(raw.headers(1, fields(method="POST"), end=False), *sends(raw))
        answer_ = raw.answers.setdefault(1, Answer())
        raw.wait("the end of the stream or the connection", lambda: answer_.reset is not None or raw.goaways)
        code = answer_.reset if answer_.reset is not None else raw.goaways[-1][1]
        expect(code in codes, f"the code is {code}, and not one of {codes}")
        stage.recorder.end_connections()
        stage.exchange()

    return Case(name, play)


CASES: list[Case] = [
    ends_connection("no-settings-first", lambda raw: [frame(PING, 0, 0, bytes(8))], PROTOCOL_ERROR, opening=PREFACE),
    ends_connection("headers-on-stream-0", lambda raw: [raw.headers(0, fields())], PROTOCOL_ERROR),
    ends_connection("data-on-stream-0", lambda raw: [frame(DATA, 0, 0, b"a")], PROTOCOL_ERROR),
    ends_connection("data-on-a-stream-that-is-idle", lambda raw: [frame(DATA, 0, 1, b"a")], PROTOCOL_ERROR,
                    STREAM_CLOSED),
    ends_connection("a-stream-with-an-even-number", lambda raw: [raw.headers(2, fields())], PROTOCOL_ERROR),
    ends_connection("a-stream-with-a-lower-number", lambda raw: [
        raw.headers(5, fields(host="nobody.example.com")), raw.headers(3, fields(host="nobody.example.com"))],
        PROTOCOL_ERROR, STREAM_CLOSED),
    ends_connection("reset-of-a-stream-that-is-idle", lambda raw: [rst_stream(1)], PROTOCOL_ERROR),
    ends_connection("reset-on-stream-0", lambda raw: [rst_stream(0)], PROTOCOL_ERROR),
    ends_connection("reset-of-another-size", lambda raw: [frame(RST_STREAM, 0, 1, b"abc")], FRAME_SIZE_ERROR),
    ends_connection("window-of-a-stream-that-is-idle", lambda raw: [window_update(1, 10)], PROTOCOL_ERROR),
    ends_connection("a-window-that-grows-by-nothing", lambda raw: [window_update(0, 0)], PROTOCOL_ERROR),
    ends_connection("a-window-that-gets-too-large", lambda raw: [window_update(0, 0x7FFFFFFF)] * 2,
                    FLOW_CONTROL_ERROR),
    ends_connection("a-window-of-another-size", lambda raw: [frame(WINDOW_UPDATE, 0, 0, b"abc")], FRAME_SIZE_ERROR),
    ends_connection("settings-on-a-stream", lambda raw: [frame(SETTINGS, 0, 1)], PROTOCOL_ERROR),
    ends_connection("settings-of-another-size", lambda raw: [frame(SETTINGS, 0, 0, b"abc")], FRAME_SIZE_ERROR),
    ends_connection("an-acknowledgement-with-settings", lambda raw: [frame(SETTINGS, ACK, 0, bytes(6))],
                    FRAME_SIZE_ERROR),
    ends_connection("enable-push-of-2", lambda raw: [settings((2, 2))], PROTOCOL_ERROR),
    ends_connection("an-initial-window-that-is-too-large", lambda raw: [settings((4, 1 << 31))], FLOW_CONTROL_ERROR),
    ends_connection("frames-that-are-too-small", lambda raw: [settings((5, 100))], PROTOCOL_ERROR),
    ends_connection("frames-that-are-too-large", lambda raw: [settings((5, 1 << 24))], PROTOCOL_ERROR),
    ends_connection("a-ping-on-a-stream", lambda raw: [frame(PING, 0, 1, bytes(8))], PROTOCOL_ERROR),
    ends_connection("a-ping-of-another-size", lambda raw: [frame(PING, 0, 0, bytes(7))], FRAME_SIZE_ERROR),
    ends_connection("goaway-on-a-stream", lambda raw: [frame(GOAWAY, 0, 1, bytes(8))], PROTOCOL_ERROR),
    ends_connection("a-promise-of-a-client", lambda raw: [frame(PUSH_PROMISE, END_HEADERS, 1,
                    b"\0\0\0\2" + block(raw))],
                    PROTOCOL_ERROR),
    ends_connection("a-continuation-of-nothing", lambda raw: [frame(CONTINUATION, END_HEADERS, 1, block(raw))],
                    PROTOCOL_ERROR),
    ends_connection("a-frame-between-headers-and-continuation", lambda raw: [
        frame(HEADERS, END_STREAM, 1, block(raw)), frame(PING, 0, 0, bytes(8))], PROTOCOL_ERROR),
    ends_connection("a-continuation-of-another-stream", lambda raw: [
        frame(HEADERS, END_STREAM, 1, block(raw)), frame(CONTINUATION, END_HEADERS, 3)], PROTOCOL_ERROR),
    ends_connection("a-frame-that-is-too-long", lambda raw: [frame(DATA, 0, 1, bytes(16_385))], FRAME_SIZE_ERROR),
    ends_connection("padding-that-is-longer-than-the-frame", lambda raw: [
        raw.headers(1, fields(method="POST", host="nobody.example.com"), end=False), frame(DATA, PADDED, 1,
        b"\5abc")],
        PROTOCOL_ERROR),
    ends_connection("fields-that-cannot-be-decompressed", lambda raw: [
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff")], COMPRESSION_ERROR),
    ends_connection("a-field-without-a-name", lambda raw: [raw.headers(1, [*fields(), (b"", b"b")])],
                    COMPRESSION_ERROR),
    ends_connection("fields-of-more-than-the-gateway-says-that-it-takes", lambda raw: [
        raw.headers(1, fields(*("a: b" for _ in range(5_000))))], COMPRESSION_ERROR),
    ends_connection("an-index-beyond-the-table", lambda raw: [frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xfe")],
                    COMPRESSION_ERROR),
    ends_connection("a-table-larger-than-allowed", lambda raw: [
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xe1\xff\x03" + block(raw))], COMPRESSION_ERROR),
    ends_connection("text-in-a-code-that-ends-wrong", lambda raw: [
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40\x81\xff\x01b" + block(raw))], COMPRESSION_ERROR),
    ends_connection("more-streams-than-allowed", lambda raw: [
        raw.headers(2 * number + 1, fields(method="POST"), end=False) for number in range(129)],
        PROTOCOL_ERROR, REFUSED_STREAM),
    ends_stream("a-window-of-a-stream-that-grows-by-nothing", lambda raw: [window_update(1, 0)], PROTOCOL_ERROR),
    ends_stream("a-window-of-a-stream-that-gets-too-large", lambda raw: [window_update(1, 0x7FFFFFFF)],
                FLOW_CONTROL_ERROR),
    ends_stream("more-data-than-there-is-credit-for", lambda raw: [frame(DATA, 0, 1, bytes(16_384))] * 1_500,
                FLOW_CONTROL_ERROR),
    ends_stream("data-behind-the-end", lambda raw: [frame(DATA, END_STREAM, 1, b"a"), frame(DATA, 0, 1, b"b")],
                STREAM_CLOSED),
    ends_stream("headers-behind-the-end", lambda raw: [
        frame(DATA, END_STREAM, 1, b"a"), raw.headers(1, [(b"x-a", b"b")])], STREAM_CLOSED, PROTOCOL_ERROR),
    ends_stream("a-priority-that-depends-on-itself", lambda raw: [frame(PRIORITY, 0, 1, b"\0\0\0\1\x10")],
                PROTOCOL_ERROR),
    ends_stream("a-priority-of-another-size", lambda raw: [frame(PRIORITY, 0, 1, b"abc")], FRAME_SIZE_ERROR),
]

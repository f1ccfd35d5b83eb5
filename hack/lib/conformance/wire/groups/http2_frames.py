"""HTTP/2: frames that are allowed."""

from __future__ import annotations

from typing import Callable, Iterable

from demo.waiting import expect_equal

from ..case import OK, Case, Stage, answer, get, scripted
from ..http2 import (
    ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, PREFACE, PRIORITY, SETTINGS,
    WITH_PRIORITY, Raw, block, fields, frame, goes_on, in_parts, open_raw, rst_stream, settings, window_update,
)

TITLE = "HTTP/2: frames that are allowed"


def accepts(
    name: str, sends: Callable[[Raw], Iterable[bytes]], arrives: bytes = get(), opening: bytes = PREFACE + settings(),
) -> Case:
    """Frames that make up a request on stream 1."""

    def play(stage: Stage) -> None:
        raw = open_raw(stage, opening)
        raw.send(*sends(raw))
        stage.asked(arrives).send(OK)
        got = raw.answer(1)
        expect_equal((got.status, got.body), (200, b"ok"), "the answer")
        goes_on(stage, raw, 3)

    return Case(name, play)


@scripted
def streams_whose_numbers_leave_some_out(stage: Stage) -> None:
    raw = open_raw(stage)
    goes_on(stage, raw, 7)
    goes_on(stage, raw, 4_001)


@scripted
def a_large_head_may_come_before_the_settings_are_acknowledged(stage: Stage) -> None:
    lines = [f"x-{number}: " + "b" * 1_000 for number in range(40)]
    raw = open_raw(stage)
    raw.send(*in_parts(raw, 1, 16_000, *lines))
    raw.wait("SETTINGS, which are acknowledged at once", lambda: raw.frames)
    stage.asked(get("/", *lines)).send(OK)
    expect_equal(raw.answer(1).status, 200, "the status")
    goes_on(stage, raw, 3)


@scripted
def pings_are_answered(stage: Stage) -> None:
    raw = open_raw(stage)
    raw.send(frame(PING, 0, 0, b"12345678"))
    raw.wait("the answer", lambda: any(one.kind == PING and one.flags & ACK and one.payload == b"12345678"
                                       for one in raw.frames))


@scripted
def settings_are_acknowledged(stage: Stage) -> None:
    raw = open_raw(stage)
    raw.wait("the acknowledgement", lambda: any(one.kind == SETTINGS and one.flags & ACK for one in raw.frames))
    own = [one for one in raw.frames if one.kind == SETTINGS and not one.flags & ACK]
    expect_equal(len(own), 1, "SETTINGS of the gateway")
    values = {int.from_bytes(own[0].payload[at:at + 2], "big"): int.from_bytes(own[0].payload[at + 2:at + 6], "big")
              for at in range(0, len(own[0].payload), 6)}
    expect_equal(values[3], 128, "SETTINGS_MAX_CONCURRENT_STREAMS")
    expect_equal(values[8], 1, "SETTINGS_ENABLE_CONNECT_PROTOCOL")


@scripted
def without_credit_nothing_of_a_body_comes_until_there_is_some(stage: Stage) -> None:
    raw = open_raw(stage, PREFACE + settings((4, 0)))
    raw.send(raw.headers(1, fields()))
    stage.asked(get()).send(answer("200 OK", "Content-Length: 6", body=b"answer"))
    raw.wait("the head", lambda: 1 in raw.answers and raw.answers[1].fields)
    raw.send(frame(PING, 0, 0, b"12345678"))
    raw.wait("the answer to a PING", lambda: any(one.kind == PING for one in raw.frames))
    expect_equal(raw.answers[1].body, b"", "the body without credit")
    raw.send(window_update(1, 2))
    raw.wait("two bytes", lambda: raw.answers[1].body == b"an")
    raw.send(settings((4, 2)))
    raw.wait("two more", lambda: raw.answers[1].body == b"answ")
    raw.send(settings((4, 100)))
    expect_equal(raw.answer(1).body, b"answer", "the body")


@scripted
def more_frames_on_a_stream_that_was_reset_are_ignored(stage: Stage) -> None:
    raw = open_raw(stage)
    raw.send(raw.headers(1, fields(method="POST"), end=False))
    application = stage.recorder.accept()
    application.wait("the head", lambda: b"\r\n\r\n" in application.rest)
    application.send(answer("403 Forbidden", "Content-Length: 2", body=b"no"))
    raw.wait("RST_STREAM", lambda: 1 in raw.answers and raw.answers[1].reset is not None)
    raw.send(frame(DATA, 0, 1, b"more"), window_update(1, 10), rst_stream(1))
    stage.recorder.end_connections()
    goes_on(stage, raw, 3)


CASES: list[Case] = [
    accepts("a-request-in-one-frame", lambda raw: [raw.headers(1, fields())]),
    accepts("a-request-in-continuations", lambda raw: in_parts(raw, 1, 40, "x-a: " + "b" * 100),
            get("/", "x-a: " + "b" * 100)),
    accepts("a-request-with-padding", lambda raw: [
        frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\4" + block(raw) + bytes(4))]),
    accepts("a-request-with-a-priority", lambda raw: [
        frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, b"\0\0\0\0\x10" + block(raw))]),
    accepts("data-with-padding", lambda raw: [
        raw.headers(1, fields("content-length: 4", method="POST"), end=False),
        frame(DATA, END_STREAM | PADDED, 1, b"\3body" + bytes(3))],
        b"POST / HTTP/1.1\r\nHost: app.example.com\r\ncontent-length: 4\r\n\r\nbody"),
    accepts("some-empty-data", lambda raw: [
        raw.headers(1, fields("content-length: 4", method="POST"), end=False), *[frame(DATA, 0, 1)] * 3,
        frame(DATA, END_STREAM, 1, b"body")],
        b"POST / HTTP/1.1\r\nHost: app.example.com\r\ncontent-length: 4\r\n\r\nbody"),
    accepts("frames-of-unknown-types", lambda raw: [
        frame(0x42, 0xFF, 0, b"whatever"), raw.headers(1, fields()), frame(0x43, 0, 1, b"whatever")]),
    accepts("settings-that-nobody-knows", lambda raw: [settings((0x4242, 7)), raw.headers(1, fields())]),
    accepts("a-priority-of-a-stream-that-is-not-there", lambda raw: [
        frame(PRIORITY, 0, 7, b"\0\0\0\0\x10"), raw.headers(1, fields())]),
    accepts("the-reserved-bit", lambda raw: [
        raw.headers(1, fields()).replace(b"\0\0\0\1", b"\x80\0\0\1", 1)]),
    accepts("no-table-of-fields-and-a-small-frame", lambda raw: [raw.headers(1, fields())],
            opening=PREFACE + settings((1, 0), (5, 16_384))),
    streams_whose_numbers_leave_some_out,
    a_large_head_may_come_before_the_settings_are_acknowledged,
    pings_are_answered,
    settings_are_acknowledged,
    without_credit_nothing_of_a_body_comes_until_there_is_some,
    more_frames_on_a_stream_that_was_reset_are_ignored,
]

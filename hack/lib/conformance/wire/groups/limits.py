"""What a client may take and send: time for a head, fields, bodies."""

from __future__ import annotations

import select
import time

from demo.waiting import expect

from ..case import (
    HEADER_SECONDS, LIMITED_BYTES, LIMITED_HOST, OK, Case, Stage, chunked, get, own_answer, passes, refuses, scripted,
)

TITLE = "Limits"

# Before the first of these a head that is late is not given up, by the second it is.
EARLY, LATE = HEADER_SECONDS * 0.9, HEADER_SECONDS + 1.5


def _limited(name: str, body: bytes, *fields: str, begins: bool = False) -> Case:
    sends = get("/", *fields, method="POST", host=LIMITED_HOST, body=body)
    return refuses(name, sends, 413, begins=begins)


def _allowed(name: str, body: bytes, *fields: str) -> Case:
    return passes(name, get("/", *fields, method="POST", host=LIMITED_HOST, body=body), stays_open=True)


def _given_up(stage: Stage, start: bytes, rest: bytes = b"", before: int = 0) -> None:
    """A head of which `start` comes at once and `rest` a byte at a time, behind so many requests that are answered."""
    client = stage.client()
    for number in range(before):
        client.send(get(f"/{number}"))
        stage.asked(get(f"/{number}"), client).send(OK)
        expect(client.response().status == 200, "the request before it is not answered")
    began = time.monotonic()
    client.send(start)
    for byte in rest:
        if select.select([client.socket], [], [], 0.1)[0]:
            break
        client.send(bytes([byte]))
    answer = own_answer(client, 408)
    took = time.monotonic() - began
    expect(EARLY <= took <= LATE, f"it was given up after {took:.1f} s")
    expect(b"request_timeout" in answer.body, "its code is another")
    client.wait_until_ended()
    stage.nothing_arrived()


@scripted
def head_that_does_not_go_on_is_408(stage: Stage) -> None:
    _given_up(stage, b"GET / HTTP/1.1\r\nHost: app.exam")


@scripted
def head_that_trickles_in_is_408_when_its_time_is_over(stage: Stage) -> None:
    _given_up(stage, b"G", b"ET / HTTP/1.1\r\nHost: app.example.com\r\nA: " + b"b" * 200)


@scripted
def head_of_a_later_request_has_the_same_time(stage: Stage) -> None:
    _given_up(stage, b"GET /la", before=2)


CASES: list[Case] = [
    head_that_does_not_go_on_is_408,
    head_that_trickles_in_is_408_when_its_time_is_over,
    head_of_a_later_request_has_the_same_time,
    _allowed("body-of-just-the-length-allowed", b"a" * LIMITED_BYTES, f"Content-Length: {LIMITED_BYTES}"),
    _limited("body-announced-as-too-long-is-413", b"", f"Content-Length: {LIMITED_BYTES + 1}"),
    _limited(
        "body-announced-as-too-long-is-413-instead-of-100", b"", f"Content-Length: {LIMITED_BYTES + 1}",
        "Expect: 100-continue"),
    _limited("body-far-too-long-is-413", b"a" * 100_000, "Content-Length: 100000"),
    _allowed("body-in-chunks-of-just-the-length-allowed", b"5\r\naaaaa\r\n5\r\nbbbbb\r\n0\r\n\r\n",
             "Transfer-Encoding: chunked"),
    _limited("body-in-chunks-that-gets-too-long-is-413", b"5\r\naaaaa\r\n6\r\nbbbbbb\r\n0\r\n\r\n",
             "Transfer-Encoding: chunked", begins=True),
    _limited("body-in-one-chunk-that-is-too-long-is-413", b"b\r\naaaaaaaaaaa\r\n0\r\n\r\n", "Transfer-Encoding: chunked",
             begins=True),
    passes("body-of-another-route-is-as-long-as-it-is", chunked(b"b\r\naaaaaaaaaaa\r\n0\r\n\r\n")),
    refuses("1001-fields-are-431", get("/", *("A: b" for _ in range(1000))), 431),
    passes("1000-fields", get("/", *("A: b" for _ in range(999)))),
    refuses("1001-trailers-are-431", chunked(b"0\r\n" + b"A: b\r\n" * 1001 + b"\r\n"), 431, begins=True),
]

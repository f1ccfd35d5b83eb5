"""HTTP/2: frames that are allowed one by one, and more of them than anybody needs. Each ends its connection alone."""

from __future__ import annotations

from typing import Callable, Iterable

from demo.waiting import expect

from ..case import REFUSED_HOST, Case, Stage, scripted
from ..http2 import (
    CONTINUATION, DATA, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, PRIORITY, PROTOCOL_ERROR, Answer, Raw, block,
    fields, frame, goes_on, open_raw, rst_stream, settings, window_update,
)

TITLE = "HTTP/2: floods"

# Served nowhere: its requests are answered at once, and the application sees none.
NOBODY = "nobody.example.com"
# Of every flood; several times what the gateway lets pass in a moment.
COUNT = 20_000


def ends(name: str, flood: Callable[[Raw], Iterable[bytes]], *codes: int) -> Case:
    """A connection that ends by GOAWAY with one of the codes, and another one that goes on beside it."""

    def play(stage: Stage) -> None:
        other = open_raw(stage)
        goes_on(stage, other, 1)
        raw = open_raw(stage)
        raw.send(*flood(raw))
        code = raw.end()
        expect(code in codes, f"GOAWAY says {code}, and not one of {codes}")
        stage.recorder.end_connections()
        goes_on(stage, other, 3)

    return Case(name, play)


def _resets(raw: Raw) -> Iterable[bytes]:
    for number in range(COUNT):
        stream = 2 * number + 1
        yield raw.headers(stream, fields(host=NOBODY, method="POST"), end=False) + rst_stream(stream)


def _continuations(raw: Raw) -> Iterable[bytes]:
    yield frame(HEADERS, END_STREAM, 1, block(raw))
    for _ in range(COUNT):
        yield frame(CONTINUATION, 0, 1)


def _endless_fields(raw: Raw) -> Iterable[bytes]:
    yield frame(HEADERS, END_STREAM, 1, block(raw))
    for _ in range(1_000):
        # A field of which nothing is remembered (RFC 7541 §6.2.2), with a value of 8 KB.
        yield frame(CONTINUATION, 0, 1, b"\0\1a\x7f\xc1\x3d" + b"b" * 8_000)


def _under_way(raw: Raw, one: bytes) -> Iterable[bytes]:
    """On the stream of a request that is not answered yet."""
    yield raw.headers(1, fields(method="POST"), end=False)
    yield one * COUNT


@scripted
def requests_that_are_malformed(stage: Stage) -> None:
    """Bodies that are longer than they say, each answered before the next ones come."""
    raw = open_raw(stage)
    raw.send(window_update(0, 1 << 24))
    number = 0
    while not raw.goaways and number < 3_000:
        streams = [2 * (number + index) + 1 for index in range(50)]
        number += 50
        raw.send(*(
            raw.headers(stream, fields("content-length: 1", host=REFUSED_HOST, method="POST"), end=False)
            + frame(DATA, END_STREAM, stream, b"ab") for stream in streams))
        last = raw.answers.setdefault(streams[-1], Answer())
        raw.wait("the answers", lambda last=last: last.is_over or raw.goaways)
    expect(900 <= number <= 1_200, f"the connection ended after {number} of them")
    expect(raw.end() == ENHANCE_YOUR_CALM, f"GOAWAY says {raw.goaways}")
    stage.exchange()


CASES: list[Case] = [
    requests_that_are_malformed,
    ends("streams-opened-and-reset", _resets, ENHANCE_YOUR_CALM),
    ends("continuations-without-fields", _continuations, ENHANCE_YOUR_CALM, PROTOCOL_ERROR),
    ends("fields-without-end", _endless_fields, ENHANCE_YOUR_CALM, PROTOCOL_ERROR),
    ends("pings", lambda raw: [frame(PING, 0, 0, bytes(8)) * COUNT], ENHANCE_YOUR_CALM),
    ends("settings", lambda raw: [settings((4, 65_535)) * COUNT], ENHANCE_YOUR_CALM),
    ends("priorities", lambda raw: [frame(PRIORITY, 0, 1, b"\0\0\0\3\x10") * COUNT], ENHANCE_YOUR_CALM),
    ends("windows-of-the-connection", lambda raw: [window_update(0, 1) * COUNT], ENHANCE_YOUR_CALM),
    ends("windows-of-a-stream", lambda raw: _under_way(raw, window_update(1, 1)), ENHANCE_YOUR_CALM),
    ends("data-without-bytes", lambda raw: _under_way(raw, frame(DATA, 0, 1)), ENHANCE_YOUR_CALM),
]

"""HTTP/2: frames in random order. Whatever comes, the gateway stays, and says what RFC 9113 lets it say."""

from __future__ import annotations

import random

from demo.waiting import CheckFailed, expect, expect_equal

from ..case import Case, Stage, scripted
from ..http2 import (
    DATA, END_HEADERS, END_STREAM, HEADERS, NO_ERROR, PADDED, PING, PRIORITY, RST_STREAM, Raw, fields, frame, open_raw,
    rst_stream, settings, window_update,
)

TITLE = "HTTP/2: random schedules"

# Served nowhere: its requests are answered at once, and the application sees none.
NOBODY = "nobody.example.com"
SCHEDULES = 150
LAST_PING = b"the-last"


class Schedule:
    """What one client does. The same seed does the same, but for what hangs on when answers come."""

    def __init__(self, seed: int, raw: Raw) -> None:
        self.random = random.Random(seed)
        self.raw = raw
        # Streams that the client has not ended, and all on which it has sent a request by the rules.
        self.open: list[int] = []
        self.asked: list[int] = []
        self.resets: set[int] = set()
        self.next = 1

    def play(self, is_hostile: bool) -> None:
        for _ in range(self.random.randint(5, 60)):
            is_wrong = is_hostile and self.random.random() < 0.1
            self.raw.send(self._wrong() if is_wrong else self._right())
            if self.random.random() < 0.1:
                # What has come is looked at meanwhile, so that credit and settings take effect at many a moment.
                self.raw.wait("nothing", lambda: True)

    def _right(self) -> bytes:
        """A frame that the rules allow: the client has all the credit it needs, and takes whatever comes."""
        pick = self.random.random
        if self.open and pick() < 0.5:
            return self._on(self.random.choice(self.open))
        if pick() < 0.5:
            stream, self.next = self.next, self.next + 2 * self.random.randint(1, 3)
            ends = pick() < 0.5
            self.asked.append(stream)
            if not ends:
                self.open.append(stream)
            method = self.random.choice(["GET", "POST", "HEAD", "BREW"])
            return self.raw.headers(stream, fields("x-a: " + "b" * self.random.randint(0, 300), host=NOBODY,
                                                   method=method), end=ends)
        return self.random.choice([
            lambda: frame(PING, 0, 0, bytes(8)),
            lambda: settings((4, self.random.randint(0, 65_535))),
            lambda: settings((1, self.random.randint(0, 4_096)), (5, self.random.randint(16_384, 70_000))),
            lambda: window_update(0, self.random.randint(1, 1_000)),
            lambda: frame(PRIORITY, 0, self.next + 100, b"\0\0\0\0\x10"),
            lambda: frame(self.random.randint(0x20, 0xFF), self.random.randint(0, 255), 0, b"whatever"),
        ])()

    def _on(self, stream: int) -> bytes:
        pick = self.random.random()
        if pick < 0.1:
            self.open.remove(stream)
            self.resets.add(stream)
            return rst_stream(stream, self.random.randint(0, 13))
        if pick < 0.2:
            return window_update(stream, self.random.randint(1, 1_000))
        # No trailers: answers come before a request's end here, and see docs/limits.md for trailers behind a reset.
        ends = pick < 0.4
        if ends:
            self.open.remove(stream)
        body = bytes(self.random.randint(1, 500))
        if self.random.random() < 0.2:
            size = self.random.randint(0, 255)
            return frame(DATA, PADDED | (END_STREAM if ends else 0), stream, bytes([size]) + body + bytes(size))
        return frame(DATA, END_STREAM if ends else 0, stream, body)

    def _wrong(self) -> bytes:
        """A whole frame that need not be allowed."""
        stream = self.random.choice([0, 2, self.next, *self.asked])
        payload = self.random.randbytes(self.random.choice([0, 1, 4, 5, 8, 9, 40]))
        return self.random.choice([
            lambda: frame(self.random.randint(0, 9), self.random.randint(0, 255), stream, payload),
            lambda: frame(HEADERS, END_HEADERS | END_STREAM, stream, payload),
            lambda: frame(DATA, 0, stream, payload),
            lambda: rst_stream(stream),
            lambda: window_update(stream, 0x7FFFFFFF),
            lambda: settings((self.random.randint(1, 8), self.random.randrange(1 << 32))),
        ])()

    def says_nothing_behind_an_end(self) -> None:
        """RFC 9113 §5.1: behind the end of a stream nothing but RST_STREAM comes on it."""
        ended: set[int] = set()
        gone: set[int] = set()
        for got in self.raw.frames:
            if got.kind in (HEADERS, DATA):
                expect(got.stream not in ended | gone, f"a frame of type {got.kind} behind the end of {got.stream}")
                if got.flags & END_STREAM:
                    ended.add(got.stream)
            elif got.kind == RST_STREAM:
                gone.add(got.stream)


def _each(stage: Stage, is_hostile: bool) -> None:
    for seed in range(SCHEDULES):
        raw = open_raw(stage)
        schedule = Schedule(seed, raw)
        schedule.play(is_hostile)
        try:
            (_ends if is_hostile else _answers_all)(schedule)
            schedule.says_nothing_behind_an_end()
        except CheckFailed as failure:
            raise CheckFailed(f"seed {seed}: {failure}") from None
        raw.connection.close()
    stage.exchange()


def _pinged(raw: Raw) -> bool:
    return any(one.kind == PING and one.payload == LAST_PING for one in raw.frames)


def _answers_all(schedule: Schedule) -> None:
    raw = schedule.raw
    for stream in schedule.open:
        raw.send(frame(DATA, END_STREAM, stream))
    # Whatever credit was given, there is enough for all that waits.
    raw.send(settings((4, 1 << 20)), window_update(0, 1 << 24), frame(PING, 0, 0, LAST_PING))
    raw.wait("the answer to a PING", lambda: _pinged(raw) or raw.goaways)
    expect_equal(raw.goaways, [], "GOAWAY to a client that breaks no rule")
    for stream in set(schedule.asked) - schedule.resets:
        got = raw.answer(stream)
        expect(got.fields is not None and got.status == 404, f"stream {stream}: no answer, or another one: {got}")
        expect(got.has_ended, f"the answer on stream {stream} has no end")
        expect(got.reset in (None, NO_ERROR), f"stream {stream} is reset with {got.reset}")
    raw.send(raw.headers(schedule.next, fields(host=NOBODY)))
    expect_equal(raw.answer(schedule.next).status, 404, "the status of another request")


def _ends(schedule: Schedule) -> None:
    """The connection goes on, or has ended; it does not stand still."""
    raw = schedule.raw
    raw.send(frame(PING, 0, 0, LAST_PING))
    try:
        raw.wait("the answer to a PING, or the end", lambda: _pinged(raw) or raw.goaways)
    except CheckFailed:
        expect(raw.connection.has_ended, "the connection neither goes on nor ends")


@scripted
def a_client_that_breaks_no_rule_has_every_answer_once(stage: Stage) -> None:
    _each(stage, is_hostile=False)


@scripted
def a_client_that_breaks_some_is_answered_or_cut_off(stage: Stage) -> None:
    _each(stage, is_hostile=True)


@scripted
def credit_of_the_connection_returns_for_what_comes_on_streams_that_are_over(stage: Stage) -> None:
    raw = open_raw(stage)
    # For the answers.
    raw.send(window_update(0, 1 << 24))
    # Twice as much as the connection's window, on streams that were answered and reset before it came.
    for number in range(512):
        stream = 2 * number + 1
        raw.send(raw.headers(stream, fields(host=NOBODY, method="POST"), end=False))
        expect_equal(raw.answer(stream).status, 404, "the status")
        raw.wait("RST_STREAM", lambda: raw.answers[stream].reset is not None or raw.goaways)
        raw.send(*[frame(DATA, 0, stream, bytes(16_384))] * 3, frame(DATA, 0, stream, bytes(16_383)))
    raw.send(raw.headers(1_025, fields(host=NOBODY)))
    expect_equal(raw.answer(1_025).status, 404, "the status of another request")
    expect_equal(raw.goaways, [], "GOAWAY")


CASES: list[Case] = [
    a_client_that_breaks_no_rule_has_every_answer_once,
    a_client_that_breaks_some_is_answered_or_cut_off,
    credit_of_the_connection_returns_for_what_comes_on_streams_that_are_over,
]

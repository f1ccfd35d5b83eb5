"""HTTP/2: requests that are not allowed, though their frames are."""

from __future__ import annotations

from typing import Callable, Iterable

from demo.waiting import expect_equal

from ..case import Case, Stage, scripted
from ..http2 import DATA, END_STREAM, PROTOCOL_ERROR, Field, Raw, fields, frame, goes_on, in_parts, open_raw

TITLE = "HTTP/2: requests that are not allowed"


def refuses_request(
    name: str, block: Iterable[Field], *more: Callable[[Raw], bytes], end: bool = True, status: int = 400,
) -> Case:
    """A request that is malformed: its stream is reset or it is answered, and the connection goes on."""

    def play(stage: Stage) -> None:
        raw = open_raw(stage)
        raw.send(raw.headers(1, block, end), *(make(raw) for make in more))
        got = raw.answer(1)
        if got.fields is not None:
            expect_equal(got.status, status, "the status")
        else:
            expect_equal(got.reset, PROTOCOL_ERROR, "the code of RST_STREAM")
        if not more:
            stage.nothing_arrived()
        stage.recorder.end_connections()
        goes_on(stage, raw, 3)

    return Case(name, play)


def _end(data: bytes = b"") -> Callable[[Raw], bytes]:
    return lambda raw: frame(DATA, END_STREAM, 1, data)


@scripted
def fields_beyond_the_gateway_s_limits_are_431(stage: Stage) -> None:
    raw = open_raw(stage)
    goes_on(stage, raw, 1)
    raw.send(raw.headers(3, fields(*(f"x-{number}: b" for number in range(1_001)))))
    expect_equal(raw.answer(3).status, 431, "the answer to more fields than allowed")
    raw.send(*in_parts(raw, 5, 16_000, *(f"x-{number}: " + "b" * 1_000 for number in range(70))))
    expect_equal(raw.answer(5).status, 431, "the answer to fields that are too large")
    goes_on(stage, raw, 7)


CASES: list[Case] = [
    refuses_request("a-name-in-upper-case", [*fields(), (b"X-A", b"b")]),
    refuses_request("a-name-with-a-space", [*fields(), (b"x a", b"b")]),
    refuses_request("a-name-with-a-colon", [*fields(), (b"x:a", b"b")]),
    refuses_request("connection", fields("connection: close")),
    refuses_request("keep-alive", fields("keep-alive: timeout=5")),
    refuses_request("proxy-connection", fields("proxy-connection: close")),
    refuses_request("transfer-encoding", fields("transfer-encoding: chunked", method="POST"), end=False),
    refuses_request("upgrade", fields("upgrade: websocket")),
    refuses_request("te-of-anything-but-trailers", fields("te: gzip, trailers")),
    refuses_request("a-line-break-in-a-value", [*fields(), (b"x-a", b"b\r\nx-c: d")]),
    refuses_request("a-line-feed-in-a-value", [*fields(), (b"x-a", b"b\nx-c: d")]),
    refuses_request("a-zero-byte-in-a-value", [*fields(), (b"x-a", b"b\0c")]),
    refuses_request("a-control-byte-in-a-value", [*fields(), (b"x-a", b"b\x01c")]),
    refuses_request("a-space-before-a-value", [*fields(), (b"x-a", b" b")]),
    refuses_request("a-space-behind-a-value", [*fields(), (b"x-a", b"b ")]),
    refuses_request("a-value-that-is-not-utf-8", [*fields(), (b"x-a", b"caf\xe9")]),
    refuses_request("a-line-break-in-the-path", fields(path="/ HTTP/1.1\r\nx-a: b\r\n")),
    refuses_request("a-space-in-the-path", fields(path="/a b")),
    refuses_request("a-path-that-is-not-utf-8", fields(path="/\xff")),
    refuses_request("a-line-break-in-the-method", fields(method="GET / HTTP/1.1\r\nx-a: b\r\n\r\nGET")),
    refuses_request("a-space-in-the-method", fields(method="GE T")),
    refuses_request("a-line-break-in-the-authority", fields(host="app.example.com\r\nx-a: b")),
    refuses_request("no-method", fields()[1:]),
    refuses_request("no-scheme", [*fields()[:1], *fields()[2:]]),
    refuses_request("no-path", [*fields()[:2], *fields()[3:]]),
    refuses_request("an-empty-path", fields(path="")),
    refuses_request("a-path-in-absolute-form", fields(path="http://other.example.com/")),
    refuses_request("a-path-without-a-slash", fields(path="index.html")),
    refuses_request("a-path-with-a-fragment", fields(path="/a#b")),
    refuses_request("a-star-for-another-method", fields(path="*")),
    refuses_request("another-scheme", [*fields()[:1], (b":scheme", b"ftp"), *fields()[2:]]),
    refuses_request("a-pseudo-field-twice", [*fields(), (b":path", b"/other")]),
    refuses_request("a-pseudo-field-behind-others", [*fields()[:3], (b"x-a", b"b"), *fields()[3:]]),
    refuses_request("a-pseudo-field-that-nobody-knows", [*fields(), (b":unknown", b"b")]),
    refuses_request("a-pseudo-field-of-answers", [*fields(), (b":status", b"200")]),
    refuses_request("neither-authority-nor-host", fields(host=None)),
    refuses_request("an-empty-authority", fields(host="")),
    refuses_request("another-host-than-the-authority", fields("host: other.example.com")),
    refuses_request("two-hosts", fields("host: app.example.com", "host: other.example.com", host=None)),
    refuses_request("an-authority-with-a-user", fields(host="me@app.example.com")),
    refuses_request("two-lengths", fields("content-length: 4", "content-length: 4", method="POST"), end=False),
    refuses_request("two-lengths-that-differ", fields("content-length: 4", "content-length: 5", method="POST"),
                    end=False),
    refuses_request("a-length-that-is-no-number", fields("content-length: +4", method="POST"), end=False),
    refuses_request("a-length-and-no-body", fields("content-length: 4", method="POST")),
    refuses_request("a-body-that-is-too-short", fields("content-length: 4", method="POST"), _end(b"bod"), end=False),
    refuses_request("a-body-that-is-too-long", fields("content-length: 4", method="POST"), _end(b"bodyy"), end=False),
    refuses_request("trailers-with-a-pseudo-field", fields(method="POST"),
                    lambda raw: raw.headers(1, [(b":path", b"/other")]), end=False),
    refuses_request("trailers-with-a-name-in-upper-case", fields(method="POST"),
                    lambda raw: raw.headers(1, [(b"X-A", b"b")]), end=False),
    refuses_request("trailers-that-do-not-end-the-request", fields(method="POST"),
                    lambda raw: raw.headers(1, [(b"x-a", b"b")], end=False), end=False),
    refuses_request("trailers-before-the-body-is-whole", fields("content-length: 4", method="POST"),
                    lambda raw: raw.headers(1, [(b"x-a", b"b")]), end=False),
    refuses_request("a-tunnel-to-a-host", [(b":method", b"CONNECT"), (b":authority", b"app.example.com:22")],
                    end=False),
    refuses_request("a-tunnel-to-a-host-with-a-path", fields(method="CONNECT"), end=False),
    refuses_request("another-protocol-by-get", [*fields(), (b":protocol", b"websocket")]),
    fields_beyond_the_gateway_s_limits_are_431,
]

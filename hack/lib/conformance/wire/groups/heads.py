"""Request lines and heads: their form and their size."""

from __future__ import annotations

from ..case import HOST, get, message, passes, refuses

TITLE = "Request lines and sizes"


def _line(name: str, line: bytes, status: int = 400) -> object:
    return refuses(name, line + b"\r\nHost: " + HOST.encode() + b"\r\n\r\n", status)


CASES = [
    _line("two-spaces-behind-the-method", b"GET  / HTTP/1.1"),
    _line("two-spaces-before-the-version", b"GET /  HTTP/1.1"),
    _line("tab-for-a-space", b"GET\t/\tHTTP/1.1"),
    _line("space-in-the-target", b"GET /a b HTTP/1.1"),
    _line("space-before-the-method", b" GET / HTTP/1.1"),
    _line("space-behind-the-version", b"GET / HTTP/1.1 "),
    _line("no-target", b"GET HTTP/1.1"),
    _line("empty-target", b"GET  HTTP/1.1"),
    _line("no-version", b"GET /"),
    _line("version-in-small-letters", b"GET / http/1.1"),
    _line("version-with-two-digits", b"GET / HTTP/1.10"),
    _line("version-of-another-protocol", b"GET / ICY/1.1"),
    _line("version-2-without-its-preface", b"GET / HTTP/2.0", 505),
    _line("version-0.9", b"GET / HTTP/0.9", 505),
    _line("method-with-a-colon", b"GE:T / HTTP/1.1"),
    _line("method-with-a-slash", b"G/T / HTTP/1.1"),
    _line("tls-hello-on-the-plain-port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n"),
    passes("version-1.2-is-answered-as-1.1", message("GET / HTTP/1.2", f"Host: {HOST}"), get()),
    passes("empty-lines-before-the-request", b"\r\n\r\n" + get(), get()),
    refuses("bare-line-feed-before-the-request", b"\n" + get()),
    refuses("field-line-before-the-request", b"Host: app.example.com\r\n" + get()),
    # Sizes.
    passes("target-of-16-KiB", get("/" + "a" * 16_384)),
    refuses("target-of-40-KiB-is-414", get("/" + "a" * 40_000), 414),
    refuses("request-line-without-end-is-414", b"GET /" + b"a" * 70_000, 414),
    passes("field-of-16-KiB", get("/", "A: " + "b" * 16_384)),
    refuses("field-of-70-KiB-is-431", get("/", "A: " + "b" * 70_000), 431),
    refuses("field-without-end-is-431", b"GET / HTTP/1.1\r\nHost: app.example.com\r\nA: " + b"b" * 70_000, 431),
    passes("500-fields", get("/", *(f"A-{number}: {number}" for number in range(500)))),
    refuses("10000-fields-are-431", get("/", *(f"A-{number}: {number}" for number in range(10_000))), 431),
]

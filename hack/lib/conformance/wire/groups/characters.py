"""Bytes that do not belong in a head, and lines that end or go on otherwise than with CR and LF."""

from __future__ import annotations

from ..case import HOST, get, passes, refuses

TITLE = "Lines and characters"


def _field(name: str, line: bytes) -> object:
    return refuses(name, b"GET / HTTP/1.1\r\nHost: app.example.com\r\n" + line + b"\r\n\r\n")


def _host(name: str, *hosts: str) -> object:
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    return refuses(name, f"GET / HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))


CASES = [
    # Line ends.
    refuses("bare-line-feed-behind-the-request-line", b"GET / HTTP/1.1\nHost: app.example.com\r\n\r\n"),
    _field("bare-line-feed-behind-a-field", b"A: b\nC: d"),
    refuses("bare-line-feed-as-the-empty-line", b"GET / HTTP/1.1\r\nHost: app.example.com\r\n\n"),
    refuses("bare-line-feeds-alone", b"GET / HTTP/1.1\nHost: app.example.com\n\n"),
    _field("bare-carriage-return-in-a-value", b"A: b\rC: d"),
    _field("two-carriage-returns-at-a-line-end", b"A: b\r\r\nC: d"),
    refuses("bare-carriage-return-in-the-target", b"GET /\rHTTP/1.1\r\nHost: app.example.com\r\n\r\n"),
    _field("folded-with-a-space", b"A: b\r\n c"),
    _field("folded-with-a-tab", b"A: b\r\n\tc"),
    refuses("first-field-line-folded", b"GET / HTTP/1.1\r\n Host: app.example.com\r\n\r\n"),
    # Names.
    _field("space-before-the-colon", b"A : b"),
    _field("no-colon", b"A"),
    _field("no-name", b": b"),
    _field("name-with-a-space", b"A B: c"),
    _field("name-with-nul", b"A\x00: b"),
    _field("name-with-a-parenthesis", b"A(: b"),
    _field("name-with-a-byte-above-ascii", b"\xc3\xa4: b"),
    passes("name-of-every-token-character", get("/", "!#$%&'*+-.^_`|~09azAZ: b")),
    # Values.
    _field("value-with-nul", b"A: b\x00c"),
    _field("value-with-escape", b"A: b\x1bc"),
    _field("value-with-delete", b"A: b\x7fc"),
    _field("value-with-a-vertical-tab", b"A: b\x0bc"),
    _field("value-beginning-with-a-form-feed", b"A: \x0cb"),
    passes("value-with-a-tab-inside", get("/", "A: b\tc")),
    passes("value-with-bytes-above-ascii", get("/", "A: \xc3\xa4\xff\x80")),
    passes("value-empty", get("/", "A:", "B: ")),
    passes("value-between-spaces", get("/", "A:  \t b \t "), get("/", "A: b")),
    # The target.
    refuses("target-with-nul", b"GET /\x00 HTTP/1.1\r\nHost: app.example.com\r\n\r\n"),
    refuses("target-with-delete", b"GET /\x7f HTTP/1.1\r\nHost: app.example.com\r\n\r\n"),
    refuses("target-with-bytes-that-are-not-utf-8", b"GET /\xff\xfe HTTP/1.1\r\nHost: app.example.com\r\n\r\n"),
    refuses("target-with-a-fragment", get("/a#b")),
    passes("target-in-raw-utf-8", b"GET /\xc3\xa4 HTTP/1.1\r\nHost: app.example.com\r\n\r\n"),
    # The host.
    _host("host-missing"),
    _host("host-twice", HOST, "other.example.com"),
    _host("host-twice-the-same", HOST, HOST),
    _host("host-empty", ""),
    _host("host-a-port-alone", ":80"),
    _host("host-with-a-space", "app.example.com evil"),
    _host("host-with-a-slash", "app.example.com/x"),
    _host("host-with-a-comma", "app.example.com, other.example.com"),
    _host("host-with-user-information", "user@app.example.com"),
    _host("host-with-a-port-that-is-no-number", "app.example.com:http"),
    _host("host-with-a-second-colon", "app.example.com:80:80"),
    _host("host-with-an-at-behind-its-port", "app.example.com:80@evil.example.com"),
    _host("host-with-a-question-mark", "app.example.com?"),
    _host("host-with-a-percent", "app%2eexample.com"),
    _host("host-an-open-bracket", "[::1"),
    _host("host-with-nul", "app.example.com\x00"),
    _host("host-with-bytes-above-ascii", "\xff.example.com"),
    passes("host-with-a-port", get("/", host=f"{HOST}:8080")),
    passes("host-in-capitals", get("/", host="APP.Example.COM")),
    passes("host-with-a-trailing-dot", get("/", host=f"{HOST}.")),
]

"""Where a request's body ends, said in two ways: whoever is behind the gateway must never get to choose."""

from __future__ import annotations

from ..case import chunked, get, message, passes, refuses

TITLE = "Request smuggling"

# What would be the application's next request, where the framing is believed wrongly.
HIDDEN = get("/smuggled")
LENGTH = f"Content-Length: {len(HIDDEN)}"
LAST = b"0\r\n\r\n"


def _both(*fields: str, body: bytes) -> bytes:
    return get("/", *fields, method="POST", body=body)


def _coding(name: str, *codings: str) -> object:
    return refuses(name, _both(*(f"Transfer-Encoding: {coding}" for coding in codings), body=LAST + HIDDEN))


def _length(name: str, *lengths: str, body: bytes = HIDDEN) -> object:
    return refuses(name, _both(*(f"Content-Length: {length}" for length in lengths), body=body))


def _chunks(name: str, rest: bytes) -> object:
    """Refused when the head is with the application already."""
    return refuses(name, chunked(rest + HIDDEN), begins=True)


CASES = [
    # Both, in either order.
    refuses("content-length-before-transfer-encoding", _both(LENGTH, "Transfer-Encoding: chunked", body=LAST + HIDDEN)),
    refuses("transfer-encoding-before-content-length", _both("Transfer-Encoding: chunked", LENGTH, body=LAST + HIDDEN)),
    refuses("content-length-0-with-transfer-encoding",
            _both("Content-Length: 0", "Transfer-Encoding: chunked", body=LAST + HIDDEN)),
    refuses("both-with-transfer-encoding-nominated-by-connection",
            _both("Connection: Transfer-Encoding", LENGTH, "Transfer-Encoding: chunked", body=LAST + HIDDEN)),
    refuses("both-on-a-get", get("/", "Content-Length: 5", "Transfer-Encoding: chunked", body=LAST)),
    # Lengths.
    _length("differing-lengths", "5", str(len(HIDDEN))),
    _length("the-same-length-twice", "5", "5"),
    _length("lengths-in-a-list", "5, 5"),
    _length("differing-lengths-in-a-list", "0, 5"),
    _length("length-with-a-plus", "+5"),
    _length("length-with-a-minus", "-5"),
    _length("length-in-hexadecimal", "0x5"),
    _length("length-with-letters", "5a"),
    _length("length-with-an-underscore", "1_0"),
    _length("length-with-a-space-inside", "1 0"),
    _length("length-with-a-fraction", "5.0"),
    _length("length-empty", ""),
    _length("length-beyond-64-bits", "18446744073709551621"),
    _length("length-in-other-digits", "\xb2"),
    # Codings.
    _coding("coding-identity", "identity"),
    _coding("coding-gzip-alone", "gzip"),
    _coding("coding-gzip-then-chunked", "gzip, chunked"),
    _coding("chunked-not-last", "chunked, gzip"),
    _coding("chunked-twice-in-a-list", "chunked, chunked"),
    _coding("chunked-twice-in-two-fields", "chunked", "chunked"),
    _coding("chunked-then-identity-in-two-fields", "chunked", "identity"),
    _coding("coding-empty", ""),
    _coding("coding-with-a-quote", '"chunked"'),
    _coding("coding-with-a-parameter", "chunked;q=1"),
    _coding("coding-with-a-prefix", "xchunked"),
    _coding("coding-with-a-vertical-tab", "\x0bchunked"),
    _coding("coding-with-a-leading-comma", ", chunked"),
    refuses("space-before-transfer-encodings-colon",
            _both("Transfer-Encoding : chunked", LENGTH, body=LAST + HIDDEN)),
    refuses("tab-before-content-lengths-colon", _both("Content-Length\t: 5", body=b"hello")),
    refuses("transfer-encoding-folded-onto-a-second-line",
            _both("Transfer-Encoding:\r\n chunked", LENGTH, body=LAST + HIDDEN)),
    refuses("transfer-encoding-with-http-1.0",
            message("POST / HTTP/1.0", "Host: app.example.com", "Transfer-Encoding: chunked", body=LAST + HIDDEN)),
    passes("coding-in-capitals", chunked(LAST).replace(b"chunked", b"CHUNKED"), chunked(LAST)),
    passes("coding-between-tabs", chunked(LAST).replace(b": chunked", b":\tchunked \t"), chunked(LAST)),
    # Chunks.
    _chunks("chunk-size-not-hexadecimal", b"g\r\nhello\r\n" + LAST),
    _chunks("chunk-size-empty", b"\r\nhello\r\n" + LAST),
    _chunks("chunk-size-with-a-minus", b"-5\r\nhello\r\n" + LAST),
    _chunks("chunk-size-with-a-plus", b"+5\r\nhello\r\n" + LAST),
    _chunks("chunk-size-with-0x", b"0x5\r\nhello\r\n" + LAST),
    _chunks("chunk-size-with-an-underscore", b"0_5\r\nhello\r\n" + LAST),
    _chunks("chunk-size-behind-a-space", b" 5\r\nhello\r\n" + LAST),
    _chunks("chunk-size-beyond-64-bits", b"10000000000000005\r\nhello\r\n" + LAST),
    _chunks("chunk-size-too-small", b"3\r\nhello\r\n" + LAST),
    _chunks("chunk-size-too-large", b"6\r\nhello\r\n" + LAST),
    _chunks("chunk-line-with-bare-line-feed", b"5\nhello\r\n" + LAST),
    _chunks("chunk-line-with-bare-carriage-return", b"5\rx\nhello\r\n" + LAST),
    _chunks("chunk-ended-by-bare-line-feed", b"5\r\nhello\n" + LAST),
    _chunks("last-chunk-with-bare-line-feed", b"5\r\nhello\r\n0\n\r\n"),
    _chunks("chunk-extension-with-bare-line-feed", b"5;a\nhello\r\n" + LAST),
    _chunks("chunk-extension-with-nul", b"5;a=\x00\r\nhello\r\n" + LAST),
    _chunks("chunk-extension-without-semicolon", b"5 a\r\nhello\r\n" + LAST),
    _chunks("chunk-extension-without-end", b"5;" + b"a" * 70_000),
    _chunks("trailer-with-bare-line-feed", b"0\r\nA: b\n\r\n"),
    _chunks("trailer-without-colon", b"0\r\nA b\r\n\r\n"),
    _chunks("trailer-folded", b"0\r\nA: b\r\n c\r\n\r\n"),
    _chunks("trailer-with-space-before-colon", b"0\r\nA : b\r\n\r\n"),
    _chunks("trailer-with-nul", b"0\r\nA: \x00\r\n\r\n"),
    refuses("trailers-without-end", chunked(b"0\r\n" + b"A: bbbbbbbbbbbbbbbbbbbbbbbbbb\r\n" * 3000), 431, begins=True),
    passes("chunk-extensions-are-passed-over", chunked(b"5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n"),
           chunked(b"5\r\nhello\r\n" + LAST)),
    passes("chunk-size-with-leading-zeros", chunked(b"0005\r\nhello\r\n000\r\n\r\n"),
           chunked(b"5\r\nhello\r\n" + LAST)),
    passes("chunk-size-in-either-case", chunked(b"a\r\n0123456789\r\nB\r\n0123456789x\r\n" + LAST),
           chunked(b"15\r\n01234567890123456789x\r\n" + LAST)),
]

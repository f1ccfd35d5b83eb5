"""Answers that are not HTTP, or could be read in two ways: 502, or a broken connection where a head is out already."""

from __future__ import annotations

from ..case import SECRET, Case, answer, bad_answer, breaks, get

TITLE = "Bad answers of the application"

SECRET_FIELD = f"X-Secret: {SECRET.decode()}"
HEAD = b"HTTP/1.1 200 OK\r\n"
# Where a body is let through that must not be, it shows.
BODY = SECRET


def _line(name: str, line: bytes) -> Case:
    return bad_answer(name, line + b"\r\n" + f"{SECRET_FIELD}\r\nContent-Length: 2\r\n\r\n".encode() + b"ok")


def _field(name: str, lines: bytes) -> Case:
    return bad_answer(name, HEAD + f"{SECRET_FIELD}\r\n".encode() + lines + b"\r\nContent-Length: 2\r\n\r\nok")


def _framing(name: str, *fields: str, body: bytes = BODY) -> Case:
    return bad_answer(name, answer("200 OK", SECRET_FIELD, *fields, body=body))


def _chunks(name: str, rest: bytes, ends: bool = False) -> Case:
    """Found out when the head is out."""
    return breaks(name, answer("200 OK", "Transfer-Encoding: chunked", body=b"2\r\nok\r\n"), rest, ends=ends)


CASES: list[Case] = [
    _line("status-line-of-another-protocol", b"SSH-2.0-OpenSSH_9.2"),
    _line("status-line-of-http-0.9", b"<html>" + SECRET),
    _line("status-line-of-http-2", b"HTTP/2.0 200 OK"),
    _line("status-line-in-small-letters", b"http/1.1 200 OK"),
    _line("status-with-two-digits", b"HTTP/1.1 20 OK"),
    _line("status-with-four-digits", b"HTTP/1.1 2000 OK"),
    _line("status-with-letters", b"HTTP/1.1 2x0 OK"),
    _line("status-below-100", b"HTTP/1.1 099 OK"),
    _line("status-with-a-sign", b"HTTP/1.1 +20 OK"),
    _line("status-missing", b"HTTP/1.1 "),
    _line("two-spaces-before-the-status", b"HTTP/1.1  200 OK"),
    _line("reason-with-nul", b"HTTP/1.1 200 O\x00K"),
    _line("reason-with-a-bare-carriage-return", b"HTTP/1.1 200 O\rK"),
    _line("empty-line-before-the-answer", b"\r\nHTTP/1.1 200 OK"),
    bad_answer("status-line-ended-by-bare-line-feed", b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok"),
    bad_answer("head-ended-by-bare-line-feeds", b"HTTP/1.1 200 OK\n\n" + SECRET),
    # Fields.
    _field("answers-field-with-bare-line-feed", b"A: b\nSet-Cookie: evil=1"),
    _field("answers-field-with-bare-carriage-return", b"A: b\rSet-Cookie: evil=1"),
    _field("answers-field-folded", b"A: b\r\n c"),
    _field("answers-field-with-nul", b"A: b\x00c"),
    _field("answers-field-with-escape", b"A: \x1b[2J"),
    _field("answers-field-without-colon", b"A"),
    _field("answers-field-without-name", b": b"),
    _field("answers-field-with-space-before-colon", b"A : b"),
    bad_answer("answers-head-too-large", answer("200 OK", SECRET_FIELD, "A: " + "b" * 70_000, "Content-Length: 0")),
    bad_answer("answers-head-without-end", HEAD + f"{SECRET_FIELD}\r\nA: ".encode() + b"b" * 70_000),
    # Framing.
    _framing("answer-with-length-and-coding", "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    _framing("answer-with-coding-and-length", "Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n"),
    _framing("answer-with-differing-lengths", "Content-Length: 5", "Content-Length: 18"),
    _framing("answer-with-lengths-in-a-list", "Content-Length: 5, 18"),
    _framing("answer-with-a-negative-length", "Content-Length: -1"),
    _framing("answer-with-a-length-that-is-no-number", "Content-Length: five"),
    _framing("answer-with-an-empty-length", "Content-Length:"),
    _framing("answer-with-a-length-beyond-64-bits", "Content-Length: 18446744073709551634"),
    _framing("answer-with-another-coding", "Transfer-Encoding: gzip"),
    _framing("answer-with-chunked-not-last", "Transfer-Encoding: chunked, gzip"),
    _framing("answer-with-chunked-twice", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    _framing("answer-with-a-coding-before-chunked", "Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    bad_answer("answer-of-http-1.0-with-a-coding", answer("200 OK", SECRET_FIELD, "Transfer-Encoding: chunked",
                                                          body=b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0")),
    bad_answer("answer-with-both-to-head", answer(
        "200 OK", "Content-Length: 5", "Transfer-Encoding: chunked"), get(method="HEAD")),
    bad_answer("informational-answer-that-is-malformed", b"HTTP/1.1 103 Early Hints\r\nA\r\n\r\n" + HEAD + b"\r\n"),
    bad_answer("answer-of-another-protocol-behind-an-informational-one",
               b"HTTP/1.1 100 Continue\r\n\r\n" + SECRET + b"\r\n\r\n", get("/", "Connection: close")),
    # The end comes early.
    bad_answer("no-answer-at-all", b"", application_closes=True),
    bad_answer("end-in-the-status-line", b"HTTP/1.1 2", application_closes=True),
    bad_answer("end-in-the-fields", HEAD + f"{SECRET_FIELD}\r\nCont".encode(), application_closes=True),
    bad_answer("end-behind-an-informational-answer", HEAD[:9] + b"100 Continue\r\n\r\n", application_closes=True),
    bad_answer("no-answer-to-a-post", b"", get("/", "Content-Length: 2", method="POST", body=b"hi"),
               application_closes=True),
    breaks("end-in-a-body-with-a-length", answer("200 OK", "Content-Length: 10", body=b"hello")),
    breaks("end-before-a-body-with-a-length", answer("200 OK", "Content-Length: 10")),
    breaks("end-in-a-body-for-http-1.0", answer("200 OK", "Content-Length: 10", body=b"hello"),
           sends=get().replace(b"HTTP/1.1", b"HTTP/1.0")),
    _chunks("end-in-a-chunk", b"5\r\nhel", ends=True),
    _chunks("end-between-chunks", b"", ends=True),
    _chunks("end-in-the-last-chunk", b"0\r\n", ends=True),
    _chunks("end-in-the-trailers", b"0\r\nA: b\r\n", ends=True),
    _chunks("answers-chunk-size-not-hexadecimal", b"x" + SECRET + b"\r\n"),
    _chunks("answers-chunk-size-beyond-64-bits", b"10000000000000002\r\n" + SECRET),
    _chunks("answers-chunk-too-long", b"2\r\nok" + SECRET + b"\r\n0\r\n\r\n"),
    _chunks("answers-chunk-line-with-bare-line-feed", b"2\n" + SECRET + b"\r\n0\r\n\r\n"),
    _chunks("answers-chunk-extension-without-end", b"2;" + b"a" * 70_000),
    _chunks("answers-trailer-malformed", b"0\r\n" + SECRET + b"\r\n\r\n"),
    _chunks("answers-trailer-with-a-line-break", b"0\r\nA: b\nX: " + SECRET + b"\r\n\r\n"),
]

"""Bodies and trailers, both ways."""

from __future__ import annotations

from ..case import HOST, OK, answer, chunked, get, message, passes, post

TITLE = "Bodies and trailers"

EVERY_BYTE = bytes(range(256))
# Not a whole number of frames, and different everywhere: what is lost or out of order shows.
LARGE = b"".join(number.to_bytes(4, "big") for number in range(50_001))
LAST = b"0\r\n\r\n"


def _chunks(body: bytes, size: int) -> bytes:
    pieces = [body[start:start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def _trailers(name: str, *sent: str, kept: tuple[str, ...]) -> list[object]:
    """The same both ways."""
    def body(fields: tuple[str, ...]) -> bytes:
        return b"2\r\nhi\r\n0\r\n" + "".join(f"{field}\r\n" for field in fields).encode() + b"\r\n"

    coding = "Transfer-Encoding: chunked"
    return [
        passes(f"{name}-of-a-request", chunked(body(sent)), chunked(body(kept)), stays_open=True),
        passes(f"{name}-of-an-answer", get("/", "TE: trailers"), answers=answer("200 OK", coding, body=body(sent)),
               returns=answer("200 OK", coding, body=body(kept)), stays_open=True),
    ]


CASES = [
    # The ancestor put bodies into JSON, and lost those of 10 KB and more (1); it let frames overtake each
    # other (5), and dropped what did not fit (6).
    passes("1-upload-of-every-byte", post(EVERY_BYTE), stays_open=True),
    passes("1-download-of-every-byte", get(), answers=answer("200 OK", "Content-Length: 256", body=EVERY_BYTE)),
    passes("1-download-of-10-KB", get(), answers=answer("200 OK", "Content-Length: 10000", body=LARGE[:10_000])),
    passes("5-upload-of-200-KB-in-order", post(LARGE), stays_open=True),
    passes("5-download-of-200-KB-in-order", get(), answers=answer(
        "200 OK", f"Content-Length: {len(LARGE)}", body=LARGE), stays_open=True),
    passes("upload-of-200-KB-in-chunks", chunked(_chunks(LARGE, 777) + LAST), stays_open=True),
    passes("download-of-200-KB-in-chunks", get(), answers=answer(
        "200 OK", "Transfer-Encoding: chunked", body=_chunks(LARGE, 777) + LAST), stays_open=True),
    passes("chunks-of-one-byte", chunked(_chunks(EVERY_BYTE, 1) + LAST), stays_open=True),
    passes("empty-upload-in-chunks", chunked(LAST), stays_open=True),
    passes("empty-upload-with-a-length", post(b""), stays_open=True),
    passes("empty-download-in-chunks", get(), answers=answer("200 OK", "Transfer-Encoding: chunked", body=LAST),
           stays_open=True),
    passes("empty-download-with-a-length", get(), answers=answer("200 OK", "Content-Length: 0"), stays_open=True),
    passes("download-ended-by-the-connection", get(), answers=answer("200 OK", body=LARGE), application_closes=True,
           returns=answer("200 OK", "Transfer-Encoding: chunked", body=_chunks(LARGE, len(LARGE)) + LAST),
           stays_open=True),
    passes("download-of-http-1.0-ended-by-the-connection", get(), answers=b"HTTP/1.0 200 OK\r\n\r\nhello",
           application_closes=True, returns=answer(
               "200 OK", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n" + LAST), stays_open=True),
    passes("download-in-chunks-for-http-1.0", message("GET / HTTP/1.0", f"Host: {HOST}"), get(), answer(
        "200 OK", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nA: b\r\n\r\n"),
           answer("200 OK", "Connection: close", body=b"hello"), stays_open=False),
    passes("body-that-looks-like-a-request", post(get("/smuggled")), stays_open=True),
    passes("body-that-looks-like-an-answer", get(), answers=answer(
        "200 OK", f"Content-Length: {len(OK)}", body=OK), stays_open=True),
    passes("body-that-looks-like-a-chunk", post(b"5\r\nhello\r\n" + LAST), stays_open=True),
    passes("length-with-leading-zeros", get("/", "Content-Length: 0005", method="POST", body=b"hello")),
    *_trailers("18-trailers", "X-Sum: 1", "x-sum: 2", "Grpc-Status: 0", "Empty:",
               kept=("X-Sum: 1", "x-sum: 2", "Grpc-Status: 0", "Empty:")),
    *_trailers("trailers-that-belong-before-a-body", "Content-Length: 5", "Transfer-Encoding: chunked", "Host: evil",
               "Set-Cookie: a=b", "Authorization: x", "Content-Type: text/plain", "Trailer: x", "X-Sum: 1",
               kept=("X-Sum: 1",)),
    *_trailers("trailers-of-one-connection", "Connection: X-Hop", "X-Hop: 1", "Keep-Alive: 2", "TE: gzip", "X-Sum: 1",
               kept=("X-Sum: 1",)),
]

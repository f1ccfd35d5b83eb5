"""The application that HTTP clients ask through the gateway: answers with what came, and with bodies of every kind.

`python3 -m conformance.through.application ADDRESS PORT`. Keeps nothing but what pages have reported.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

PAGE = Path(__file__).with_name("page.html")
# Of the events of one connection: after them it ends, and a browser comes again for the rest.
EVENTS_AT_ONCE = 3
EVENTS = 7


def content(size: int) -> bytes:
    """A body of this size that has no part twice in the same place of 64 KiB."""
    pieces, length = [], 0
    while length < size:
        pieces.append(hashlib.sha256(str(len(pieces)).encode()).digest())
        length += 32
    return b"".join(pieces)[:size]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Application

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        name, _, argument = parts.path.lstrip("/").partition("/")
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        action: Callable[[str, dict[str, str]], None] = getattr(self, f"_get_{name or 'page'}", self._get_unknown)
        action(argument, query)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = _serve

    def log_message(self, format: str, *arguments: object) -> None:
        print(f"{time.monotonic():.3f} {format % arguments}", flush=True)

    # Answers

    def _get_page(self, _: str, __: dict[str, str]) -> None:
        self._drain()
        self._answer(PAGE.read_bytes(), ("Content-Type", "text/html; charset=utf-8"))

    def _get_bytes(self, argument: str, _: dict[str, str]) -> None:
        """A body of this size, or the range of it that was asked for (RFC 9110 §14)."""
        body = content(int(argument))
        fields = [("Accept-Ranges", "bytes"), ("ETag", f'"{argument}"')]
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            return self._answer(body, *fields)
        first = int(asked[1]) if asked[1] else len(body) - int(asked[2])
        last = int(asked[2]) if asked[1] and asked[2] else len(body) - 1
        if first >= len(body):
            return self._answer(b"", ("Content-Range", f"bytes */{len(body)}"), status=416)
        fields.append(("Content-Range", f"bytes {first}-{last}/{len(body)}"))
        return self._answer(body[first:last + 1], *fields, status=206)

    def _get_digest(self, _: str, __: dict[str, str]) -> None:
        """Length and SHA-256 of the request's body, and how it was framed."""
        digest, size = hashlib.sha256(), 0
        for piece in self._body():
            digest.update(piece)
            size += len(piece)
        self._answer_json({
            "bytes": size, "sha256": digest.hexdigest(), "length": self.headers.get("Content-Length"),
            "coding": self.headers.get("Transfer-Encoding"), "method": self.command,
            "trailers": self._trailers, "expect": self.headers.get("Expect")})

    def _get_echo(self, _: str, __: dict[str, str]) -> None:
        """What was sent, each part as soon as it is there."""
        self._start_chunks(("Content-Type", "application/octet-stream"))
        for piece in self._body():
            self._chunk(piece)
        self._end_chunks()

    def _get_fields(self, _: str, __: dict[str, str]) -> None:
        self._drain()
        self._answer_json({"version": self.request_version, "target": self.path, "fields": self.headers.items()})

    def _get_trailers(self, _: str, __: dict[str, str]) -> None:
        self._drain()
        self._start_chunks(("Trailer", "X-Digest"), ("Content-Type", "text/plain"))
        self._chunk(b"with trailers\n")
        self._end_chunks(("X-Digest", hashlib.sha256(b"with trailers\n").hexdigest()))

    def _get_hints(self, _: str, __: dict[str, str]) -> None:
        self._drain()
        self.send_response_only(103, "Early Hints")
        self.send_header("Link", "</style.css>; rel=preload; as=style")
        self.end_headers()
        self._answer(b"hinted\n")

    def _get_status(self, argument: str, _: dict[str, str]) -> None:
        self._drain()
        status = int(argument)
        self._answer(b"" if status in (204, 304) else f"{status}\n".encode(), status=status)

    def handle_expect_100(self) -> bool:
        """Says nothing where the body is not wanted (RFC 9110 §10.1.1)."""
        return self.path == "/refuse" or super().handle_expect_100()

    def _get_refuse(self, _: str, __: dict[str, str]) -> None:
        self.close_connection = True
        self._answer(b"no\n", ("Connection", "close"), status=403)

    def _get_slow(self, _: str, query: dict[str, str]) -> None:
        """Parts, each a while after the one before."""
        self._drain()
        self._start_chunks(("Content-Type", "text/plain"))
        for number in range(int(query.get("count", "3"))):
            time.sleep(float(query.get("pause", "0.2")) if number else 0)
            self._chunk(f"part {number}\n".encode())
        self._end_chunks()

    def _get_cookie(self, _: str, __: dict[str, str]) -> None:
        """Two cookies, one of which scripts do not see; and those that came."""
        self._drain()
        self._answer(
            json.dumps({"cookies": self.headers.get_all("Cookie") or []}).encode(),
            ("Set-Cookie", "first=1; Path=/; HttpOnly; SameSite=Lax"),
            ("Set-Cookie", "second=two%20words; Path=/; Max-Age=600"), ("Content-Type", "application/json"))

    def _get_events(self, _: str, __: dict[str, str]) -> None:
        """Events with ids. After some of them the connection ends, and the browser says which was the last."""
        self._drain()
        last = int(self.headers.get("Last-Event-ID", "0"))
        self._start_chunks(("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"))
        self._chunk(b"retry: 50\n\n")
        for number in range(last + 1, min(last + EVENTS_AT_ONCE, EVENTS) + 1):
            self._chunk(f"id: {number}\nevent: tick\ndata: {number} after {last}\n\n".encode())
            time.sleep(0.05)
        self._end_chunks()

    def _get_report(self, _: str, query: dict[str, str]) -> None:
        """A page says what it has seen; whoever started the browser asks for it."""
        key = query.get("run", "")
        if self.command == "POST":
            self.server.reports[key] = json.loads(b"".join(self._body()))
            return self._answer(b"", status=204)
        return self._answer_json(self.server.reports.get(key))

    def _get_unknown(self, _: str, __: dict[str, str]) -> None:
        self._drain()
        self._answer(b"unknown\n", status=404)

    # Messages

    _trailers: list[list[str]] = []

    def _body(self) -> Iterator[bytes]:
        """The request's body, in the parts in which it comes."""
        self._trailers = []
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            left = int(self.headers.get("Content-Length", "0"))
            while left:
                piece = self.rfile.read1(min(left, 1 << 16))
                if not piece:
                    raise ConnectionError("the request ended too early")
                left -= len(piece)
                yield piece
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        while (line := self.rfile.readline().strip()):
            name, _, value = line.decode("latin-1").partition(":")
            self._trailers.append([name, value.strip()])

    def _drain(self) -> None:
        for _ in self._body():
            pass

    def _answer(self, body: bytes, *fields: tuple[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer_json(self, value: object) -> None:
        self._answer(json.dumps(value).encode(), ("Content-Type", "application/json"))

    def _start_chunks(self, *fields: tuple[str, str]) -> None:
        self.send_response(200)
        for name, value in (*fields, ("Transfer-Encoding", "chunked")):
            self.send_header(name, value)
        self.end_headers()

    def _chunk(self, piece: bytes) -> None:
        if piece and self.command != "HEAD":
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def _end_chunks(self, *trailers: tuple[str, str]) -> None:
        if self.command != "HEAD":
            lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
            self.wfile.write(b"0\r\n" + lines.encode() + b"\r\n")


class Application(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: str, port: int) -> None:
        super().__init__((address, port), Handler)
        # By the run that a page belongs to.
        self.reports: dict[str, object] = {}


if __name__ == "__main__":
    Application(sys.argv[1], int(sys.argv[2])).serve_forever()

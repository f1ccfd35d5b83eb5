"""Generated requests that are valid: the application gets the same through the gateway as straight from the client,
save what the documentation says is changed (docs/http-conformance.md)."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass, replace
from typing import Optional

from demo.waiting import CheckFailed

from .case import ADDED_TO_REQUESTS, CLIENT, HOST, OK, Stage
from .connection import SECONDS, Connection, shown
from .message import Message
from .world import OPERATOR_STRIPS

COUNT = 2000
# A failure is seldom alone.
MOST_FAILURES = 3

METHODS = ("GET", "GET", "GET", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "PROPFIND", "X-ODD!")
SEGMENTS = (
    "a", "B", "%2F", "%2e%2e", "..", ".", "...", "", "a;b=c", "x:y@z", "https:", "%00", "~", "+", "%zz", "\xc3\xa4",
    "*", "$&'()", "a,b", "=", "\\", "|", "api", "healthz",
)
QUERIES = ("a=1", "b=2", "a=3", "c", "=", "", "?", "/", "u=http://x/?y", "%41", "+", "[0]=x", "{}", ";d")
NAMES = (
    "Accept", "accept", "Cookie", "Authorization", "X-Custom", "x-custom", "X_Under", "User-Agent", "Via", "Referer",
    "If-None-Match", "Range", "Content-Type", "Origin", "X-Auth-Token", "!#$%&'*+-.^_`|~", "DNT", "Priority", "Pragma",
)
VALUES = ("", "1", "a, b ,c", '"q;\\"x"', "a\tb", "  inner  spaces ", "\xe4\xff", "x" * 300, "*/*;q=0.1", ",", ":", "=")
# Removed, or replaced.
GATEWAYS_AFFAIR = (
    "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic x", "Upgrade: foo/1",
    "X-Forwarded-For: 1.1.1.1", "x-forwarded-proto: https", "X-Forwarded-Host: evil", "X-Forwarded-Port: 1",
    "Forwarded: for=1.1.1.1", "X-Real-IP: 1.1.1.1", "X_Forwarded_For: 2.2.2.2", "X-Real_IP: 3", "Transfer_Encoding: x",
    "Content_Length: 9", f"{OPERATOR_STRIPS}: 1", "TE: trailers", "TE: gzip", "Connection: keep-alive",
    "Connection: X-Custom", "connection: te, dnt", "Connection: Cookie ,,x-none",
)
HOSTS = (HOST, HOST, HOST, HOST.upper(), HOST + ":8080", HOST + ".")

# By the gateway, with these letters.
WRITTEN = {b"Host", b"TE", b"Transfer-Encoding", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host"}

HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "upgrade",
}
OUT_OF_PLACE_IN_TRAILERS = {
    "content-length", "content-encoding", "content-range", "content-type", "host", "set-cookie", "trailer",
    "authorization", "www-authenticate", "transfer-encoding",
}


@dataclass(frozen=True)
class Difference:
    number: int
    sent: bytes
    detail: str


def generate(seed: int, number: int) -> bytes:
    """The request of this number; the same for the same seed."""
    pick = random.Random(f"{seed}:{number}")
    method, host = pick.choice(METHODS), pick.choice(HOSTS)
    target = "/" + "/".join(pick.choices(SEGMENTS, k=pick.randrange(5)))
    if pick.random() < 0.5:
        target += "?" + "&".join(pick.choices(QUERIES, k=pick.randrange(6)))
    lines = [f"{pick.choice(NAMES)}:{pick.choice((' ', '', chr(9)))}{pick.choice(VALUES)}"
             for _ in range(pick.randrange(8))]
    lines += pick.sample(GATEWAYS_AFFAIR, k=pick.choice((0, 0, 1, 2, 4)))
    body = b""
    if method not in ("GET", "HEAD", "OPTIONS") or pick.random() < 0.1:
        kind = pick.choice(("none", "length", "length", "chunked", "chunked"))
        content = pick.randbytes(pick.choice((0, 1, 10, 500, 5000, 70_000 if pick.random() < 0.1 else 20)))
        if kind == "length":
            lines.append(f"Content-Length: {len(content)}")
            body = content
        elif kind == "chunked":
            lines.append("Transfer-Encoding: chunked")
            body = _chunked(pick, content)
    lines.append(f"Host: {host}")
    pick.shuffle(lines)
    if pick.random() < 0.1:
        target = f"http://{host}{target}"
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("latin-1") + body


def _chunked(pick: random.Random, content: bytes) -> bytes:
    result, position = b"", 0
    while position < len(content):
        size = min(pick.choice((1, 7, 1000, 40_000)), len(content) - position)
        result += b"%x\r\n%s\r\n" % (size, content[position:position + size])
        position += size
        if len(result) > 100_000:
            break
    trailers = pick.sample(("X-Sum: 1", "x-sum: 2", "Grpc-Status: 0", "Set-Cookie: a", "X-Forwarded-For: 1"),
                           k=pick.choice((0, 0, 1, 3)))
    return result + b"0\r\n" + "".join(f"{line}\r\n" for line in trailers).encode() + b"\r\n"


def documented(direct: Message) -> Message:
    """What the application must get through the gateway of a request that it gets like this straight."""
    method, target, version = direct.start.split(b" ")
    authority = direct.values("Host")[0]
    if b"://" in target and not target.startswith(b"/"):
        authority, slash, path = target.split(b"://", 1)[1].partition(b"/")
        target = slash + path
    options = [option.strip().decode().lower() for value in direct.values("Connection") for option in value.split(b",")]
    nominated = set(options) - {"te", "close", "keep-alive", "upgrade", ""}
    kept = [field for field in direct.fields if not _is_removed(field[0], nominated)]
    if any(b"trailers" in value.lower().replace(b" ", b"").split(b",") for value in direct.values("TE")):
        kept.append((b"TE", b"trailers"))
    kept += [
        (b"X-Forwarded-For", CLIENT.encode()), (b"X-Forwarded-Proto", b"http"), (b"X-Forwarded-Host", authority)]
    if direct.trailers is not None:
        kept.append((b"Transfer-Encoding", b"chunked"))
    trailers = direct.trailers and tuple(
        field for field in direct.trailers
        if not _is_removed(field[0], set()) and field[0].decode().lower() not in OUT_OF_PLACE_IN_TRAILERS)
    return replace(
        direct, start=b" ".join((method, target, version)), fields=((b"Host", authority), *kept), trailers=trailers)


def _in_order(message: Message) -> Message:
    """What the client wrote, in its order, and behind that what the gateway writes, whose place means nothing."""
    theirs = [field for field in message.fields if field[0] not in WRITTEN]
    return replace(message, fields=(*theirs, *sorted(field for field in message.fields if field[0] in WRITTEN)))


def _is_removed(name: bytes, nominated: set[str]) -> bool:
    exact = name.decode("latin-1").lower()
    folded = exact.replace("_", "-")
    if folded != exact and folded in {"content-length", "transfer-encoding"}:
        return True
    return (
        folded in HOP_BY_HOP | {"host", "forwarded", "x-real-ip", "transfer-encoding", OPERATOR_STRIPS}
        or folded.startswith("x-forwarded-") or folded in nominated)


class Differential:
    """Sends each request both ways, each on a connection that is kept."""

    def __init__(self, stage: Stage, direct: tuple[str, int]) -> None:
        self._stage = stage
        self._direct = direct
        self._clients: dict[bool, Optional[Connection]] = {True: None, False: None}

    def run(self, seed: int, count: int = COUNT) -> list[Difference]:
        differences: list[Difference] = []
        for number in range(count):
            sent = generate(seed, number)
            try:
                self._compare(sent)
            except CheckFailed as failure:
                differences.append(Difference(number, sent, str(failure)))
                self._reset()
                if len(differences) == MOST_FAILURES:
                    break
        self._reset()
        return differences

    def _compare(self, sent: bytes) -> None:
        straight = self._exchange(sent, is_direct=True)
        through = self._exchange(sent, is_direct=False)
        expected = documented(straight)
        got = through.without(*(name for name in ADDED_TO_REQUESTS if not expected.values(name)))
        wanted, seen = _in_order(expected).canonical, _in_order(got).canonical
        if wanted != seen:
            raise CheckFailed(
                f"straight, with the documented changes: {shown(wanted)}\n"
                f"    through the gateway:                   {shown(seen)}")

    def _exchange(self, sent: bytes, is_direct: bool) -> Message:
        client = self._clients[is_direct] or self._connect(is_direct)
        self._clients[is_direct] = client
        client.send(sent)
        application, got, _ = self._stage.recorder.next(client)
        application.send(OK if not sent.startswith(b"HEAD ") else OK[:-2])
        client.response(sent.split(b" ")[0])
        self._forget_ended()
        return got

    def _connect(self, is_direct: bool) -> Connection:
        if not is_direct:
            return self._stage.client()
        return Connection(socket.create_connection(self._direct, timeout=SECONDS), "client, straight")

    def _forget_ended(self) -> None:
        recorder = self._stage.recorder
        recorder.connections = [one for one in recorder.connections if not one.has_ended]

    def _reset(self) -> None:
        for client in self._clients.values():
            if client:
                client.close()
        self._clients = {True: None, False: None}
        self._stage.end()


"""One case: what a client sends, what must arrive at the application, what it answers, and what must come back."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Callable, Optional, Sequence, Union

from demo.waiting import CheckFailed, expect

from .connection import SECONDS, Connection, Recorder, shown
from .message import Message, read_request, read_response

HOST = "app.example.com"
# Its response timeout is a second.
BRIEF_HOST = "brief.example.com"
# Its route has fields removed: Cookie and X-Secret.
STRIPPED_HOST = "stripped.example.com"
# Its requests may have bodies of LIMITED_BYTES.
LIMITED_HOST = "limited.example.com"
LIMITED_BYTES = 10
# How long a client has for the head of a request.
HEADER_SECONDS = 2.0
# Served under /only alone.
PATH_HOST = "path.example.com"
# Nothing listens at its Service.
REFUSED_HOST = "refused.example.com"
# Whence the client comes, and whence one that the gateway trusts as a proxy.
CLIENT = "127.0.0.1"
TRUSTED = "127.0.0.9"
# What stands in every answer that must not reach the client.
SECRET = b"not-for-the-client"

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

# What the gateway may add: removed before bytes are compared, unless the other side sent a field of that name.
ADDED_TO_REQUESTS = ("X-Request-Id", "Traceparent", "Tracestate")
FORWARDING = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")
ADDED_TO_RESPONSES = ("X-Request-Id", "Traceparent", "Proxy-Status", "Strict-Transport-Security", "Alt-Svc")

Bytes = Union[bytes, Sequence[bytes]]


def message(start: str, *fields: str, body: bytes = b"") -> bytes:
    """A message's bytes."""
    return "\r\n".join([start, *fields, "", ""]).encode("latin-1") + body


def get(target: str = "/", *fields: str, method: str = "GET", host: str = HOST, body: bytes = b"") -> bytes:
    """A request for the application, `Host` first."""
    return message(f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, body=body)


def post(body: bytes, *fields: str, target: str = "/") -> bytes:
    return get(target, *fields, f"Content-Length: {len(body)}", method="POST", body=body)


def chunked(rest: bytes, *fields: str, method: str = "POST") -> bytes:
    """A request with a chunked body, of which all bytes are given."""
    return get("/", *fields, "Transfer-Encoding: chunked", method=method, body=rest)


def answer(status: str = "200 OK", *fields: str, body: bytes = b"") -> bytes:
    """An answer of the application, framed only by what is given."""
    return message(f"HTTP/1.1 {status}", *fields, body=body)


class Stage:
    """What a case is played on."""

    def __init__(self, front: tuple[str, int], recorder: Recorder) -> None:
        self.front = front
        self.recorder = recorder
        self._clients: list[Connection] = []

    def client(self, data: bytes = b"", source: str = CLIENT) -> Connection:
        """A new connection to the gateway."""
        plain = socket.create_connection(self.front, timeout=SECONDS, source_address=(source, 0))
        connection = Connection(plain, "client")
        self._clients.append(connection)
        connection.send(data)
        return connection

    def asked(
        self, expected: Optional[bytes] = None, client: Optional[Connection] = None, whole: bool = False
    ) -> Connection:
        """The application gets the next request, which must be this one where it is given."""
        connection, got, data = self.recorder.next(client)
        if expected is not None:
            same("at the application", *requested(got, expected, whole), data)
        return connection

    def exchange(self, data: bytes = get("/ordinary")) -> None:
        """An ordinary request, on a connection of its own: the gateway is as well as before."""
        client = self.client(data)
        self.asked(data, client).send(OK)
        expect(client.response().status == 200, "an ordinary request is not answered any more")
        client.close()

    def nothing_arrived(self) -> None:
        """The application has not got a byte but what was taken. What was sent before this has arrived before."""
        self.exchange()
        self.recorder.drain()
        for connection in self.recorder.connections:
            expect(not connection.rest, f"the application got {shown(connection.rest)}")

    def end(self) -> None:
        for client in self._clients:
            client.close()
        self._clients = []
        self.recorder.end_connections()


def same(where: str, expected: bytes, actual: bytes, raw: bytes) -> None:
    expect(
        expected == actual,
        f"{where}:\n    expected {shown(expected)}\n    got      {shown(actual)}\n    raw      {shown(raw)}")


def requested(got: Message, expected: bytes, whole: bool) -> tuple[bytes, bytes]:
    """What is expected, and what is there without what the gateway added, where `whole` does not ask for it."""
    wanted = read_request(expected)
    assert wanted, f"an expected request is incomplete: {expected!r}"
    names = ADDED_TO_REQUESTS if whole else ADDED_TO_REQUESTS + FORWARDING
    if not whole:
        for name in FORWARDING:
            expect(len(got.values(name)) == 1, f"the application got not one {name}: {shown(got.canonical)}")
    return wanted.canonical, got.without(*(name for name in names if not wanted.values(name))).canonical


def returned(got: Message, expected: bytes, method: bytes) -> tuple[bytes, bytes]:
    wanted = read_response(expected, method, has_ended=True)
    assert wanted, f"an expected response is incomplete: {expected!r}"
    return wanted.canonical, got.without(*(name for name in ADDED_TO_RESPONSES if not wanted.values(name))).canonical


def several(given: Bytes) -> list[bytes]:
    return [given] if isinstance(given, bytes) else list(given)


@dataclass(frozen=True)
class Case:
    """What it shows is its name; `play` raises `CheckFailed` where that does not hold."""

    name: str
    play: Callable[[Stage], None]


def scripted(play: Callable[[Stage], None]) -> Case:
    """A case that is more than bytes there and back. The function's name is the case's."""
    return Case(play.__name__.replace("_", "-").strip("-"), play)


def passes(
    name: str, sends: bytes, arrives: Optional[Bytes] = None, answers: Bytes = OK, returns: Optional[Bytes] = None,
    *, whole: bool = False, source: str = CLIENT, stays_open: Optional[bool] = None, application_closes: bool = False,
) -> Case:
    """Requests that pass, and their answers.

    Args:
        sends: all that the client sends.
        arrives: the requests at the application, without what the gateway adds; the same as sent where not given.
        answers: of the application, one for each.
        returns: all that the client must get, without what the gateway adds; as answered where not given.
        whole: whether `arrives` has the forwarding fields too.
        stays_open: whether the connection must take another request, or must end.
        application_closes: whether the application ends its connection behind its answer.
    """
    wanted = several(sends if arrives is None else arrives)
    replies = several(answers)
    results = several(replies if returns is None else returns)

    def play(stage: Stage) -> None:
        client = stage.client(sends, source)
        methods = []
        for expected, reply in zip(wanted, replies):
            application = stage.asked(expected, client if not methods else None, whole)
            methods.append(expected.split(b" ")[0])
            application.send(reply)
            if application_closes:
                application.end_output()
        for index, expected in enumerate(results):
            # Informational ones precede the last answer only.
            method = methods[min(index, len(methods) - 1)]
            before = client.rest
            try:
                got = client.response(method)
            except CheckFailed as failure:
                raise CheckFailed(f"at the client: expected {shown(expected)}: {failure}") from None
            same("at the client", *returned(got, expected, method), before or got.canonical)
        if stays_open:
            client.send(get("/next"))
            stage.asked(get("/next"), client).send(OK)
            expect(client.response().status == 200, "the connection took no other request")
        elif stays_open is False:
            client.wait_until_ended()
        expect(not client.rest, f"more reached the client: {shown(client.rest)}")

    return Case(name, play)


def refuses(
    name: str, sends: bytes, status: int = 400, *, closes: bool = True, begins: bool = False, source: str = CLIENT
) -> Case:
    """A request that the gateway answers itself; not a byte of it reaches the application.

    Args:
        closes: whether the connection must end behind the answer.
        begins: whether its head is good, and so reaches the application before the rest is sent. That must not get
            the whole of it, and must see its connection end.
    """

    def play(stage: Stage) -> None:
        client = stage.client(source=source)
        if begins:
            application = _begin(stage, client, sends)
        else:
            client.send(sends)
        own_answer(client, status, sends)
        if closes:
            client.wait_until_ended()
            expect(not client.rest, f"more reached the client: {shown(client.rest)}")
        if not begins:
            return stage.nothing_arrived()
        application.wait_until_ended()
        expect(read_request(application.rest) is None, f"the application got all of it: {shown(application.rest)}")
        return None

    return Case(name, play)


def _begin(stage: Stage, client: Connection, sends: bytes) -> Connection:
    """Sends a request's head, and the rest of it when the application has that."""
    end = sends.index(b"\r\n\r\n") + 4
    client.send(sends[:end])
    application = stage.recorder.accept()
    application.wait("the head", lambda: b"\r\n\r\n" in application.rest)
    client.send(sends[end:])
    return application


def own_answer(client: Connection, status: int, sends: bytes = b"") -> Message:
    """The gateway's own answer, behind informational ones of the application; its body is its own affair."""
    method = sends.split(b" ")[0]
    got = client.response(method)
    while got.status < 200:
        got = client.response(method)
    expect(got.status == status, f"expected {status}, got {shown(got.canonical)}")
    expect(SECRET not in got.canonical, f"the application's bytes reached the client: {shown(got.canonical)}")
    return got


def bad_answer(
    name: str, answers: bytes, sends: bytes = get(), *, status: int = 502, application_closes: bool = False
) -> Case:
    """An answer that is no HTTP, or could be read in two ways: 502, and not a byte of it reaches the client."""

    def play(stage: Stage) -> None:
        client = stage.client(sends)
        application = stage.asked(client=client)
        application.send(answers)
        if application_closes:
            application.end_output()
        own_answer(client, status, sends)
        # What was bad is not believed to be over.
        application.wait_until_ended()
        expect(not client.rest, f"more reached the client: {shown(client.rest)}")

    return Case(name, play)


def breaks(name: str, begins: bytes, then: bytes = b"", *, ends: bool = True, sends: bytes = get()) -> Case:
    """An answer that goes wrong when the client has its beginning: it must see that it is not whole.

    Args:
        begins: reaches the client, framed as it is or anew.
        then: what is wrong.
        ends: whether the application ends its connection behind it.
    """
    head, _, body = begins.partition(b"\r\n\r\n")

    def play(stage: Stage) -> None:
        client = stage.client(sends)
        application = stage.asked(client=client)
        application.send(begins)
        client.wait("the beginning", lambda: client.rest.count(b"\r\n\r\n") and client.rest.endswith(body))
        application.send(then)
        if ends:
            application.end_output()
        client.wait_until_ended()
        expect(client.rest.startswith(head.split(b"\r\n")[0]), f"the client got {shown(client.rest)}")
        framed = b"content-length:" in client.rest.lower() or b"transfer-encoding:" in client.rest.lower()
        expect(framed, f"nothing says how long the answer is: {shown(client.rest)}")
        expect(read_response(client.rest) is None, f"the client takes it for whole: {shown(client.rest)}")
        expect(SECRET not in client.rest, f"what was wrong reached the client: {shown(client.rest)}")
        application.wait_until_ended()

    return Case(name, play)

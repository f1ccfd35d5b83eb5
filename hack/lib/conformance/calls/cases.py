"""What every client must see of a call, whatever it goes through."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Callable, Union

from demo.waiting import expect, expect_equal, wait_until

from .client import Call, GrpcioClient, RawClient
from .server import Application

HOST = "calls.example.com"
# Its Service has no Pod.
REFUSED_HOST = "refused.example.com"
# The same application by TLS, with the authority in a Secret, and with one that nobody is told of.
TLS_HOST = "tls.example.com"
UNTRUSTED_HOST = "untrusted.example.com"

OK, UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, UNAVAILABLE = 0, 2, 4, 12, 14
Client = Union[GrpcioClient, RawClient]


@dataclass
class Stage:
    client: Client
    application: Application


def rest(call: Call) -> list[bytes]:
    messages = []
    while (message := call.receive()) is not None:
        messages.append(message)
    return messages


def call(stage: Stage, method: str, *messages: bytes, host: str = HOST) -> tuple[list[bytes], Call]:
    made = stage.client.open(host, method)
    for message in messages:
        made.send(message)
    made.end()
    return rest(made), made


def unary(stage: Stage) -> None:
    messages, made = call(stage, "Echo", b"hello")
    expect_equal(messages, [b"hello"], "messages")
    expect_equal((made.code, made.details), (OK, ""), "status")


def empty(stage: Stage) -> None:
    messages, made = call(stage, "Echo", b"")
    expect_equal((messages, made.code), ([b""], OK), "messages and status")


def metadata(stage: Stage) -> None:
    made = stage.client.open(HOST, "Echo", [("x-asked", "a"), ("x-asked", "b"), ("x-asked-bin", b"\x00\xfe")])
    made.end()
    expect_equal(rest(made), [], "messages")
    asked = [pair for pair in made.initial if pair[0].startswith("x-asked")]
    expect_equal(asked, [("x-asked", "a"), ("x-asked", "b"), ("x-asked-bin", b"\x00\xfe")], "metadata")
    expect(("x-trailing", "yes") in made.trailing, f"x-trailing is not in {made.trailing}")
    expect(("x-trailing-bin", b"\x00\xff") in made.trailing, f"x-trailing-bin is not in {made.trailing}")


def from_server(stage: Stage) -> None:
    messages, made = call(stage, "Count", b"1000")
    expect_equal((messages, made.code), ([str(number).encode() for number in range(1000)], OK), "messages")


def from_client(stage: Stage) -> None:
    messages, made = call(stage, "Collect", *[b"x" * 100] * 1000)
    expect_equal((messages, made.code), ([b"1000 100000"], OK), "messages")


def both_ways(stage: Stage) -> None:
    made = stage.client.open(HOST, "Echo")
    for number in range(50):
        message = str(number).encode()
        made.send(message)
        expect_equal(made.receive(), message, "the echo, before the next message is sent")
    made.end()
    expect_equal((made.receive(), made.code), (None, OK), "end and status")


def large(stage: Stage) -> None:
    message = bytes(range(256)) * (5 << 12)
    messages, made = call(stage, "Echo", message)
    expect(messages == [message], "5 MiB come back as they were")
    expect_equal(made.code, OK, "status")


def failures(stage: Stage) -> None:
    for code in range(1, 17):
        messages, made = call(stage, "Fail", str(code).encode())
        expect_equal((messages, made.code, made.details), ([], code, "50 % of é"), "messages and status")


def no_such_method(stage: Stage) -> None:
    _, made = call(stage, "Nothing", b"x")
    expect_equal(made.code, UNIMPLEMENTED, "status")


def no_such_host(stage: Stage) -> None:
    _, made = call(stage, "Echo", b"x", host="nobody.example.com")
    expect_equal(made.code, UNIMPLEMENTED, "status")
    expect_equal(made.details, "No application is served under this host name.", "details")


def unreachable(stage: Stage) -> None:
    _, made = call(stage, "Echo", b"x", host=REFUSED_HOST)
    expect_equal(made.code, UNAVAILABLE, "status")
    expect("does not accept connections" in made.details, f"details are {made.details!r}")


def by_tls(stage: Stage) -> None:
    messages, made = call(stage, "Echo", b"secret", host=TLS_HOST)
    expect_equal((messages, made.code), ([b"secret"], OK), "messages and status")


def untrusted(stage: Stage) -> None:
    _, made = call(stage, "Echo", b"secret", host=UNTRUSTED_HOST)
    expect_equal(made.code, UNAVAILABLE, "status")
    expect("not trusted" in made.details, f"details are {made.details!r}")


def cancelled(stage: Stage) -> None:
    begun, ended = stage.application.waiting, stage.application.cancelled
    made = stage.client.open(HOST, "Wait")
    made.send(b"x")
    expect_equal(made.receive(), b"begun", "message")
    expect_equal(stage.application.waiting, begun + 1, "calls that wait")
    made.cancel()
    wait_until("the server hears of it", 1, lambda: stage.application.cancelled == ended + 1)


def many(stage: Stage) -> None:
    failed: list[str] = []

    def one(number: int) -> None:
        messages, made = call(stage, "Echo", str(number).encode())
        if (messages, made.code) != ([str(number).encode()], OK):
            failed.append(f"{messages} {made.code} {made.details}")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect_equal(failed, [], "calls that failed")


def restarted(stage: Stage) -> None:
    """The server says GOAWAY, lets a call end, and comes back; nobody sees it go."""
    made = stage.client.open(HOST, "Echo")
    made.send(b"1")
    expect_equal(made.receive(), b"1", "message")
    stopping = threading.Thread(target=stage.application.stop, args=(10,))
    stopping.start()
    made.send(b"2")
    expect_equal(made.receive(), b"2", "the message behind GOAWAY")
    made.end()
    expect_equal((made.receive(), made.code), (None, OK), "end and status")
    stopping.join()
    stage.application.start()
    for _ in range(5):
        messages, again = call(stage, "Echo", b"3")
        expect_equal((messages, again.code), ([b"3"], OK), "a call of the new server")


CASES: dict[str, Callable[[Stage], None]] = {
    "a call with one message each way": unary,
    "an empty message": empty,
    "metadata both ways, repeated and binary": metadata,
    "a stream from the server": from_server,
    "a stream from the client": from_client,
    "streams both ways, message by message": both_ways,
    "a message of 5 MiB each way": large,
    "every status code, with its message": failures,
    "a method that the server does not have": no_such_method,
    "a host that nobody serves is UNIMPLEMENTED": no_such_host,
    "a Service without Pods is UNAVAILABLE": unreachable,
    "TLS to a server whose authority is in a Secret": by_tls,
    "a server by TLS that nobody vouches for is UNAVAILABLE": untrusted,
    "a call that is cancelled ends at the server within a second": cancelled,
    "a hundred calls at a time": many,
    "a server that is restarted gracefully": restarted,
}


def deadline(stage: Stage) -> None:
    ended = stage.application.cancelled
    made = stage.client.open(HOST, "Wait", seconds=0.5)
    made.send(b"x")
    expect_equal(rest(made), [b"begun"], "messages")
    expect_equal(made.code, DEADLINE_EXCEEDED, "status")
    wait_until("the server hears of it", 1, lambda: stage.application.cancelled == ended + 1)


# Deadlines are the client's own affair.
GRPCIO_CASES = {**CASES, "a deadline that passes": deadline}

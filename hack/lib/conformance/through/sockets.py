"""Python's `websockets` at both ends: what they agree on passes, and what they send."""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import threading
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Iterator

from demo.waiting import CheckFailed, expect, expect_equal, wait_until

from .case import Case, case
from .world import COMMAND, HOST, SOCKETS, ThroughWorld

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

TITLE = "WebSocket, Python's websockets"

SECONDS = 10
MIB = 1 << 20
# All that an application may close with (RFC 6455 §7.4.1, §7.4.2, and IANA's registry).
CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)


def connect(world: ThroughWorld, tls: bool = False, direct: bool = False, **more: Any) -> ClientConnection:
    """A connection through the gateway; or, to compare with, one straight to the application."""
    from websockets.sync.client import connect as open_websocket

    front = "127.0.0.1", world.tls_port if tls else world.front_port
    address = world.direct(SOCKETS) if direct else front
    if tls:
        more["ssl"] = ssl.create_default_context(cafile=str(world.authority_file))
    return open_websocket(
        f"{'wss' if tls else 'ws'}://{HOST}:{address[1]}/socket?a=b&a=%2F", max_size=None, proxy=None,
        open_timeout=SECONDS, close_timeout=SECONDS, ping_interval=None,
        sock=socket.create_connection(address, timeout=SECONDS), **more)


def tell(connection: ClientConnection, name: str, **arguments: object) -> None:
    connection.send(COMMAND + json.dumps({"name": name, **arguments}))


def ask(connection: ClientConnection, name: str, **arguments: object) -> Any:
    tell(connection, name, **arguments)
    return json.loads(connection.recv(timeout=SECONDS))


def ended(connection: ClientConnection) -> tuple[int | None, str | None]:
    """Code and reason with which the other side has closed it."""
    from websockets.exceptions import ConnectionClosed

    try:
        message = connection.recv(timeout=SECONDS)
    except ConnectionClosed:
        return connection.close_code, connection.close_reason
    raise CheckFailed(f"a message where the end should be: {message!r:.80}")


def extensions(connection: ClientConnection) -> list[str]:
    return [extension.name for extension in connection.protocol.extensions]


@contextmanager
def named(world: ThroughWorld) -> Iterator[tuple[str, ClientConnection]]:
    """A connection with a name by which the application can be asked how it ended."""
    run = uuid.uuid4().hex
    with connect(world, additional_headers={"X-Run": run}) as connection:
        yield run, connection


def how_ended(world: ThroughWorld, run: str) -> Any:
    with connect(world) as other:
        return wait_until("the application sees the end", SECONDS, lambda: ask(other, "how-ended", run=run))


@case
def what_the_client_offers_reaches_the_application(world: ThroughWorld) -> None:
    fields = {"Origin": "https://other.example", "Cookie": "a=1; b=2", "Authorization": "Bearer x", "X-Two": "1"}
    seen = []
    for direct in (True, False):
        with connect(world, direct=direct, additional_headers=fields, subprotocols=["a", "echo.v1"]) as connection:
            seen.append(ask(connection, "handshake"))
    straight, through = seen
    expect_equal(through["path"], straight["path"], "path and query")

    def comparable(handshake: Any) -> list[list[str]]:
        return [
            [name, value] for name, value in handshake["fields"]
            if name.lower() not in ("host", "connection", "upgrade", "sec-websocket-key", "x-request-id")
            and not name.lower().startswith("x-forwarded-")]

    expect_equal(comparable(through), comparable(straight), "fields of the handshake")


@case
def permessage_deflate_is_agreed_on_end_to_end(world: ThroughWorld) -> None:
    with connect(world) as connection:
        expect_equal(extensions(connection), ["permessage-deflate"], "extensions")
        text = "compress me, " * 10_000
        connection.send(text)
        expect(connection.recv(timeout=SECONDS) == text, "the text came back changed")


@case
def parameters_of_permessage_deflate_are_those_agreed_on_directly(world: ThroughWorld) -> None:
    from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

    for offer in (
        {"server_no_context_takeover": True}, {"client_no_context_takeover": True},
        {"server_max_window_bits": 10, "client_max_window_bits": 11}, {"client_max_window_bits": True},
    ):
        agreed = []
        for direct in (True, False):
            factory = ClientPerMessageDeflateFactory(**offer)  # type: ignore[arg-type]
            with connect(world, direct=direct, compression=None, extensions=[factory]) as connection:
                agreed.append(repr(connection.protocol.extensions))
                for text in ("again and again " * 100, "again and again " * 100):
                    connection.send(text)
                    expect(connection.recv(timeout=SECONDS) == text, f"{offer}: the text came back changed")
        expect_equal(agreed[1], agreed[0], f"what is agreed on after {offer}")


@case
def no_extension_is_offered_where_the_client_offers_none(world: ThroughWorld) -> None:
    with connect(world, compression=None) as connection:
        expect_equal(extensions(connection), [], "extensions")
        fields = ask(connection, "handshake")["fields"]
        offered = [value for name, value in fields if name.lower() == "sec-websocket-extensions"]
        expect_equal(offered, [], "extensions that the application is offered")


@case
def application_chooses_the_subprotocol(world: ThroughWorld) -> None:
    for offered, chosen in (
        (["other", "echo.v1"], "echo.v1"), (["echo.v1", "echo.v2"], "echo.v2"), (["other"], None), (None, None),
    ):
        with connect(world, subprotocols=offered) as connection:
            expect_equal(connection.subprotocol, chosen, f"subprotocol of {offered}")


@case
def every_close_code_of_the_application_reaches_the_client(world: ThroughWorld) -> None:
    for code in CODES:
        with connect(world) as connection:
            tell(connection, "close", code=code, reason=f"because {code} ü")
            expect_equal(ended(connection), (code, f"because {code} ü"), "code and reason at the client")


@case
def every_close_code_of_the_client_reaches_the_application(world: ThroughWorld) -> None:
    for code in CODES:
        with named(world) as (run, connection):
            connection.close(code, f"because {code} ü")
        expect_equal(how_ended(world, run), [code, f"because {code} ü"], "code and reason at the application")


@case
def close_without_a_code_has_none_on_the_other_side(world: ThroughWorld) -> None:
    with named(world) as (run, connection):
        with connection.send_context():
            connection.protocol.send_close()
        expect_equal(ended(connection), (1005, ""), "code and reason at the client")
    expect_equal(how_ended(world, run), [1005, ""], "code and reason at the application")


@case
def pings_of_both_sides_are_answered_by_the_other_side(world: ThroughWorld) -> None:
    with connect(world) as connection:
        for data in (b"", b"hello", bytes(range(125))):
            expect(connection.ping(data).wait(SECONDS), f"the ping {data!r} was not answered")
        tell(connection, "ping", data="x" * 125)
        expect(str(connection.recv(timeout=SECONDS)).startswith("pong after"), "no pong reached the application")


@case
def fragments_of_the_application_reach_the_client_one_by_one(world: ThroughWorld) -> None:
    parts = ["alpha", "", "ü" * 100, "o" * 70_000, "end"]
    with connect(world) as connection:
        tell(connection, "fragments", parts=parts)
        got = list(connection.recv_streaming())
    # The library ends a fragmented message with an empty fragment.
    expect_equal([part for part in got if part], [part for part in parts if part], "fragments")


@case
def fragmented_message_of_the_client_comes_back_whole(world: ThroughWorld) -> None:
    with connect(world) as connection:
        connection.send(["a", "b" * 100_000, "ü", "c"])
        expect(connection.recv(timeout=SECONDS) == "a" + "b" * 100_000 + "üc", "the text came back changed")
        connection.send([b"\0", bytes(range(256)) * 1000, b"\xff"])
        expect(connection.recv(timeout=SECONDS) == b"\0" + bytes(range(256)) * 1000 + b"\xff", "other bytes came back")


def _large(world: ThroughWorld, size: int, **more: Any) -> None:
    data = hashlib.sha256(b"seed").digest() * (size // 32)
    with connect(world, **more) as connection:
        tell(connection, "digest")
        connection.send(data)
        expect_equal(
            json.loads(connection.recv(timeout=30)), {"bytes": size, "sha256": hashlib.sha256(data).hexdigest()},
            "what the application got")
        connection.send(data)
        expect(connection.recv(timeout=30) == data, "other bytes came back")


@case
def messages_of_1_mib_pass_both_ways(world: ThroughWorld) -> None:
    _large(world, MIB)


@case
def messages_of_1_mib_pass_uncompressed(world: ThroughWorld) -> None:
    _large(world, MIB, compression=None)


@case
def message_of_32_mib_passes_uncompressed(world: ThroughWorld) -> None:
    """More than a stream's window and the sockets' buffers together."""
    _large(world, 32 * MIB, compression=None)


@case
def messages_pass_in_order_both_ways_at_once(world: ThroughWorld) -> None:
    """The ancestor let frames overtake each other (5)."""
    count = 3000
    with connect(world) as connection:
        def send() -> None:
            for number in range(count):
                connection.send(f"{number} " + "x" * (number % 500))

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        for number in range(count):
            message = str(connection.recv(timeout=SECONDS))
            expect(message.startswith(f"{number} "), f"message {number} is {message[:20]!r}")
        sender.join()


@case
def fifty_connections_do_not_disturb_each_other(world: ThroughWorld) -> None:
    connections = [connect(world) for _ in range(50)]
    try:
        for turn in range(5):
            for number, connection in enumerate(connections):
                connection.send(f"{turn} of {number}")
            for number, connection in enumerate(connections):
                expect_equal(connection.recv(timeout=SECONDS), f"{turn} of {number}", "what came back")
    finally:
        for connection in connections:
            connection.close()


@case
def half_closed_connection_ends_as_it_does_directly(world: ThroughWorld) -> None:
    """The client sends a message, and says that it will send no more, without a closing handshake."""
    seen = []
    for direct in (True, False):
        connection = connect(world, direct=direct, compression=None)
        connection.send("the last word")
        connection.socket.shutdown(socket.SHUT_WR)
        seen.append((connection.recv(timeout=SECONDS), ended(connection)))
    expect_equal(seen[1], seen[0], "what a client gets that has said its last")


@case
def websocket_over_tls_passes(world: ThroughWorld) -> None:
    with connect(world, tls=True) as connection:
        expect_equal(extensions(connection), ["permessage-deflate"], "extensions")
    _large(world, MIB, tls=True)


@case
def request_without_an_upgrade_is_answered_by_the_application(world: ThroughWorld) -> None:
    answer = world.front(HOST).get("/socket")
    expect_equal(answer.status, 426, "status")
    expect_equal([value.lower() for value in answer.values("Upgrade")], ["websocket"], "Upgrade")


CASES: list[Case] = [value for value in globals().values() if isinstance(value, Case)]

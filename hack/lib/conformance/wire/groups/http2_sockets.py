"""HTTP/2: another protocol on a stream (RFC 8441)."""

from __future__ import annotations

import base64
import hashlib

from demo.waiting import expect, expect_equal

from ..case import OK, Case, Stage, answer, scripted
from ..connection import Connection, shown
from ..http2 import CANCEL, Client, Field, fields, pair

TITLE = "HTTP/2: WebSockets"

# RFC 6455 §1.3.
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def _settle(client: Client) -> None:
    """Nobody may ask before it is known to be understood (RFC 8441 §3)."""
    client.wait("SETTINGS_ENABLE_CONNECT_PROTOCOL", lambda: client.state.remote_settings.enable_connect_protocol == 1)


def _asks(*more: str) -> list[Field]:
    asked = fields(*more, "sec-websocket-version: 13", method="CONNECT", path="/socket?a=1")
    return [*asked[:4], pair(":protocol: websocket"), *asked[4:]]


def _handshake(stage: Stage, client: Client, *more: str) -> tuple[int, Connection, bytes]:
    """The stream, the application's connection, and the head that it got."""
    _settle(client)
    stream = client.request(_asks(*more), end=False)
    application = stage.recorder.accept()
    application.wait("the handshake", lambda: b"\r\n\r\n" in application.rest)
    head, _, rest = application.rest.partition(b"\r\n\r\n")
    expect(not rest, f"the application got more than the head: {shown(rest)}")
    application.taken += len(head) + 4
    return stream, application, head


def _accepted(head: bytes, *more: str) -> bytes:
    keys = [line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: ")]
    expect_equal(len(keys), 1, "keys of the handshake")
    accept = base64.b64encode(hashlib.sha1(keys[0] + GUID).digest()).decode()
    lines = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}")
    return answer("101 Switching Protocols", *lines, *more)


@scripted
def a_websocket_is_asked_for_as_in_http_1_1_and_its_bytes_pass_both_ways(stage: Stage) -> None:
    client = Client(stage.client())
    stream, application, head = _handshake(stage, client, "sec-websocket-protocol: chat", "origin: https://a")
    expect(head.startswith(b"GET /socket?a=1 HTTP/1.1\r\nHost: app.example.com\r\n"), f"got {shown(head)}")
    for line in (b"upgrade: websocket", b"connection: upgrade", b"sec-websocket-version: 13",
                 b"sec-websocket-protocol: chat", b"origin: https://a"):
        expect(line in head.lower().split(b"\r\n"), f"{line!r} is not in {shown(head)}")
    application.send(_accepted(head, "Sec-WebSocket-Protocol: chat") + b"\x81\x02hi")
    got = client.head(stream)
    expect_equal(got.status, 200, "the status")
    expect_equal(got.values("sec-websocket-protocol"), [b"chat"], "the chosen protocol")
    for name in ("sec-websocket-accept", "upgrade", "connection"):
        expect_equal(got.values(name), [], name)
    client.wait("the application's bytes", lambda: client.answers[stream].body == b"\x81\x02hi")
    client.send(stream, b"\x81\x82\0\0\0\0yo")
    application.wait_for(b"\x81\x82\0\0\0\0yo")
    application.send(b"\x88\x02\x03\xe8")
    application.end_output()
    expect_equal(client.answer(stream).body, b"\x81\x02hi\x88\x02\x03\xe8", "all of the application's bytes")


@scripted
def what_a_client_sends_before_the_answer_waits_for_it(stage: Stage) -> None:
    client = Client(stage.client())
    _settle(client)
    stream = client.request(_asks(), end=False)
    client.send(stream, b"early")
    application = stage.recorder.accept()
    application.wait("the handshake", lambda: b"\r\n\r\n" in application.rest)
    head, _, rest = application.rest.partition(b"\r\n\r\n")
    expect(not rest, f"the application got {shown(rest)} before it answered")
    application.taken += len(head) + 4
    application.send(_accepted(head))
    expect_equal(client.head(stream).status, 200, "the status")
    application.wait_for(b"early")


@scripted
def the_end_of_a_client_s_bytes_ends_the_application_s_connection(stage: Stage) -> None:
    client = Client(stage.client())
    stream, application, head = _handshake(stage, client)
    application.send(_accepted(head))
    client.head(stream)
    client.send(stream, b"last", end=True)
    application.wait_for(b"last")
    application.wait_until_ended()


@scripted
def a_client_that_resets_the_stream_ends_the_application_s_connection(stage: Stage) -> None:
    client = Client(stage.client())
    stream, application, head = _handshake(stage, client)
    application.send(_accepted(head))
    client.head(stream)
    client.reset(stream, CANCEL)
    application.wait_until_ended(1)


@scripted
def a_refusal_is_the_answer(stage: Stage) -> None:
    client = Client(stage.client())
    stream, application, _ = _handshake(stage, client)
    application.send(answer("403 Forbidden", "Content-Length: 2", body=b"no"))
    got = client.answer(stream)
    expect_equal((got.status, got.body), (403, b"no"), "the answer")


@scripted
def an_answer_to_another_key_is_502(stage: Stage) -> None:
    client = Client(stage.client())
    stream, application, head = _handshake(stage, client)
    application.send(_accepted(head).replace(b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: x"))
    expect_equal(client.answer(stream).status, 502, "the status")


@scripted
def an_answer_without_a_switch_is_502(stage: Stage) -> None:
    client = Client(stage.client())
    stream, application, _ = _handshake(stage, client)
    application.send(OK)
    expect_equal(client.answer(stream).status, 502, "the status")


@scripted
def another_protocol_than_websocket_is_refused(stage: Stage) -> None:
    client = Client(stage.client())
    _settle(client)
    asked = fields(method="CONNECT")
    stream = client.request([*asked, pair(":protocol: connect-udp")], end=False)
    expect_equal(client.answer(stream).status, 501, "the status")


CASES: list[Case] = [
    a_websocket_is_asked_for_as_in_http_1_1_and_its_bytes_pass_both_ways,
    what_a_client_sends_before_the_answer_waits_for_it,
    the_end_of_a_client_s_bytes_ends_the_application_s_connection,
    a_client_that_resets_the_stream_ends_the_application_s_connection,
    a_refusal_is_the_answer,
    an_answer_to_another_key_is_502,
    an_answer_without_a_switch_is_502,
    another_protocol_than_websocket_is_refused,
]

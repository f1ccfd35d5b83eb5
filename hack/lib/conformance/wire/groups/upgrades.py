"""Other protocols behind an upgrade: WebSocket and any other, byte for byte (RFC 9110 §7.8)."""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import contextmanager
from typing import Iterator

from demo.waiting import expect

from ..case import BRIEF_HOST, HOST, OK, Case, Stage, answer, bad_answer, get, passes, scripted
from ..connection import Connection
from ..world import BRIEF_SECONDS

TITLE = "WebSocket and other upgrades"

OFFER = (
    "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: chat, superchat",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", "Origin: http://a.example",
)
ARRIVES = tuple(field for field in OFFER if not field.startswith(("Connection", "Upgrade")))
TAKEN = (
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Sec-WebSocket-Protocol: chat",
    "Sec-WebSocket-Extensions: permessage-deflate", "X-App: 1",
)
# Frames as a client masks them: text in two fragments with a ping between, of reserved bits, of an unknown opcode.
FROM_CLIENT = bytes.fromhex(
    "0183 01020304 494740" "8980 aabbccdd" "8082 01020304 6d6d" "f185 00000000 68656c6c6f" "8b80 01020304")
FROM_APPLICATION = bytes.fromhex("8105 48656c6c6f" "8a00" "c101 ff" "827e0004 00010203" "8903 010203")
CLOSE_FROM_CLIENT = bytes.fromhex("8886 00000000 0fa1 62796521")
CLOSE_FROM_APPLICATION = bytes.fromhex("8806 0fa1 62796521")


OTHER = ("Connection: Upgrade", "Upgrade: my-proto/1.0")
# More than a stream's windows and the sockets' buffers, every part of it different.
VOLUME = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(1 << 18))


def switched(upgrade: str, *fields: str) -> bytes:
    return answer("101 Switching Protocols", "Connection: upgrade", f"Upgrade: {upgrade}", *fields)


def _upgraded(
    stage: Stage, *offer: str, taken: str = "websocket", method: str = "GET", host: str = HOST
) -> tuple[Connection, Connection]:
    """Client and application, both of which have switched."""
    client = stage.client(get("/socket?a=b", *(offer or OFFER), method=method, host=host))
    application = stage.asked(client=client)
    application.send(switched(taken))
    expect(client.response().status == 101, "the protocol was not switched")
    return client, application


@scripted
def _7_handshake_passes_but_for_the_hop_fields(stage: Stage) -> None:
    client = stage.client(get("/socket?a=b", *OFFER))
    application, got, _ = stage.recorder.next(client)
    expect([field.lower() for field in got.values("Upgrade")] == [b"websocket"], "its Upgrade is another")
    expect([field.lower() for field in got.values("Connection")] == [b"upgrade"], "its Connection is another")
    rest = got.without("Upgrade", "Connection").canonical
    expect(get("/socket?a=b", *ARRIVES)[:-2] in rest, f"the handshake is another: {rest!r}")
    application.send(switched("websocket", *TAKEN))
    head = client.response()
    expect(head.status == 101, "the protocol was not switched")
    expect([value.lower() for value in head.values("Upgrade")] == [b"websocket"], "its Upgrade is another")
    for field in TAKEN:
        name, value = field.split(": ")
        expect(head.values(name) == [value.encode()], f"the client's {name} is {head.values(name)}")


@scripted
def _7_frames_pass_byte_for_byte(stage: Stage) -> None:
    """The ancestor framed them anew (7)."""
    client, application = _upgraded(stage)
    client.send(FROM_CLIENT)
    application.wait_for(FROM_CLIENT)
    application.send(FROM_APPLICATION)
    client.wait_for(FROM_APPLICATION)


@scripted
def _7_close_of_the_application_passes_with_its_code(stage: Stage) -> None:
    client, application = _upgraded(stage)
    application.send(CLOSE_FROM_APPLICATION)
    client.wait_for(CLOSE_FROM_APPLICATION)
    client.send(CLOSE_FROM_CLIENT)
    application.wait_for(CLOSE_FROM_CLIENT)
    application.close()
    client.wait_until_ended(1)
    expect(not client.rest, "more reached the client")


@scripted
def _7_close_of_the_client_passes_with_its_code(stage: Stage) -> None:
    client, application = _upgraded(stage)
    client.send(CLOSE_FROM_CLIENT)
    application.wait_for(CLOSE_FROM_CLIENT)
    application.send(CLOSE_FROM_APPLICATION)
    client.wait_for(CLOSE_FROM_APPLICATION)
    client.close()
    application.wait_until_ended(1)


@scripted
def every_byte_passes_both_ways(stage: Stage) -> None:
    data = bytes(range(256)) * 2000
    client, application = _upgraded(stage)
    client.send(data)
    application.wait_for(data)
    application.send(data)
    client.wait_for(data)


@scripted
def bytes_sent_with_the_handshake_reach_the_application(stage: Stage) -> None:
    client = stage.client(get("/socket", *OFFER) + FROM_CLIENT)
    application = stage.asked(client=client)
    application.send(switched("websocket") + FROM_APPLICATION)
    expect(client.response().status == 101, "the protocol was not switched")
    client.wait_for(FROM_APPLICATION)
    application.wait_for(FROM_CLIENT)


@scripted
def what_looks_like_http_is_not_touched(stage: Stage) -> None:
    client, application = _upgraded(stage)
    client.send(get("/other"))
    application.wait_for(get("/other"))
    application.send(OK)
    client.wait_for(OK)


@scripted
def client_that_crashes_ends_the_applications_connection(stage: Stage) -> None:
    client, application = _upgraded(stage)
    client.reset()
    application.wait_until_ended(6)


@scripted
def application_that_crashes_ends_the_clients_connection(stage: Stage) -> None:
    client, application = _upgraded(stage)
    application.reset()
    client.wait_until_ended(1)


@scripted
def client_that_ends_its_side_still_hears_the_application(stage: Stage) -> None:
    client, application = _upgraded(stage, "Connection: upgrade", "Upgrade: echo", taken="echo")
    client.send(b"all I had")
    client.end_output()
    application.wait_for(b"all I had")
    application.wait_until_ended()
    application.send(b"and my answer")
    application.close()
    client.wait_for(b"and my answer")
    client.wait_until_ended()


@scripted
def application_that_ends_its_side_still_hears_the_client(stage: Stage) -> None:
    client, application = _upgraded(stage, "Connection: upgrade", "Upgrade: echo", taken="echo")
    application.send(b"all I had")
    application.end_output()
    client.wait_for(b"all I had")
    client.wait_until_ended()
    client.send(b"and my answer")
    client.close()
    application.wait_for(b"and my answer")
    application.wait_until_ended()


@scripted
def other_protocol_passes(stage: Stage) -> None:
    offer = ("Connection: keep-alive, UPGRADE", "Upgrade: my-proto/1.0")
    client, application = _upgraded(stage, *offer, taken="my-proto/1.0")
    application.send(b"\x00\xff hello")
    client.wait_for(b"\x00\xff hello")
    client.send(b"\x00\xff world")
    application.wait_for(b"\x00\xff world")


@contextmanager
def _sending(*sends: tuple[Connection, bytes, bool]) -> Iterator[None]:
    """Each connection sends, and ends its side where that is asked for, while the block takes what comes."""
    def send(connection: Connection, data: bytes, ends: bool) -> None:
        connection.send(data)
        if ends:
            connection.end_output()

    threads = [threading.Thread(target=send, args=one, daemon=True) for one in sends]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(10)
        expect(not thread.is_alive(), "not all was sent")


@scripted
def other_protocol_carries_volumes_both_ways_at_once(stage: Stage) -> None:
    client, application = _upgraded(stage, *OTHER, taken="my-proto/1.0")
    back = VOLUME[::-1]
    with _sending((client, VOLUME, False), (application, back, False)):
        # In turns: neither side has stopped sending when the other begins to be read.
        for start in range(0, len(VOLUME), 1 << 20):
            application.wait_for(VOLUME[start:start + (1 << 20)], 20)
            client.wait_for(back[start:start + (1 << 20)], 20)
    client.send(b"still here")
    application.wait_for(b"still here")


@scripted
def end_of_other_protocol_follows_its_last_byte(stage: Stage) -> None:
    client, application = _upgraded(stage, *OTHER, taken="my-proto/1.0")
    with _sending((client, VOLUME, True)):
        application.wait_for(VOLUME, 20)
        application.wait_until_ended()
    with _sending((application, VOLUME, True)):
        client.wait_for(VOLUME, 20)
        client.wait_until_ended()


@scripted
def other_protocol_that_is_not_read_does_not_hold_up_others(stage: Stage) -> None:
    client, application = _upgraded(stage, *OTHER, taken="my-proto/1.0")
    with _sending((client, VOLUME, False)):
        for _ in range(5):
            other = stage.client(get("/ordinary"))
            asked = stage.recorder.accept()
            asked.wait("the request", lambda: b"\r\n\r\n" in asked.rest)
            asked.send(OK)
            expect(other.response().status == 200, "an ordinary request is not answered meanwhile")
            other.close()
            asked.close()
        application.wait_for(VOLUME, 20)


@scripted
def other_protocol_may_be_silent_for_longer_than_an_answer_may_take(stage: Stage) -> None:
    client, application = _upgraded(stage, *OTHER, taken="my-proto/1.0", host=BRIEF_HOST)
    # The time that passes is what is tried here.
    time.sleep(BRIEF_SECONDS * 1.3)
    application.send(b"late")
    client.wait_for(b"late")
    client.send(b"later")
    application.wait_for(b"later")


@scripted
def other_protocol_may_be_asked_for_by_a_post_without_a_body(stage: Stage) -> None:
    """As containers are attached to."""
    for fields in ((), ("Content-Length: 0",)):
        client, application = _upgraded(
            stage, "Connection: Upgrade", "Upgrade: tcp", *fields, taken="tcp", method="POST")
        client.send(b"\x00in")
        application.wait_for(b"\x00in")
        application.send(b"\xffout")
        client.wait_for(b"\xffout")


@scripted
def several_protocols_are_offered_as_they_were(stage: Stage) -> None:
    client = stage.client(get("/", "Connection: upgrade", "Upgrade: first", "Upgrade: second/2, third"))
    application, got, _ = stage.recorder.next(client)
    offered = b", ".join(got.values("Upgrade"))
    expect(offered == b"first, second/2, third", f"offered are {offered!r}")
    application.send(switched("second/2"))
    expect(client.response().values("Upgrade") == [b"second/2"], "the client is told of another protocol")


@scripted
def declined_upgrade_is_an_ordinary_answer(stage: Stage) -> None:
    client = stage.client(get("/", *OFFER))
    stage.asked(client=client).send(answer("403 Forbidden", "Content-Length: 2", body=b"no"))
    expect(client.response().body == b"no", "the answer is another")
    client.send(get("/2"))
    stage.asked(get("/2"), client).send(OK)
    expect(client.response().status == 200, "the connection took no other request")


@scripted
def answer_426_says_which_protocol_it_wants(stage: Stage) -> None:
    client = stage.client(get())
    stage.asked(client=client).send(answer(
        "426 Upgrade Required", "Connection: upgrade", "Upgrade: websocket", "Content-Length: 0"))
    got = client.response()
    expect(got.status == 426, "the status is another")
    expect(got.values("Upgrade") == [b"websocket"], f"its Upgrade is {got.values('Upgrade')}")


@scripted
def upgrade_beside_a_body_is_an_ordinary_request(stage: Stage) -> None:
    request = get("/", "Content-Length: 2", method="POST", body=b"hi")
    client = stage.client(get("/", *OFFER[:2], "Content-Length: 2", method="POST", body=b"hi"))
    stage.asked(request, client).send(OK)
    expect(client.response().status == 200, "no answer")


CASES: list[Case] = [
    _7_handshake_passes_but_for_the_hop_fields,
    _7_frames_pass_byte_for_byte,
    _7_close_of_the_application_passes_with_its_code,
    _7_close_of_the_client_passes_with_its_code,
    every_byte_passes_both_ways,
    bytes_sent_with_the_handshake_reach_the_application,
    what_looks_like_http_is_not_touched,
    client_that_crashes_ends_the_applications_connection,
    application_that_crashes_ends_the_clients_connection,
    client_that_ends_its_side_still_hears_the_application,
    application_that_ends_its_side_still_hears_the_client,
    other_protocol_passes,
    other_protocol_carries_volumes_both_ways_at_once,
    end_of_other_protocol_follows_its_last_byte,
    other_protocol_that_is_not_read_does_not_hold_up_others,
    other_protocol_may_be_silent_for_longer_than_an_answer_may_take,
    other_protocol_may_be_asked_for_by_a_post_without_a_body,
    several_protocols_are_offered_as_they_were,
    declined_upgrade_is_an_ordinary_answer,
    answer_426_says_which_protocol_it_wants,
    upgrade_beside_a_body_is_an_ordinary_request,
    passes("upgrade-to-http-2-is-not-offered", get("/", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
                                                   "HTTP2-Settings: AAMAAABkAAQAAP__"), get()),
    passes("upgrade-with-http-1.0-is-not-offered", get("/", *OFFER[:2]).replace(b"HTTP/1.1", b"HTTP/1.0"), get(),
           returns=answer("200 OK", "Content-Length: 2", "Connection: close", body=b"ok")),
    bad_answer("switch-to-http-2", switched("h2c"), get("/", "Connection: upgrade", "Upgrade: echo")),
    bad_answer("switch-that-was-not-asked-for", switched("websocket")),
]

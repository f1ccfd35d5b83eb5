"""Connections that become WebSockets: an unmodified client and an unmodified server, with everything in between."""

from __future__ import annotations

import random

from .. import websocket_peer
from ..waiting import expect, expect_equal
from ..world import World

SIZES = (0, 1, 125, 126, 65_535, 65_536, 3 * 1024 * 1024)


def websockets_pass(world: World) -> str:
    """A WebSocket client and server talk through the gateway: text, binary, compression, pings, both ways of closing."""
    if not websocket_peer.IS_INSTALLED:
        return "not tried: the Python package websockets is not installed"
    from websockets.exceptions import ConnectionClosed

    host = "websocket.example.com"
    with websocket_peer.application(world, "websocket", host):
        for compression in (None, "deflate"):
            with websocket_peer.connect(world, host, compression=compression) as client:
                expect_equal(client.subprotocol, "echo.v1", "the subprotocol chosen")
                extension = client.response.headers.get("Sec-WebSocket-Extensions", "")
                expect_equal("permessage-deflate" in extension, compression is not None, "compression")
                for size in SIZES:
                    for message in (random.Random(size).randbytes(size), "ä" * (size // 2)):
                        client.send(message)
                        expect(client.recv(timeout=20) == message, f"{size} bytes came back changed")
                expect(client.ping().wait(10), "no pong")
        with websocket_peer.connect(world, host) as client:
            client.send("close 4321")
            try:
                client.recv(timeout=10)
                expect(False, "the application did not close")
            except ConnectionClosed as closed:
                expect_equal((closed.rcvd.code, closed.rcvd.reason), (4321, "as asked"), "the close frame")
        client = websocket_peer.connect(world, host)
        client.close(1001, "leaving")
        expect_equal((client.close_code, client.close_reason), (1001, "leaving"), "the answer to the close frame")
    return f"messages up to {max(SIZES) // 1024 // 1024} MiB, with and without compression, close codes 4321 and 1001"

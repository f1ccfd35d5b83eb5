"""Connections that become WebSockets: an unmodified client and an unmodified server, with everything in between."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from typing import TYPE_CHECKING, Any, Iterator

from ..manifests import ingress, path, rule
from ..waiting import expect, expect_equal, wait_until
from ..world import World

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection
    from websockets.sync.server import ServerConnection

PORT = 8080
SIZES = (0, 1, 125, 126, 65_535, 65_536, 3 * 1024 * 1024)


def _application(connection: ServerConnection) -> None:
    """Echoes; the text `close N` makes it close with the code N."""
    for message in connection:
        if isinstance(message, str) and message.startswith("close "):
            connection.close(int(message.split()[1]), "as asked")
            return
        connection.send(message)


@contextlib.contextmanager
def _serving(address: str) -> Iterator[None]:
    from websockets.sync.server import serve

    server = serve(_application, address, PORT, subprotocols=["echo.v1"], max_size=None)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def _connect(world: World, host: str, **more: Any) -> ClientConnection:
    from websockets.sync.client import connect

    through = socket.create_connection(("127.0.0.1", world.front_port), timeout=10)
    return connect(
        f"ws://{host}/live?room=1", sock=through, max_size=None, subprotocols=["no", "echo.v1"], **more)


def websockets_pass(world: World) -> str:
    """A WebSocket client and server talk through the gateway: text, binary, compression, pings, both ways of closing."""
    try:
        import websockets
    except ModuleNotFoundError:
        return "not tried: the Python package websockets is not installed"
    host = "websocket.example.com"
    with world.objects() as objects:
        service = objects.create(world.application_service("websocket", {"web": PORT}))
        objects.create(
            ingress(world.namespace, "websocket", rule(host, path("/", service["metadata"]["name"], PORT))))
        with _serving(service["spec"]["clusterIP"]):
            # A request that asks for no upgrade is told so by the application (RFC 9110 §15.5.22).
            wait_until("the route is served", 5, lambda: world.front(host).get().status == 426)
            for compression in (None, "deflate"):
                with _connect(world, host, compression=compression) as client:
                    expect_equal(client.subprotocol, "echo.v1", "the subprotocol chosen")
                    extension = client.response.headers.get("Sec-WebSocket-Extensions", "")
                    expect_equal("permessage-deflate" in extension, compression is not None, "compression")
                    for size in SIZES:
                        for message in (random.Random(size).randbytes(size), "ä" * (size // 2)):
                            client.send(message)
                            expect(client.recv(timeout=20) == message, f"{size} bytes came back changed")
                    expect(client.ping().wait(10), "no pong")
            with _connect(world, host) as client:
                client.send("close 4321")
                try:
                    client.recv(timeout=10)
                    expect(False, "the application did not close")
                except websockets.ConnectionClosed as closed:
                    expect_equal((closed.rcvd.code, closed.rcvd.reason), (4321, "as asked"), "the close frame")
            client = _connect(world, host)
            client.close(1001, "leaving")
            expect_equal((client.close_code, client.close_reason), (1001, "leaving"), "the answer to the close frame")
    return f"messages up to {max(SIZES) // 1024 // 1024} MiB, with and without compression, close codes 4321 and 1001"

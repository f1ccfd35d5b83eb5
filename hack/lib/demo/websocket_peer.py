"""Both ends of a WebSocket: an application that echoes, and clients of it that go through the gateway."""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Iterator, Optional

from .manifests import ingress, path, rule
from .waiting import CheckFailed, wait_until
from .world import World

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection
    from websockets.sync.server import ServerConnection

PORT = 8080
IS_INSTALLED = importlib.util.find_spec("websockets") is not None


def _application(connection: ServerConnection) -> None:
    """Echoes; the text `close N` makes it close with the code N."""
    from websockets.exceptions import ConnectionClosed

    # Whether its client said goodbye is the client's business.
    with contextlib.suppress(ConnectionClosed):
        for message in connection:
            if isinstance(message, str) and message.startswith("close "):
                connection.close(int(message.split()[1]), "as asked")
                return
            connection.send(message)


@contextlib.contextmanager
def application(world: World, name: str, host: str) -> Iterator[None]:
    """The application, with a Service and an Ingress of this name, until the block's end."""
    from websockets.sync.server import serve

    with world.objects() as objects:
        service = objects.create(world.application_service(name, {"web": PORT}))
        objects.create(ingress(world.namespace, name, rule(host, path("/", service["metadata"]["name"], PORT))))
        address = service["spec"].get("clusterIP") or service["spec"]["externalName"]
        server = serve(_application, address, PORT, subprotocols=["echo.v1"], max_size=None)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            # A request that asks for no upgrade is told so by the application (RFC 9110 §15.5.22).
            wait_until("the route is served", 10, lambda: world.front(host).get().status == 426)
            yield
        finally:
            server.shutdown()
            thread.join()


def connect(world: World, host: str, **more: Any) -> ClientConnection:
    from websockets.sync.client import connect as open_websocket

    through = socket.create_connection(("127.0.0.1", world.front_port), timeout=10)
    return open_websocket(
        f"ws://{host}/live?room=1", sock=through, max_size=None, subprotocols=["no", "echo.v1"], **more)


class IdleWebSocket:
    """A client that has said something and waits."""

    def __init__(self, world: World, host: str) -> None:
        self._connection = connect(world, host, ping_interval=None)
        self._end: Optional[tuple[int, float]] = None
        self._connection.send("hello")
        if self._connection.recv(timeout=10) != "hello":
            raise CheckFailed("the WebSocket's application does not echo")
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            self._connection.recv()
        except ConnectionClosed as closed:
            self._end = (closed.rcvd.code if closed.rcvd else 1006, time.monotonic())

    def end(self, seconds: float) -> tuple[int, float]:
        """Waits for the end, and returns its close code (1006: there was none) and when it came."""
        self._thread.join(seconds)
        if not self._end:
            raise CheckFailed(f"the WebSocket was not closed within {seconds:g} s")
        return self._end

    def close(self) -> None:
        self._connection.close()

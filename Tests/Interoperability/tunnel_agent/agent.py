"""One tunnel of an agent over a WebSocket connection (§1 to §3, §8 and §9)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, AsyncIterator, Awaitable, Callable, Optional

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from . import control, frames
from .control import Route
from .streams import Stream, StreamReset, Streams
from .violation import Violation

PATH = "/agent/v1/tunnel"
SUBPROTOCOL = "gateway-tunnel.v1"

Handler = Callable[[Stream], Awaitable[None]]


async def not_found(stream: Stream) -> None:
    await stream.answer(404, b"no handler\n")


class Agent:
    """A connected tunnel. `handler` answers each stream, in a task of its own."""

    PING_SECONDS = 10.0
    DEAD_SECONDS = 30.0
    WELCOME_SECONDS = 10.0

    def __init__(self, connection: ClientConnection, cluster: str, handler: Handler, max_streams: int) -> None:
        self.connection = connection
        self.cluster = cluster
        self.handler = handler
        self.welcome: dict[str, Any] = {}
        self.routes: dict[tuple[str, str, str], Route] = {}
        self.revision = -1
        # What the gateway acknowledged, and said, in order.
        self.acknowledgements: dict[int, dict[str, Any]] = {}
        self.errors: list[dict[str, Any]] = []
        self.resyncs: list[str] = []
        self.heartbeats_acknowledged: list[int] = []
        self.canaries = 0
        self.violation: Optional[Violation] = None
        self.has_ended = False
        # What handlers raised.
        self.failures: list[Exception] = []
        self.streams = Streams(max_streams, self._opened)
        self._next_revision = 1
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task] = set()
        self._heard = time.monotonic()

    @classmethod
    @contextlib.asynccontextmanager
    async def dial(
        cls, port: int, token: str, cluster: str, handler: Handler = not_found, agent_id: str = "python",
        tunnel: int = 0, max_streams: int = 1024, greet: bool = True,
    ) -> AsyncIterator[Agent]:
        """Connects, and says hello unless told not to."""
        async with dial_websocket(port, token) as connection:
            agent = cls(connection, cluster, handler, max_streams)
            agent._start(agent._receive())
            agent._start(agent._send())
            try:
                if greet:
                    await agent.say_hello(agent_id, tunnel)
                yield agent
            finally:
                for task in agent._tasks:
                    task.cancel()
                await asyncio.gather(*agent._tasks, return_exceptions=True)

    async def say_hello(self, agent_id: str = "python", tunnel: int = 0) -> None:
        await self.say(
            "hello", versions=[1], cluster_uuid=self.cluster, agent_id=agent_id, agent_version="python", tunnel=tunnel,
            max_streams=self.streams.max_streams)
        await self.until(lambda: self.welcome, self.WELCOME_SECONDS)
        self._start(self._heartbeats())
        self._start(self._pings())

    # Routes

    async def sync(self, routes: list[Route]) -> dict[str, Any]:
        """Replaces all routes and returns the acknowledgement."""
        self.routes = {_key(entry): entry for entry in routes}
        return await self._published(control.sync_pages(self.cluster, self._next_revision, routes))

    async def change(self, action: str, routes: list[Route]) -> dict[str, Any]:
        for entry in routes:
            if action == "delete":
                self.routes.pop(_key(entry), None)
            else:
                self.routes[_key(entry)] = entry
        return await self._published([control.ingress_routes(action, self.cluster, self._next_revision, routes)])

    async def _published(self, messages: Any) -> dict[str, Any]:
        revision = self._next_revision
        self._next_revision += 1
        for message in messages:
            await self.connection.send(message)
        await self.until(lambda: revision in self.acknowledgements)
        return self.acknowledgements[revision]

    async def heartbeat(self, digest: Optional[str] = None) -> None:
        await self.say(
            "heartbeat", metadata={"is_private": True, "gateway_routes": len(self.routes)}, revision=self.revision,
            digest=digest or control.digest(self.routes.values()))

    # Talking

    async def say(self, kind: str, **payload: Any) -> None:
        await self.connection.send(control.encode(kind, payload))

    async def until(self, condition: Callable[[], Any], seconds: float = 10.0) -> Any:
        """Waits for something that a message of the gateway brings about."""
        return await asyncio.wait_for(self._until(condition), seconds)

    async def _until(self, condition: Callable[[], Any]) -> Any:
        async with self._changed:
            while not (value := condition()):
                if self.has_ended:
                    raise ConnectionError(f"the tunnel has ended: {self.closed}")
                await self._changed.wait()
        return value

    @property
    def closed(self) -> tuple[Optional[int], Optional[str]]:
        return self.connection.close_code, self.connection.close_reason

    async def wait_closed(self, seconds: float = 10.0) -> tuple[Optional[int], Optional[str]]:
        await asyncio.wait_for(self.connection.wait_closed(), seconds)
        return self.closed

    async def drain_and_close(self) -> None:
        """GOAWAY, the end of what is open, and goodbye."""
        self.streams.drain()
        await asyncio.gather(*(stream.gone.wait() for stream in list(self.streams.open.values())))
        await self.streams.is_quiet.wait()
        await self.connection.close(1001, "going away")

    # The tunnel's tasks

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _receive(self) -> None:
        try:
            async for message in self.connection:
                self._heard = time.monotonic()
                if isinstance(message, str):
                    await self._control(message)
                else:
                    for frame in frames.decode(message):
                        self.streams.receive(frame)
                async with self._changed:
                    self._changed.notify_all()
        except Violation as violation:
            self.violation = violation
            await self.say("error", code=violation.code, message=violation.detail)
            await self.connection.close(1002, f"protocol violation: {violation}"[:120])
        except ConnectionClosed:
            pass
        finally:
            self.has_ended = True
            self.streams.lost()
            async with self._changed:
                self._changed.notify_all()

    async def _send(self) -> None:
        """One writer, which waits for the socket."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.streams.has_output.wait()
                if message := self.streams.next_message():
                    await self.connection.send(message)

    async def _heartbeats(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(self.welcome["heartbeat_interval_ms"] / 1000)
                await self.heartbeat()

    async def _pings(self) -> None:
        """Any message or pong is life."""
        with contextlib.suppress(ConnectionClosed):
            while time.monotonic() - self._heard < self.DEAD_SECONDS:
                pong = await self.connection.ping()
                pong.add_done_callback(lambda _: setattr(self, "_heard", time.monotonic()))
                await asyncio.sleep(self.PING_SECONDS)
            await self.connection.close(1000, "silent")

    # What the gateway says

    async def _control(self, text: str) -> None:
        if len(text.encode()) > control.TEXT_LIMIT:
            raise Violation("too_large", "a control message beyond 65,536 bytes")
        kind, payload = control.decode(text)
        if kind == "error":
            control.require(payload, ("code", str), ("message", str))
            self.errors.append(payload)
        elif kind == "welcome" and not self.welcome:
            control.require(
                payload, ("version", int), ("instance_id", str), ("tunnel_id", str), ("gateway_domain", str),
                ("heartbeat_interval_ms", int))
            if payload["version"] != 1 or payload["heartbeat_interval_ms"] <= 0:
                raise Violation("unexpected_control", "a version that was not offered, or no interval")
            self.welcome = payload
        elif kind in ("welcome", "hello", "ingress_routes", "heartbeat"):
            raise Violation("unexpected_control", f"{kind} from the gateway")
        elif not self.welcome:
            raise Violation("unexpected_control", f"{kind} before welcome")
        elif kind == "ingress_routes_ack":
            control.require(payload, ("revision", int), ("accepted", int), ("rejected", list))
            self.acknowledgements[payload["revision"]] = payload
            self.revision = max(self.revision, payload["revision"])
        elif kind == "heartbeat_ack":
            control.require(payload, ("revision", int))
            self.heartbeats_acknowledged.append(payload["revision"])
        elif kind == "resync":
            control.require(payload, ("reason", str))
            self.resyncs.append(payload["reason"])
            self._start(self.sync(list(self.routes.values())))
        else:
            await self.say("error", code="unknown_type", message=f"unknown type {kind}")

    def _opened(self, stream: Stream) -> None:
        if not self.welcome:
            raise Violation("unexpected_frame", "a stream before welcome")
        self._start(self._handle(stream))

    async def _handle(self, stream: Stream) -> None:
        try:
            if stream.head.method == "CANARY":
                self.canaries += 1
                await stream.answer(200, b"ok")
            else:
                await self.handler(stream)
        except StreamReset:
            pass
        except Exception as error:
            self.failures.append(error)
            stream.abort("internal_error", repr(error)[:200])


def dial_websocket(port: int, token: str, **more: Any) -> connect:
    """The opening handshake (§1), and the limits of §2. Whoever goes on has a WebSocket and no tunnel yet."""
    arguments: dict[str, Any] = {
        "subprotocols": [SUBPROTOCOL], "additional_headers": {"Authorization": f"Bearer {token}"},
        "compression": None, "max_size": frames.MESSAGE_LIMIT, "ping_interval": None, "open_timeout": 10,
        "close_timeout": 2, "proxy": None, **more,
    }
    return connect(f"ws://127.0.0.1:{port}{PATH}", **arguments)


def _key(entry: Route) -> tuple[str, str, str]:
    return entry["host"].lower(), entry["path"], entry.get("path_type", "Prefix")

"""The Python agent before a gateway that says what a test tells it to: what no real gateway does, or not yet."""

from __future__ import annotations

import asyncio
import contextlib
import json
import unittest
from typing import Any, AsyncIterator, Callable

from .tunnel_agent import control, frames
from .tunnel_agent.frames import Data, GoAway, Headers, Request, Reset, Response, Trailers, Window
from .tunnel_agent.streams import REQUEST_CREDIT, Stream

try:
    from websockets.asyncio.server import ServerConnection, serve

    from .tunnel_agent.agent import SUBPROTOCOL, Agent
except ModuleNotFoundError as error:
    raise unittest.SkipTest("the Python package websockets is not installed") from error

WELCOME = {
    "version": 1, "instance_id": "i", "tunnel_id": "t", "gateway_domain": "g", "heartbeat_interval_ms": 3_600_000,
}


def request(stream: int, target: str = "/", end: bool = True, method: str = "GET", window: int = 100_000) -> bytes:
    return frames.encode(Headers(stream, Request(window, method, "host", target), end))


class Peer:
    """The gateway's end of one connection."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.frames: list[frames.Frame] = []
        self.texts: list[tuple[str, dict]] = []

    async def send(self, *parts: bytes) -> None:
        await self.connection.send(b"".join(parts))

    async def until(self, condition: Callable[[], Any]) -> None:
        """Receives until something is there."""
        async def receive() -> None:
            while not condition():
                message = await self.connection.recv()
                if isinstance(message, str):
                    self.texts.append(control.decode(message))
                else:
                    self.frames += frames.decode(message)

        await asyncio.wait_for(receive(), 10)

    def body(self, stream: int) -> bytes:
        return b"".join(f.payload for f in self.frames if isinstance(f, Data) and f.stream == stream)


class AgentAlone(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        asyncio.get_running_loop().set_debug(False)

    @contextlib.asynccontextmanager
    async def tunnel(self, handler: Callable[[Stream], Any], **more: Any) -> AsyncIterator[tuple[Peer, Agent]]:
        arrived: asyncio.Queue[Peer] = asyncio.Queue()
        over = asyncio.Event()

        async def accept(connection: ServerConnection) -> None:
            peer = Peer(connection)
            await peer.until(lambda: peer.texts)
            await connection.send(control.encode("welcome", WELCOME))
            await arrived.put(peer)
            await over.wait()

        async with serve(accept, "127.0.0.1", 0, subprotocols=[SUBPROTOCOL], compression=None) as server:
            port = server.sockets[0].getsockname()[1]
            async with Agent.dial(port, "token", "c", handler, tunnel=1, **more) as agent:
                try:
                    yield await arrived.get(), agent
                    self.assertEqual(agent.failures, [])
                finally:
                    over.set()

    async def test_the_hello_has_every_field(self) -> None:
        async with self.tunnel(None) as (peer, _):
            kind, payload = peer.texts[0]
            self.assertEqual((kind, set(payload)), ("hello", {
                "versions", "cluster_uuid", "agent_id", "agent_version", "max_streams", "tunnel"}))
            self.assertEqual(payload["tunnel"], 1)

    async def test_a_canary_is_answered_on_the_data_path_and_reaches_no_handler(self) -> None:
        async with self.tunnel(None) as (peer, agent):
            await peer.send(frames.encode(Headers(1, Request(1, "CANARY", "", "*"), True)))
            await peer.until(lambda: peer.body(1))
            self.assertEqual((peer.frames[0], agent.canaries), (Headers(1, Response(200)), 1))
            # It costs credit as any other answer does.
            self.assertEqual(len(peer.body(1)), 1)
            await peer.send(frames.encode(Window(1, 100)))
            await peer.until(lambda: peer.frames[-1] == Data(1, b"k", True))

    async def test_small_answers_pass_large_ones_and_turns_are_taken(self) -> None:
        async def handler(stream: Stream) -> None:
            await stream.answer(200, b"x" * (1_000_000 if stream.head.target == "/large" else 20_000))

        async with self.tunnel(handler) as (peer, _):
            large = [request(number, "/large", window=1_000_000) for number in (1, 2)]
            await peer.send(*large)
            await peer.until(lambda: len(peer.body(1)) >= 100_000)
            await peer.send(request(3))
            await peer.until(lambda: len(peer.body(3)) == 20_000)
            await peer.until(lambda: len(peer.body(1)) == len(peer.body(2)) == 1_000_000)
            order = [frame.stream for frame in peer.frames if isinstance(frame, Data) and frame.payload]
            self.assertLess(order.index(3), len(order) - 10)
            self.assertLessEqual(max(len(frame.payload) for frame in peer.frames if isinstance(frame, Data)), 16_384)

    async def test_what_a_gateway_may_not_say_ends_the_tunnel_with_its_code(self) -> None:
        async def handler(stream: Stream) -> None:
            await stream.gone.wait()

        open_one = request(5, end=False)
        cases: list[tuple[str, Any]] = [
            ("bad_stream_id", request(4)), ("bad_stream_id", request(5)), ("bad_stream_id", request(0)),
            ("bad_stream_id", frames.encode(Data(6, b"x"))), ("bad_stream_id", frames.encode(Reset(6, "cancelled"))),
            ("unexpected_frame", frames.encode(Headers(5, Response(200)))),
            ("unexpected_frame", frames.encode(Headers(5, Trailers()))),
            ("unexpected_frame", frames.encode(Data(5, b"", True)) + frames.encode(Data(5, b"x"))),
            ("unexpected_frame", frames.encode(Data(5, b"", True)) + frames.encode(Headers(5, Trailers(), True))),
            ("credit_exceeded", frames.encode(Data(5, b"x" * REQUEST_CREDIT)) + frames.encode(Data(5, b"x"))),
            ("bad_credit", frames.encode(Window(5, 0))), ("bad_credit", frames.encode(Window(5, (1 << 31) - 1))),
            ("malformed_frame", request(6, target="/a b")), ("malformed_frame", request(6, target="")),
            ("malformed_frame", request(6, method="")), ("malformed_frame", request(6, window=1 << 31)),
            ("malformed_frame", frames.encode(Window(5, 1)).replace(b"\0\0\4", b"\0\0\5", 1) + b"x"),
            ("truncated", frames.encode(Window(5, 1)).replace(b"\0\0\4", b"\0\0\3", 1)[:-1]),
            ("malformed_control", "nonsense"), ("malformed_control", control.encode("heartbeat_ack", {})),
            ("unexpected_control", control.encode("welcome", WELCOME)),
            ("unexpected_control", control.encode("ingress_routes", {})),
        ]
        for code, wire in cases:
            with self.subTest(code=code, wire=wire[:40]):
                async with self.tunnel(handler) as (peer, agent):
                    await peer.send(open_one)
                    await peer.connection.send(wire)
                    await peer.until(lambda: peer.texts[-1][0] == "error")
                    self.assertEqual(peer.texts[-1][1]["code"], code)
                    await asyncio.wait_for(peer.connection.wait_closed(), 10)
                    self.assertEqual(peer.connection.close_code, 1002)
                    self.assertTrue(peer.connection.close_reason.startswith(f"protocol violation: {code}"))

    async def test_what_is_ignored_is_ignored_and_unknown_types_are_answered(self) -> None:
        async with self.tunnel(lambda stream: stream.answer(200, b"here")) as (peer, agent):
            await peer.send()
            await peer.send(
                request(9), b"\0\0\1\x63\0\0\0\0\7x", frames.encode(Data(3, b"of a stream left out")),
                frames.encode(Window(9, 5)))
            await peer.connection.send(json.dumps({"type": "of_tomorrow", "payload": {}}))
            await peer.until(lambda: peer.body(9) and peer.texts[-1][0] == "error")
            self.assertEqual(peer.texts[-1][1]["code"], "unknown_type")
            self.assertIsNone(agent.violation)

    async def test_more_streams_than_allowed_and_those_behind_a_goaway_are_refused(self) -> None:
        release = asyncio.Event()

        async def handler(stream: Stream) -> None:
            await release.wait()
            await stream.answer(204)

        async with self.tunnel(handler, max_streams=1) as (peer, agent):
            await peer.send(request(1), request(2))
            await peer.until(lambda: Reset(2, "refused", "too many streams") in peer.frames)
            agent.streams.drain()
            await peer.until(lambda: GoAway(2, "shutting down") in peer.frames)
            await peer.send(request(3))
            await peer.until(lambda: Reset(3, "refused", "draining") in peer.frames)
            release.set()
            await peer.until(lambda: Headers(1, Response(204), True) in peer.frames)

    async def test_a_goaway_in_two_steps_lets_streams_be_opened_between_them(self) -> None:
        async with self.tunnel(lambda stream: stream.answer(204)) as (peer, agent):
            await peer.send(frames.encode(GoAway((1 << 31) - 1, "dial your replacement")))
            await peer.send(request(1))
            await peer.until(lambda: Headers(1, Response(204), True) in peer.frames)
            self.assertTrue(agent.streams.gateway_is_draining.is_set())
            await peer.send(frames.encode(GoAway(1, "going")))
            await asyncio.wait_for(peer.connection.close(1001), 10)
            self.assertEqual(agent.streams.gateway_last_stream, 1)

    async def test_an_answer_that_does_not_fit_a_frame_is_reset(self) -> None:
        async with self.tunnel(lambda stream: stream.answer(200, fields=[("a", "x" * 65_536)])) as (peer, _):
            await peer.send(request(1))
            await peer.until(lambda: peer.frames)
            self.assertEqual((peer.frames[0].stream, peer.frames[0].code), (1, "backend_invalid"))

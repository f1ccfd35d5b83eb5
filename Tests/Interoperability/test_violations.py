"""What the gateway refuses (§1, §3 and §7), and what it bears."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import Any, AsyncIterator, Optional

from .front import Client
from .gateway import GatewayTestCase, InvalidStatus
from .tunnel_agent import control, frames
from .tunnel_agent.agent import PATH, Agent, dial_websocket
from .tunnel_agent.control import route
from .tunnel_agent.frames import Data, GoAway, Headers, Reset, Response, Trailers, Window
from .tunnel_agent.streams import Stream


def raw(kind: int, payload: bytes, stream: int = 1, flags: int = 0) -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


async def respond_and_wait(stream: Stream) -> None:
    stream.respond(200)
    await stream.gone.wait()


class Violations(GatewayTestCase):
    async def closed_with(self, agent: Agent, code: str, what: str = "") -> None:
        """The tunnel was closed for this reason, told twice."""
        closed, reason = await agent.wait_closed()
        self.assertEqual((closed, reason.split(":")[1].strip()), (1002, code), f"{what}: {reason}")
        self.assertTrue(reason.startswith("protocol violation: "), f"{what}: {reason}")
        self.assertEqual([error["code"] for error in agent.errors][-1:], [code], what)
        # Nobody else's tunnel is.
        other, host = await self.serve(lambda stream: stream.answer(200))
        self.assertEqual((await self.gateway.request(host)).status, 200)

    @contextlib.asynccontextmanager
    async def open_stream(self, **fields: Any) -> AsyncIterator[tuple[Agent, Stream, Client]]:
        """An agent with one stream under way, whose answer's head is out."""
        streams: list[Stream] = []

        async def handler(stream: Stream) -> None:
            streams.append(stream)
            await respond_and_wait(stream)

        agent, host = await self.serve(handler)
        async with await Client.connect(self.gateway.front_port) as client:
            client.send_head("POST", host, "/", [("Content-Length", "1000")])
            self.assertEqual((await client.receive_head()).status, 200)
            yield agent, streams[0], client

    async def test_more_data_than_the_credit_ends_the_tunnel_and_breaks_its_answers(self) -> None:
        async with self.open_stream() as (agent, stream, client):
            left = stream.credit + 1
            message = b""
            while left > 0:
                chunk = min(left, frames.DATA_LIMIT)
                message += frames.encode(Data(stream.number, b"x" * chunk))
                left -= chunk
            # In one message, so that no credit can come back in between.
            self.assertLessEqual(len(message), frames.MESSAGE_LIMIT)
            await agent.connection.send(message)
            await self.closed_with(agent, "credit_exceeded")
            with self.assertRaises((asyncio.IncompleteReadError, ConnectionError, ValueError)):
                while await asyncio.wait_for(client.receive_chunk(), 10):
                    pass

    async def test_frames_that_break_the_rules_end_the_tunnel(self) -> None:
        response = frames.encode(Headers(1, Response(200)))
        cases: list[tuple[str, str, Any]] = [
            ("a header cut short", "truncated", lambda n: b"\x00\x00\x04\x00"),
            ("a frame longer than its message", "truncated", lambda n: raw(0, b"xxxx", n)[:-1]),
            ("a field that is cut short", "truncated", lambda n: raw(1, b"\x02\x00\xc8\x00\x01\x00\x01", n)),
            ("bytes behind the last field", "malformed_frame", lambda n: raw(1, b"\x02\x00\xc8\x00\x00\x00", n)),
            ("an unknown kind of head", "malformed_frame", lambda n: raw(1, b"\x09", n)),
            ("a status of 99", "malformed_frame", lambda n: raw(1, b"\x02\x00\x63\x00\x00", n)),
            ("a name with a space", "malformed_frame",
             lambda n: frames.encode(Headers(n, Trailers([("a b", "")]), True))),
            ("a value with a line break", "malformed_frame",
             lambda n: frames.encode(Headers(n, Trailers([("a", "b\r\nc")]), True))),
            ("a frame beyond its limit", "too_large", lambda n: raw(0, b"x" * (frames.DATA_LIMIT + 1), n)),
            ("credit of five bytes", "malformed_frame", lambda n: raw(2, b"\0\0\0\1\0", n)),
            ("a detail beyond its limit", "too_large", lambda n: raw(3, b"\0" * (4 + 1025), n)),
            ("a second answer", "unexpected_frame", lambda n: frames.encode(Headers(n, Response(200)))),
            ("an informational response behind it", "unexpected_frame",
             lambda n: frames.encode(Headers(n, Response(103)))),
            ("trailers that are not the end", "unexpected_frame", lambda n: frames.encode(Headers(n, Trailers()))),
            ("a request", "unexpected_frame",
             lambda n: frames.encode(Headers(n + 1000, frames.Request(0, "GET", "", "/"), True))),
            ("a stream never opened", "bad_stream_id", lambda n: frames.encode(Data(n + 1000, b"x"))),
            ("the stream zero", "bad_stream_id", lambda n: frames.encode(Data(0, b"x"))),
            ("credit of zero", "bad_credit", lambda n: frames.encode(Window(n, 0))),
            ("credit beyond the most", "bad_credit", lambda n: frames.encode(Window(n, (1 << 31) - 1))),
        ]
        async def break_it(name: str, code: str, wire: Any) -> None:
            async with self.open_stream() as (agent, stream, _):
                await agent.connection.send(wire(stream.number))
                await self.closed_with(agent, code, name)

        await asyncio.gather(*(break_it(*case) for case in cases))

    async def test_what_the_page_says_is_ignored_is_ignored(self) -> None:
        async with self.open_stream() as (agent, stream, client):
            number = stream.number
            await agent.connection.send(b"")
            await agent.connection.send(
                raw(200, b"a frame of tomorrow", 77) + raw(0, b"", number, flags=0xFE)
                + frames.encode(Data(number, b"seen")))
            self.assertEqual(await asyncio.wait_for(client.receive_chunk(), 10), b"seen")
            stream.abort("backend_closed")
            # Frames that crossed a RESET, and unknown codes of it.
            await agent.connection.send(
                frames.encode(Data(number, b"late")) + frames.encode(Window(number, 5)) + raw(3, b"\0\0\3\xe7", number))
            await agent.say("heartbeat", metadata={"is_private": True, "gateway_routes": 0, "x": 1}, revision=-1,
                            digest="", of_tomorrow=[1])
            seen = len(agent.heartbeats_acknowledged)
            await agent.until(lambda: len(agent.heartbeats_acknowledged) > seen)
            self.assertEqual(agent.errors, [])

    async def test_an_unknown_type_is_answered_and_nothing_else_happens(self) -> None:
        agent, host = await self.serve(lambda stream: stream.answer(200))
        await agent.say("of_tomorrow", anything=1)
        await agent.until(lambda: agent.errors)
        self.assertEqual(agent.errors[0]["code"], "unknown_type")
        self.assertEqual((await self.gateway.request(host)).status, 200)

    async def test_control_messages_that_break_the_rules_end_the_tunnel(self) -> None:
        cases = [
            ("no JSON", "malformed_control", "{"), ("no object", "malformed_control", "[]"),
            ("no payload", "malformed_control", '{"type":"heartbeat"}'),
            ("a field that is missing", "malformed_control", control.encode("heartbeat", {"revision": 1})),
            ("a second hello", "unexpected_control", None),
            ("what only the gateway may say", "unexpected_control", control.encode("resync", {"reason": "r"})),
            ("a message beyond the limit", "too_large", control.encode("heartbeat", {"x": "y" * 70_000})),
        ]
        async def break_it(name: str, code: str, text: Optional[str]) -> None:
            agent = await self.dial(self.gateway.cluster())
            if text is None:
                text = control.encode("hello", {
                    "versions": [1], "cluster_uuid": agent.cluster, "agent_id": "a", "agent_version": "1",
                    "max_streams": 1})
            await agent.connection.send(text)
            await self.closed_with(agent, code, name)

        await asyncio.gather(*(break_it(*case) for case in cases))

    async def test_the_first_message_is_a_hello_of_the_tokens_cluster_and_a_known_version(self) -> None:
        hello = {"versions": [1], "agent_id": "a", "agent_version": "1", "max_streams": 1}
        cases = [
            ("an unknown type", "unexpected_control", lambda c: ("of_tomorrow", {})),
            ("a heartbeat", "unexpected_control",
             lambda c: ("heartbeat", {"metadata": {"is_private": True, "gateway_routes": 0}, "revision": -1,
                                      "digest": "0"})),
            ("another cluster", "wrong_cluster", lambda c: ("hello", {**hello, "cluster_uuid": "other"})),
            ("no common version", "unexpected_control",
             lambda c: ("hello", {**hello, "cluster_uuid": c, "versions": [2, 3]})),
            ("no streams", "malformed_control", lambda c: ("hello", {**hello, "cluster_uuid": c, "max_streams": 0})),
        ]
        async def break_it(name: str, code: str, message: Any) -> None:
            agent = await self.dial(self.gateway.cluster(), greet=False)
            kind, payload = message(agent.cluster)
            await agent.say(kind, **payload)
            await self.closed_with(agent, code, name)

        await asyncio.gather(*(break_it(*case) for case in cases))

    async def test_a_hello_may_offer_versions_of_tomorrow_too(self) -> None:
        agent = await self.dial(self.gateway.cluster(), greet=False)
        await agent.say(
            "hello", versions=[9, 1], cluster_uuid=agent.cluster, agent_id="a", agent_version="1", max_streams=1, x=1)
        await agent.until(lambda: agent.welcome)
        self.assertEqual(agent.welcome["version"], 1)

    async def test_routes_of_another_cluster_are_refused_and_the_tunnel_goes_on(self) -> None:
        agent, host = await self.serve(lambda stream: stream.answer(200))
        stolen = f"stolen.{host}"
        await agent.connection.send(control.ingress_routes("add", "another", 2, [route(stolen)]))
        await agent.until(lambda: agent.errors)
        self.assertEqual(agent.errors[0]["code"], "wrong_cluster")
        self.assertEqual((await self.gateway.request(stolen)).status, 404)
        self.assertEqual((await self.gateway.request(host)).status, 200)

    async def test_messages_may_come_in_fragments_of_any_size_with_pings_between(self) -> None:
        cluster = self.gateway.cluster()
        agent = await self.dial(cluster, lambda stream: stream.answer(200), greet=False)
        hello = control.encode("hello", {
            "versions": [1], "cluster_uuid": cluster.uuid, "agent_id": "grüße", "agent_version": "1",
            "max_streams": 10})

        async def drip(text: str) -> AsyncIterator[str]:
            for index, character in enumerate(text):
                if index % 20 == 0:
                    await (await agent.connection.ping(f"{index}".encode()))
                yield character

        await agent.connection.send(drip(hello))
        await agent.until(lambda: agent.welcome)
        await agent.connection.send(drip(control.ingress_routes("sync", cluster.uuid, 1, [route(cluster.host)])))
        await agent.until(lambda: agent.acknowledgements)
        self.assertEqual((await self.gateway.request(cluster.host)).status, 200)

    async def test_frames_may_come_in_fragments(self) -> None:
        async with self.open_stream() as (agent, stream, client):
            message = frames.encode(Data(stream.number, b"drop by drop"))

            async def drip() -> AsyncIterator[bytes]:
                for byte in message:
                    yield bytes([byte])

            await agent.connection.send(drip())
            self.assertEqual(await asyncio.wait_for(client.receive_chunk(), 10), b"drop by drop")

    async def test_text_that_is_not_utf8_is_refused_with_1007(self) -> None:
        agent = await self.dial(self.gateway.cluster())
        await agent.connection.send(b"\xed\xa0\x80", text=True)
        closed, reason = await agent.wait_closed()
        self.assertEqual((closed, reason.split(":")[:2]), (1007, ["protocol violation", " invalid_text"]))


class Handshake(GatewayTestCase):
    async def refused(self, **more: Any) -> tuple[int, str, Any]:
        token = more.pop("token", None)
        try:
            async with dial_websocket(self.gateway.tunnel_port, token or "wrong", **more):
                self.fail("was accepted")
        except InvalidStatus as error:
            return error.response.status_code, error.response.body.decode().split(":")[0], error.response.headers

    async def raw(self, *lines: str) -> tuple[int, str, dict[str, str]]:
        async with await Client.connect(self.gateway.tunnel_port) as client:
            await client.send("\r\n".join([*lines, "Host: gateway", "", ""]).encode())
            answer = await asyncio.wait_for(client.receive(), 10)
        return answer.status, answer.body.decode().split(":")[0], {k.lower(): v for k, v in answer.fields}

    async def test_refusals_are_those_of_the_page_in_its_order(self) -> None:
        status, name, fields = await self.raw("POST /other HTTP/1.1")
        self.assertEqual((status, name, fields["connection"]), (404, "not_found", "close"))
        status, name, fields = await self.raw(f"POST {PATH}?x=1 HTTP/1.1")
        self.assertEqual((status, name, fields["allow"]), (405, "method_not_allowed", "GET"))
        status, name, fields = await self.raw(f"GET {PATH} HTTP/1.1")
        self.assertEqual(
            (status, name, fields["upgrade"], fields["sec-websocket-version"]),
            (426, "upgrade_required", "websocket", "13"))
        upgrade = (f"GET {PATH} HTTP/1.1", "Connection: upgrade", "Upgrade: websocket")
        self.assertEqual((await self.raw(*upgrade, "Sec-WebSocket-Version: 12"))[:2], (426, "upgrade_required"))
        self.assertEqual(
            (await self.raw(*upgrade, "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short"))[:2],
            (400, "bad_request"))
        self.assertEqual((await self.refused(subprotocols=["gateway-tunnel.v2"]))[:2], (400, "bad_request"))
        status, name, fields = await self.refused()
        self.assertEqual((status, name, fields["WWW-Authenticate"]), (401, "unauthorized", "Bearer"))

    async def test_the_101_names_the_subprotocol_and_no_extension(self) -> None:
        cluster = self.gateway.cluster()
        async with dial_websocket(
            self.gateway.tunnel_port, cluster.token, subprotocols=["other", "gateway-tunnel.v1"], compression="deflate"
        ) as connection:
            self.assertEqual(connection.subprotocol, "gateway-tunnel.v1")
            self.assertNotIn("Sec-WebSocket-Extensions", connection.response.headers)

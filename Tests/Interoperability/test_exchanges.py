"""HTTP exchanges through a running gateway: bodies, credit, and everything else that a stream carries (§5 and §6)."""

from __future__ import annotations

import asyncio
import hashlib
import random

from .front import Client
from .gateway import GatewayTestCase
from .tunnel_agent.streams import REQUEST_CREDIT, Stream, StreamReset

MIB = 1 << 20


def pattern(length: int) -> bytes:
    return random.Random(length).randbytes(length)


async def echo(stream: Stream) -> None:
    stream.respond(200, [("Content-Type", "application/octet-stream")])
    while chunk := await stream.read():
        await stream.send(chunk)
    stream.end()


class Exchanges(GatewayTestCase):
    async def test_a_request_arrives_as_it_was_sent_and_so_does_its_answer(self) -> None:
        seen: list[Stream] = []

        async def handler(stream: Stream) -> None:
            seen.append(stream)
            await stream.answer(
                218, b"hello", [("X-One", "1"), ("set-cookie", "a=b"), ("Set-Cookie", "c=d"), ("Content-Length", "5")])

        _, host = await self.serve(handler)
        answer = await self.gateway.request(
            host, "/a//b/../%2e?x=%20", method="PURGE",
            fields=[("Accept", "x"), ("cookie", "1"), ("Cookie", "2"), ("Connection", "X-Gone"), ("X-Gone", "1")])
        self.assertEqual((answer.status, answer.body), (218, b"hello"))
        for field in [("X-One", "1"), ("set-cookie", "a=b"), ("Set-Cookie", "c=d")]:
            self.assertIn(field, answer.fields)
        head = seen[0].head
        self.assertEqual((head.method, head.authority, head.target), ("PURGE", host, "/a//b/../%2e?x=%20"))
        self.assertTrue(seen[0].request_ended)
        fields = [field for field in head.fields if not field[0].lower().startswith(("x-forwarded", "x-real"))]
        self.assertEqual(fields[:3], [("Accept", "x"), ("cookie", "1"), ("Cookie", "2")])
        self.assertNotIn("x-gone", [name.lower() for name, _ in head.fields])
        self.assertNotIn("host", [name.lower() for name, _ in head.fields])

    async def test_megabytes_go_both_ways_at_once(self) -> None:
        agent, host = await self.serve(echo)
        body = pattern(6 * MIB)
        async with await Client.connect(self.gateway.front_port) as client:
            client.send_head("POST", host, "/", [("Content-Length", str(len(body)))])
            sending = asyncio.ensure_future(client.send(body))
            answer = await asyncio.wait_for(client.receive(), 60)
            await sending
        self.assertEqual(answer.status, 200)
        self.assertEqual(hashlib.sha256(answer.body).digest(), hashlib.sha256(body).digest())
        self.assertIsNone(agent.violation)

    async def test_an_upload_keeps_to_the_credit_that_a_slow_reader_gives(self) -> None:
        streams: list[Stream] = []
        may_read = asyncio.Event()

        async def handler(stream: Stream) -> None:
            streams.append(stream)
            await may_read.wait()
            body = await stream.read_all()
            await stream.answer(200, hashlib.sha256(body).hexdigest().encode())

        agent, host = await self.serve(handler)
        body = pattern(24 * MIB)
        async with await Client.connect(self.gateway.front_port) as client:
            client.send_head("POST", host, "/", [("Content-Length", str(len(body)))])
            sending = asyncio.ensure_future(client.send(body))
            # The credit of the protocol is used up, and no byte more comes, though more waits than the sockets hold.
            await self.eventually("the credit is used up", lambda: streams and streams[0].most_unread == REQUEST_CREDIT)
            self.assertFalse(sending.done())
            may_read.set()
            answer = await asyncio.wait_for(client.receive(), 60)
            await sending
        self.assertEqual(answer.body, hashlib.sha256(body).hexdigest().encode())
        self.assertEqual(streams[0].most_unread, REQUEST_CREDIT)
        self.assertGreaterEqual(streams[0].windows_sent, len(body) // REQUEST_CREDIT)
        self.assertIsNone(agent.violation)

    async def test_a_client_that_stops_reading_stops_its_own_answer_and_no_other(self) -> None:
        body = pattern(24 * MIB)
        streams: dict[str, Stream] = {}

        async def handler(stream: Stream) -> None:
            streams[stream.head.target] = stream
            await stream.answer(200, body if stream.head.target == "/large" else b"small")

        _, host = await self.serve(handler)
        async with await Client.connect(self.gateway.front_port) as client:
            client.send_head("GET", host, "/large")
            answer = await client.receive_head()
            self.assertEqual(answer.status, 200)
            await self.eventually(
                "the answer waits for credit",
                lambda: streams["/large"].credit == 0 and streams["/large"].times_without_credit)
            for _ in range(20):
                self.assertEqual((await self.gateway.request(host, "/small")).body, b"small")
            self.assertFalse(streams["/large"].answer_ended)
            received = hashlib.sha256()
            length = 0
            while chunk := await asyncio.wait_for(client.receive_chunk(), 30):
                received.update(chunk)
                length += len(chunk)
        self.assertEqual((length, received.digest()), (len(body), hashlib.sha256(body).digest()))
        self.assertTrue(streams["/large"].answer_ended)

    async def test_a_hundred_streams_are_open_at_once(self) -> None:
        everybody = asyncio.Event()
        count = 0

        async def handler(stream: Stream) -> None:
            nonlocal count
            body = await stream.read_all()
            count += 1
            if count == 100:
                everybody.set()
            await everybody.wait()
            await stream.answer(200, body * 50)

        agent, host = await self.serve(handler)
        bodies = [pattern(1_000 + index) for index in range(100)]
        answers = await asyncio.gather(
            *(self.gateway.request(host, f"/{index}", method="PUT", body=body) for index, body in enumerate(bodies)))
        self.assertEqual([answer.status for answer in answers], [200] * 100)
        for answer, body in zip(answers, bodies):
            self.assertTrue(answer.body == body * 50)
        await self.eventually("every stream is forgotten", lambda: not agent.streams.open)

    async def test_more_streams_than_the_agent_takes_are_not_sent_to_it(self) -> None:
        release = asyncio.Event()
        running = 0
        most = 0

        async def handler(stream: Stream) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await release.wait()
            running -= 1
            await stream.answer(200)

        _, host = await self.serve(handler, max_streams=3)
        requests = [asyncio.ensure_future(self.gateway.request(host)) for _ in range(8)]
        await self.eventually("some were refused", lambda: sum(task.done() for task in requests) == 5)
        release.set()
        statuses = sorted([(await task).status for task in requests])
        self.assertEqual((most, statuses), (3, [200] * 3 + [503] * 5))

    async def test_an_answer_may_end_before_its_request_and_the_rest_is_cancelled(self) -> None:
        streams: list[Stream] = []

        async def handler(stream: Stream) -> None:
            streams.append(stream)
            await stream.read()
            await stream.answer(413, b"too much", [("Content-Length", "8")])

        agent, host = await self.serve(handler)
        async with await Client.connect(self.gateway.front_port) as client:
            client.send_head("POST", host, "/", [("Content-Length", str(50 * MIB))])
            await client.send(b"x" * 100)
            answer = await asyncio.wait_for(client.receive(), 10)
            self.assertEqual((answer.status, answer.body), (413, b"too much"))
            await self.eventually("the gateway ended the stream", lambda: streams[0].reset)
        self.assertEqual(streams[0].reset.code, "cancelled")
        self.assertFalse(agent.streams.open)

    async def test_trailers_go_both_ways(self) -> None:
        seen: list[Stream] = []

        async def handler(stream: Stream) -> None:
            seen.append(stream)
            body = await stream.read_all()
            stream.respond(200, [("Content-Type", "application/grpc")])
            await stream.send(body)
            stream.end(trailers=[("grpc-status", "0"), ("grpc-message", "fine")])

        _, host = await self.serve(handler)
        async with await Client.connect(self.gateway.front_port) as client:
            client.send_head(
                "POST", host, "/", [("Transfer-Encoding", "chunked"), ("TE", "trailers"), ("Trailer", "X-Sum")])
            await client.send_chunk(b"hello, ")
            await client.send_chunk(b"trailers")
            await client.send_last_chunk([("X-Sum", "42")])
            answer = await asyncio.wait_for(client.receive(), 10)
        self.assertEqual((answer.status, answer.body), (200, b"hello, trailers"))
        self.assertEqual(answer.trailers, [("grpc-status", "0"), ("grpc-message", "fine")])
        self.assertEqual(seen[0].trailers, [("X-Sum", "42")])

    async def test_informational_responses_arrive_before_the_answer_is_there(self) -> None:
        hinted = asyncio.Event()

        async def handler(stream: Stream) -> None:
            stream.inform(103, [("Link", "</style.css>; rel=preload")])
            await hinted.wait()
            stream.inform(103, [("Link", "</more.css>; rel=preload")])
            await stream.answer(200, b"page", [("Content-Length", "4")])

        _, host = await self.serve(handler)
        async with await Client.connect(self.gateway.front_port) as client:
            client.send_head("GET", host)
            hint = await asyncio.wait_for(client.receive_head(), 10)
            self.assertEqual((hint.status, hint.fields), (103, [("Link", "</style.css>; rel=preload")]))
            hinted.set()
            answer = await asyncio.wait_for(client.receive(), 10)
        self.assertEqual(answer.informational, [(103, [("Link", "</more.css>; rel=preload")])])
        self.assertEqual((answer.status, answer.body), (200, b"page"))

    async def test_a_client_that_goes_away_is_heard_of_as_cancelled(self) -> None:
        streams: list[Stream] = []

        async def handler(stream: Stream) -> None:
            streams.append(stream)
            stream.respond(200)
            while True:
                await stream.send(b"tick" * 1000)
                await asyncio.sleep(0)

        _, host = await self.serve(handler)
        async with await Client.connect(self.gateway.front_port) as client:
            client.send_head("GET", host)
            self.assertEqual((await client.receive_head()).status, 200)
            client.reset()
            await self.eventually("RESET arrives", lambda: streams[0].reset)
        self.assertEqual(streams[0].reset.code, "cancelled")

    async def test_each_reset_code_has_its_answer(self) -> None:
        async def handler(stream: Stream) -> None:
            stream.abort(stream.head.target[1:], "says the test")

        _, host = await self.serve(handler)
        expected = {
            "cancelled": 502, "protocol_error": 500, "internal_error": 500, "refused": 503, "overloaded": 503,
            "not_advertised": 502, "backend_unresolved": 502, "backend_unreachable": 502, "backend_timeout": 504,
            "backend_closed": 502, "backend_invalid": 502, "idle_timeout": 504,
            "backend_connect_timeout": 504, "backend_tls_failed": 502,
        }
        got = {code: (await self.gateway.request(host, f"/{code}")).status for code in expected}
        self.assertEqual(got, expected)

    async def test_a_reset_in_the_middle_of_an_answer_breaks_the_connection(self) -> None:
        async def handler(stream: Stream) -> None:
            stream.respond(200, [("Content-Length", "100")])
            await stream.send(b"half")
            await stream.read()
            stream.abort("backend_closed")

        _, host = await self.serve(handler)
        async with await Client.connect(self.gateway.front_port) as client:
            client.send_head("POST", host, "/", [("Content-Length", "1")])
            self.assertEqual((await client.receive_head()).status, 200)
            self.assertEqual(await client.reader.readexactly(4), b"half")
            await client.send(b"x")
            with self.assertRaises((asyncio.IncompleteReadError, ConnectionError)):
                await asyncio.wait_for(client.reader.readexactly(1), 10)

    async def test_a_switch_of_protocols_that_nobody_asked_for_is_a_bad_answer(self) -> None:
        async def handler(stream: Stream) -> None:
            stream.respond(101)
            await stream.gone.wait()

        agent, host = await self.serve(handler)
        self.assertEqual((await self.gateway.request(host)).status, 502)
        self.assertIsNone(agent.violation)

    async def test_an_upgraded_stream_carries_bytes_both_ways_until_it_ends(self) -> None:
        seen: list[Stream] = []

        async def handler(stream: Stream) -> None:
            seen.append(stream)
            stream.respond(101, [("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")])
            while (chunk := await stream.read()) != b"end":
                await stream.send(chunk.upper())
            await stream.send(b"bye")
            stream.end()

        agent, host = await self.serve(handler)
        async with await Client.connect(self.gateway.front_port) as client:
            client.send_head(
                "GET", host, "/live",
                [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                 ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])
            answer = await asyncio.wait_for(client.receive(), 10)
            self.assertEqual(answer.status, 101)
            self.assertIn(("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
                          [(name.lower(), value) for name, value in answer.fields])
            for word in (b"one", b"two"):
                await client.send(word)
                self.assertEqual(await asyncio.wait_for(client.reader.readexactly(3), 10), word.upper())
            await client.send(b"end")
            self.assertEqual(await asyncio.wait_for(client.reader.read(), 10), b"bye")
            # The agent has said its last; the client still may speak, and then says its last, too.
            client.writer.write_eof()
            await self.eventually("the stream is forgotten", lambda: not agent.streams.open)
        self.assertEqual(seen[0].head.upgrade.lower(), "websocket")


class RequestsWithoutAnAnswer(GatewayTestCase):
    async def test_a_tunnel_that_ends_ends_its_requests(self) -> None:
        streams: list[Stream] = []

        async def handler(stream: Stream) -> None:
            streams.append(stream)
            await stream.gone.wait()
            raise StreamReset("cancelled", "over")

        agent, host = await self.serve(handler)
        waiting = asyncio.ensure_future(self.gateway.request(host, "/", method="POST", body=b"x"))
        await self.eventually("the request has arrived", lambda: streams)
        agent.connection.transport.abort()
        self.assertIn((await waiting).status, (502, 503))

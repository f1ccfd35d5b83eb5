"""How tunnels end without a request failing (§8)."""

from __future__ import annotations

import asyncio

from demo.ports import accepts

from .gateway import GatewayTestCase
from .tunnel_agent.control import route
from .tunnel_agent.streams import Stream


class Draining(GatewayTestCase):
    async def test_what_an_agent_did_not_process_is_sent_through_another_tunnel(self) -> None:
        cluster = self.gateway.cluster()
        arrived: list[Stream] = []

        async def keep(stream: Stream) -> None:
            arrived.append(stream)
            await stream.gone.wait()

        first = await self.dial(cluster, keep, agent_id="first")
        await first.sync([route(cluster.host)])
        waiting = [asyncio.ensure_future(self.gateway.request(cluster.host, f"/{index}")) for index in range(6)]
        await self.eventually("they have arrived", lambda: len(arrived) == 6)
        await self.dial(cluster, lambda stream: stream.answer(200, b"second"), agent_id="second")
        # The first two were accepted; the others have crossed the GOAWAY.
        arrived.sort(key=lambda stream: stream.number)
        first.streams.drain(last_stream=arrived[1].number)
        await self.eventually("four are answered", lambda: sum(task.done() for task in waiting) == 4)
        for stream in arrived[:2]:
            self.assertIsNone(stream.reset)
            await stream.answer(200, b"first")
        self.assertEqual(sorted([(await task).body for task in waiting]), [b"first"] * 2 + [b"second"] * 4)
        self.assertEqual((await self.gateway.request(cluster.host)).body, b"second")

    async def test_streams_that_cross_the_goaway_are_refused_and_served_elsewhere(self) -> None:
        cluster = self.gateway.cluster()
        first = await self.dial(cluster, lambda stream: stream.answer(200, b"first"), agent_id="first")
        await first.sync([route(cluster.host)])
        self.assertEqual((await self.gateway.request(cluster.host)).body, b"first")
        await self.dial(cluster, lambda stream: stream.answer(200, b"second"), agent_id="second")
        requests = []
        for index in range(60):
            requests.append(asyncio.ensure_future(self.gateway.request(cluster.host, f"/{index}")))
            if index == 30:
                await first.drain_and_close()
            await asyncio.sleep(0)
        answers = await asyncio.gather(*requests)
        self.assertEqual({answer.status for answer in answers}, {200})
        self.assertEqual(answers[-1].body, b"second")


class GatewayDraining(GatewayTestCase):
    async def test_a_gateway_that_ends_lets_open_streams_end_and_says_that_no_more_will_come(self) -> None:
        cluster = self.gateway.cluster()
        streams: list[Stream] = []
        may_answer = asyncio.Event()

        async def handler(stream: Stream) -> None:
            streams.append(stream)
            stream.respond(200, [("Content-Length", "4")])
            await may_answer.wait()
            await stream.send(b"done")
            stream.end()

        agent = await self.dial(cluster, handler)
        await agent.sync([route(cluster.host)])
        waiting = asyncio.ensure_future(self.gateway.request(cluster.host))
        await self.eventually("it has arrived", lambda: streams)
        self.gateway.program.ask_to_stop()
        await self.eventually(
            "no request is taken any more", lambda: not accepts("127.0.0.1", self.gateway.front_port))
        may_answer.set()
        answer = await asyncio.wait_for(waiting, 10)
        self.assertEqual((answer.status, answer.body), (200, b"done"))
        self.assertEqual((await agent.wait_closed())[0], 1001)
        self.assertGreaterEqual(agent.streams.gateway_last_stream, streams[0].number)
        self.assertEqual(self.gateway.program.wait(5), 0)

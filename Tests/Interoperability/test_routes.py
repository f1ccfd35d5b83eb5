"""Publishing routes (§3) to a running gateway."""

from __future__ import annotations

import asyncio

from .gateway import GatewayTestCase
from .tunnel_agent.control import decode, digest, route, sync_pages
from .tunnel_agent.streams import Stream


async def tell_target(stream: Stream) -> None:
    await stream.answer(200, f"{stream.head.authority} {stream.head.target}".encode())


class Routes(GatewayTestCase):
    async def test_routes_are_acknowledged_and_served_until_they_are_deleted(self) -> None:
        agent, host = await self.serve(tell_target)
        answer = await self.gateway.request(host, "/a%2Fb?c=d&&e")
        self.assertEqual((answer.status, answer.body), (200, f"{host} /a%2Fb?c=d&&e".encode()))
        other = route(f"other.{host}", "/only")
        self.assertEqual((await self.gateway.request(other["host"], "/only")).status, 404)
        self.assertEqual(await agent.change("add", [other]), {"revision": 2, "accepted": 1, "rejected": []})
        self.assertEqual((await self.gateway.request(other["host"], "/only")).status, 200)
        self.assertEqual((await self.gateway.request(other["host"], "/")).status, 404)
        self.assertEqual(await agent.change("delete", [other]), {"revision": 3, "accepted": 1, "rejected": []})
        self.assertEqual((await self.gateway.request(other["host"], "/only")).status, 404)
        self.assertEqual((await self.gateway.request(host)).status, 200)
        await agent.sync([])
        self.assertEqual((await self.gateway.request(host)).status, 404)

    async def test_what_is_not_taken_is_listed_with_a_reason_and_the_rest_is_served(self) -> None:
        owner, host = await self.serve(tell_target)
        agent = await self.dial(self.gateway.cluster(), tell_target)
        good = route(f"good.{agent.cluster}.example.com")
        wrong = [
            (route(host), "HostnameConflict"), (route("not a host"), "InvalidHost"),
            (route("path.example.com", "no-slash"), "InvalidPath"),
            (route("type.example.com", path_type="Regex"), "InvalidPathType"),
            (route("port.example.com", port=0), "InvalidPort"),
        ]
        acknowledgement = await agent.sync([good] + [entry for entry, _ in wrong])
        self.assertEqual(acknowledgement["accepted"], 1)
        told = [
            (entry["host"], entry["path"], entry["path_type"], entry["reason"])
            for entry in acknowledgement["rejected"]
        ]
        self.assertCountEqual(
            told, [(entry["host"], entry["path"], entry["path_type"], reason) for entry, reason in wrong])
        self.assertTrue(all(entry["message"] for entry in acknowledgement["rejected"]))
        self.assertEqual((await self.gateway.request(good["host"])).status, 200)
        # A conflict counts in the digest, what is not well-formed does not.
        await agent.heartbeat(digest([good, route(host)]))
        await agent.until(lambda: agent.heartbeats_acknowledged)
        self.assertEqual(agent.resyncs, [])
        # The host is free, and the gateway asks for what it had refused.
        await owner.sync([])
        agent.routes = {key: entry for key, entry in agent.routes.items() if entry in (good, wrong[0][0])}
        await agent.until(lambda: agent.resyncs and agent.revision > 1)
        self.assertEqual(agent.acknowledgements[agent.revision]["accepted"], 2)

    async def test_a_set_of_thousands_of_routes_is_taken_page_by_page_and_at_once(self) -> None:
        cluster = self.gateway.cluster()
        agent = await self.dial(cluster, tell_target)
        routes = [
            route(f"h{index % 500}.{cluster.host}", f"/{index}", annotations={"note": "é" * 40})
            for index in range(5_000)
        ]
        pages = list(sync_pages(cluster.uuid, 1, routes))
        self.assertGreater(len(pages), 10)
        agent.routes = {(entry["host"], entry["path"], "Prefix"): entry for entry in routes}
        for page in pages[:-1]:
            await agent.connection.send(page)
        # Nothing takes effect before the last page.
        await agent.say("nothing-in-particular")
        await agent.until(lambda: agent.errors)
        self.assertEqual((await self.gateway.request(routes[0]["host"], "/0")).status, 404)
        self.assertEqual(agent.acknowledgements, {})
        await agent.connection.send(pages[-1])
        await agent.until(lambda: agent.acknowledgements)
        self.assertEqual(agent.acknowledgements[1], {"revision": 1, "accepted": 5_000, "rejected": []})
        for index in (0, 499, 2_500, 4_999):
            self.assertEqual((await self.gateway.request(routes[index]["host"], f"/{index}")).status, 200)
        self.assertEqual(digest(agent.routes.values()), digest(routes))
        await agent.until(lambda: 1 in agent.heartbeats_acknowledged)
        self.assertEqual(agent.resyncs, [])

    async def test_a_page_out_of_order_is_a_violation(self) -> None:
        cluster = self.gateway.cluster()
        agent = await self.dial(cluster)
        routes = [route(f"h{index}.{cluster.host}") for index in range(2_000)]
        pages = list(sync_pages(cluster.uuid, 1, routes))
        self.assertEqual(decode(pages[2])[1]["page"]["index"], 2)
        await agent.connection.send(pages[0])
        await agent.connection.send(pages[2])
        code, reason = await agent.wait_closed()
        self.assertEqual((code, reason.split(":")[:2]), (1002, ["protocol violation", " unexpected_control"]))

    async def test_a_digest_that_differs_brings_a_resync_and_a_sync_puts_it_right(self) -> None:
        agent, host = await self.serve(tell_target)
        await agent.until(lambda: agent.heartbeats_acknowledged)
        self.assertEqual(agent.resyncs, [])
        # The agent's memory is right, the gateway's is not: so it seems to the gateway.
        agent.routes[("new", "/", "Prefix")] = route(f"new.{host}")
        await agent.until(lambda: agent.resyncs and agent.revision == 2)
        self.assertEqual((await self.gateway.request(f"new.{host}")).status, 200)
        seen = len(agent.heartbeats_acknowledged)
        resyncs = len(agent.resyncs)
        await agent.until(lambda: len(agent.heartbeats_acknowledged) > seen + 1)
        self.assertEqual(len(agent.resyncs), resyncs)

    async def test_routes_outlive_a_tunnel_and_a_new_one_replaces_them(self) -> None:
        cluster = self.gateway.cluster()
        first = await self.dial(cluster, tell_target, agent_id="a")
        await first.sync([route(cluster.host)])
        await first.connection.close(1001, "going away")
        await self.eventually_status(cluster.host, 503)
        second = await self.dial(cluster, tell_target, agent_id="a")
        await self.eventually_status(cluster.host, 200)
        # Whoever begins to publish sends a sync first; a change before it asks for one.
        self.assertEqual((await second.sync([route(f"b.{cluster.host}")]))["accepted"], 1)
        self.assertEqual((await self.gateway.request(cluster.host)).status, 404)
        self.assertEqual((await self.gateway.request(f"b.{cluster.host}")).status, 200)

    async def test_one_tunnel_publishes_and_the_other_is_told_to_resync(self) -> None:
        cluster = self.gateway.cluster()
        leader = await self.dial(cluster, tell_target, agent_id="leader")
        follower = await self.dial(cluster, tell_target, agent_id="follower")
        await leader.sync([route(cluster.host)])
        follower.routes = {("b", "/", "Prefix"): route(f"b.{cluster.host}")}
        await follower.say(
            "ingress_routes", action="add", cluster_uuid=cluster.uuid, revision=1, routes=[route(f"c.{cluster.host}")])
        await follower.until(lambda: follower.resyncs and follower.acknowledgements)
        self.assertEqual(list(follower.acknowledgements.values())[0]["accepted"], 1)
        self.assertEqual((await self.gateway.request(f"c.{cluster.host}")).status, 404)
        self.assertEqual((await self.gateway.request(f"b.{cluster.host}")).status, 200)
        self.assertEqual((await self.gateway.request(cluster.host)).status, 404)

    async def eventually_status(self, host: str, status: int) -> None:
        async def wait() -> None:
            while (await self.gateway.request(host)).status != status:
                await asyncio.sleep(0.01)

        await asyncio.wait_for(wait(), 10)

"""An API server that goes away and comes back."""

from __future__ import annotations

import time
from collections import Counter

from demo.manifests import path, rule
from demo.waiting import expect, expect_equal

from ..agents import stays
from ..expectations import answered_by, gone, programmed, simple_ingress, wait_condition, withdrawn
from ..world import E2EWorld

AWAY_SECONDS = 8.0
# Three watches, each with backoff, and nobody else has a reason to ask.
MOST_ATTEMPTS = 60
BACK_SECONDS = 45.0


def _host(name: str) -> str:
    return f"{name}.e2e.example.com"


def api_server_away(world: E2EWorld) -> str:
    """The API server goes away and comes back: requests go on, nothing is lost, nothing is written twice, no storm."""
    blue, green = world.blue(), world.green()
    names = ("away-deleted", "away-changed", "away-same")
    items = [simple_ingress(world, name, _host(name), blue.service) for name in names]
    with world.relayed() as (relay, kubeconfig), world.serving(*items):
        with world.running_agent(kubeconfig_path=kubeconfig) as agent:
            for name in names:
                programmed(world, name)
            agent.wait_quiet()
            mark = agent.log.mark()
            relay.cut()
            cut = time.monotonic()
            # What happens meanwhile, the agent cannot see.
            world.cluster.delete("Ingress", world.namespace, "away-deleted")
            world.cluster.patch(
                "Ingress", world.namespace, "away-changed",
                {"spec": {"rules": [rule(_host("away-changed"), path("/", green.service, 8080))]}})
            front = world.front(_host("away-same"))
            with world.serving(simple_ingress(world, "away-new", _host("away-new"), blue.service)):
                stays(
                    "requests were not answered while the API server was away", AWAY_SECONDS,
                    lambda: front.get().status == 200)
                attempts = relay.attempts
                tried = len(agent.requests(mark))
                expect(
                    attempts <= MOST_ATTEMPTS and tried <= MOST_ATTEMPTS,
                    f"{attempts} connections and {tried} requests in {AWAY_SECONDS:g} s")
                expect(attempts + tried > 0, "nothing was asked of the relay: it is not between the two")
                relay.restore()
                restored = time.monotonic()
                programmed(world, "away-new", seconds=BACK_SECONDS)
                answered_by(world, _host("away-new"), "blue", seconds=BACK_SECONDS)
                answered_by(world, _host("away-changed"), "green", seconds=BACK_SECONDS)
                programmed(world, "away-changed", seconds=BACK_SECONDS)
                withdrawn(world, _host("away-deleted"), seconds=BACK_SECONDS)
                gone(world, "away-deleted", seconds=BACK_SECONDS)
                back = time.monotonic() - restored
                agent.wait_quiet()
                writes = [w for w in agent.writes(mark) if w.resource == "gatewayroutes" and 200 <= w.code < 300]
                counts = Counter((write.verb, write.name) for write in writes)
                # A new record is made, has a status before its route is sent, and one after the answer.
                news = {"away-new": 3, "away-changed": 2, "away-deleted": 1}
                expect_equal(
                    {key: count for key, count in counts.items() if count > news.get(key[1], 0)}, {},
                    "more writes than news")
                unsettled = counts["patch", "away-changed"]
                expect(unsettled >= 1, f"writes: {counts}")
                expect(agent.program.exit_status() is None, "the agent ended")
    return (
        f"away {restored - cut:.1f} s: {attempts} connections, {tried} requests; all is right {back:.1f} s after; "
        f"{sum(counts.values())} writes")


def started_without_api_server(world: E2EWorld) -> str:
    """An agent that starts while the API server is away waits for it, and is not ready meanwhile."""
    name = "late-start"
    with world.relayed() as (relay, kubeconfig):
        with world.serving(simple_ingress(world, name, _host(name), world.blue().service)):
            relay.cut()
            with world.running_agent(kubeconfig_path=kubeconfig, waits=False) as agent:
                stays(
                    "it was ready without an API server, or ended", 3,
                    lambda: bool(agent.readiness()) and agent.program.exit_status() is None)
                attempts = relay.attempts
                expect(attempts <= MOST_ATTEMPTS, f"{attempts} connections in 3 s")
                relay.restore()
                restored = time.monotonic()
                programmed(world, name, seconds=BACK_SECONDS)
                answered_by(world, _host(name), "blue")
                took = time.monotonic() - restored
                agent.wait_ready()
    return f"{attempts} connections in 3 s, served {took:.1f} s after"


def gateway_away(world: E2EWorld) -> str:
    """The gateway goes away and comes back: the status says so in time, no write is lost, none is a flutter."""
    name, host = "gateway-away", _host("gateway-away")
    with world.running_agent() as agent, world.serving(simple_ingress(world, name, host, world.blue().service)):
        programmed(world, name)
        agent.wait_quiet()
        mark = agent.log.mark()
        world.gateway.kill()
        wait_condition(world, name, "Programmed", "False", "TunnelDown", seconds=20)
        with world.serving(simple_ingress(world, "while-away", _host("while-away"), world.blue().service)):
            wait_condition(world, "while-away", "Accepted", "True", seconds=20)
            world.start_gateway()
            programmed(world, name, seconds=45)
            programmed(world, "while-away", seconds=45)
            answered_by(world, _host("while-away"), "blue")
        writes = [write for write in agent.writes(mark) if write.name == name and write.resource == "gatewayroutes"]
        expect(len(writes) <= 3, f"writes of one GatewayRoute: {[str(write) for write in writes]}")
    return f"{len(writes)} writes"


CHECKS = [api_server_away, started_without_api_server, gateway_away]

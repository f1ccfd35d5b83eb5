"""Programs that die, and service that returns."""

from __future__ import annotations

import threading
import time
from typing import Any

from ..http_client import Response
from ..waiting import CheckFailed, expect, expect_equal, wait_until
from ..world import EXAMPLE_HOST, World


def agent_killed(world: World) -> str:
    """Agent killed with -9: requests answer 503 within 1 s, also one that was under way."""
    front, under_way = world.front(), []

    def ask() -> None:
        under_way.append((front.get("/delay/20000", timeout=10), time.monotonic()))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    # One that was sent later and has been answered shows that the delayed one is under way.
    wait_until("a later request is answered", 5, lambda: front.get("/later").status == 200)
    expect(not under_way, f"GET /delay/20000 was answered at once: {under_way}")
    killed = time.monotonic()
    world.agent.kill()
    first = wait_until("503", 1, lambda: _unavailable(front.get(timeout=2)))
    answered = time.monotonic() - killed
    thread.join(2)
    expect(under_way, "the request that was under way got no answer within 2 s")
    response, ended = under_way[0]
    expect_equal(response.status, 503, f"status of the request that was under way ({response.text[:200]!r})")
    expect(ended - killed < 1, f"the request that was under way ended after {ended - killed:.2f} s")
    expect(first.seconds < 1, f"the 503 took {first.seconds:.2f} s")
    return f"503 after {answered * 1000:.0f} ms, the one under way after {(ended - killed) * 1000:.0f} ms"


def _unavailable(response: Response) -> Response:
    expect_equal(response.status, 503, "status")
    return response


def agent_with_a_wrong_token_is_refused(world: World) -> str:
    """An agent with a wrong token is refused; it and the gateway log why, and nothing else is disturbed."""
    wrong = world.workspace.directory / "wrong-token"
    world.workspace.write_secret(wrong, "not-the-token")
    mark = world.gateway.log.mark()
    agent = world.start_agent(token_file=wrong)
    try:
        first = agent.first_line
        refusal = agent.log.wait_for("Tunnel dial failed", 10, lambda line: line["error"], after=first)
        expect(
            any(word in str(refusal["error"]).lower() for word in ("401", "unauthorized")),
            f"the agent does not say that its token was refused: {refusal['error']}")
        refused = world.gateway.log.wait_for("Tunnel refused", 5, after=mark)
        expect(refused["reason"], f"the gateway gives no reason: {refused.fields}")
        expect_equal(agent.log.entries("Tunnel connected", after=first), [], "tunnels of the refused agent")
        expect_equal(world.front().get().status, 503, "status while no agent is connected")
        expect("not-the-token" not in agent.log.tail(1000) + world.gateway.log.tail(1000), "a token is in the logs")
    finally:
        agent.kill()
        wrong.unlink()
    return f"agent: {refusal['error']}; gateway: {refused['reason']}"


def agent_restarted(world: World) -> str:
    """Agent restarted: 200 again, and the whole route set is sent anew."""
    expected = _routes_in_status(world)
    mark = world.agent.log.mark()
    started = time.monotonic()
    world.start_agent()
    world.wait_for_example(seconds=15)
    took = time.monotonic() - started
    sent = wait_until("a complete sync", 5, lambda: _complete_sync(world, mark))
    expect_equal({(route["host"], route["path"]) for route in sent}, expected, "routes in the sync")
    return f"200 after {took * 1000:.0f} ms, {len(sent)} routes in the sync"


def _routes_in_status(world: World) -> set[tuple[str, str]]:
    statuses = [item.get("status", {}) for item in world.cluster.objects("GatewayRoute")]
    routes = {(route["host"], route["path"]) for status in statuses for route in status.get("routes") or []}
    expect(any(host == EXAMPLE_HOST for host, _ in routes), f"{EXAMPLE_HOST} is in no GatewayRoute")
    return routes


def _complete_sync(world: World, mark: int) -> list[dict[str, Any]]:
    """The routes of the first sync since `mark`, all pages together."""
    routes = []
    for _, message in world.agent.log.control_messages("ingress_routes", after=mark):
        payload = message["payload"]
        if payload["action"] == "sync":
            routes += payload["routes"]
            if payload["page"]["last"]:
                return routes
    raise CheckFailed(f"{len(routes)} routes so far, and no last page")


def gateway_killed(world: World) -> str:
    """Gateway killed with -9 and restarted: the agent reconnects by itself and service returns."""
    mark = world.agent.log.mark()
    world.gateway.kill()
    world.agent.log.wait_for("Tunnel lost", 5, after=mark)
    started = time.monotonic()
    world.start_gateway()
    world.wait_for_example(seconds=20)
    took = time.monotonic() - started
    expect(world.agent.exit_status() is None, "the agent ended")
    return f"200 after {took:.1f} s"

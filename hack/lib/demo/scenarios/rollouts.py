"""New programs in the place of old ones, under load: in short what the suite hack/e2e does at length."""

from __future__ import annotations

from ..ports import Ports
from ..rollout import end_within, replace_gateway, start_gateway_to_replace
from ..steady_load import SteadyLoad
from ..world import World

CLIENTS = 10
# The agent's is in its command line; the gateway's leaves the successor a moment to learn the routes.
AGENT_GRACE = 4.0
GATEWAY_GRACE = 20.0


def new_programs_take_over(world: World) -> str:
    """A new agent and then a new gateway take over under load, and no request fails that may be repeated."""
    start_gateway_to_replace(world, GATEWAY_GRACE)
    world.wait_for_example(seconds=20)
    with SteadyLoad(world.front(), "my-app", CLIENTS, pause=0.1) as load:
        load.goes_on(50, 10)
        old = world.agent
        port = Ports(prefer_documented=False).free(0)
        world.agent = world.processes.start(
            "agent-2", [*world.agent_command(port, world.cluster.kubeconfig), "--no-leader-elect"])
        world.agent.log.wait_for("Tunnel connected", 15)
        agent_took = end_within(old, AGENT_GRACE)
        load.goes_on(50, 10)
        gateway_took = replace_gateway(world, "gateway-2", GATEWAY_GRACE, grace=2)
        load.goes_on(50, 10)
    load.expect_no_failure()
    return f"agent ended in {agent_took:.1f} s, gateway in {gateway_took:.1f} s; {load}"

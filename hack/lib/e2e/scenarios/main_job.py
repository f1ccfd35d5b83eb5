"""The demonstration's own checks, here with whatever cluster there is."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import Iterator

from demo import scenarios
from demo.scenarios import exposure, failures, first_route

from ..suite import CheckFunction
from ..world import E2EWorld

# They ask for answers of an ingress controller, whose address is its Service's.
_NEED_LOCAL_SERVICES = {
    exposure.ingress_controller_becomes_the_target, exposure.public_address_withdraws_the_routes,
}
# They begin where the agent was killed.
_WITHOUT_AGENT = {failures.agent_with_a_wrong_token_is_refused, failures.agent_restarted}


def _adapted(scenario: CheckFunction) -> CheckFunction:
    """The same check, which can be run alone as well."""

    @wraps(scenario)
    def run(world: E2EWorld) -> str:
        if scenario in _NEED_LOCAL_SERVICES:
            world.needs_local_services()
        if scenario is not first_route.cluster_is_private:
            world.apply_example()
            if world.agent.exit_status() is None:
                world.wait_for_example(seconds=20)
        if scenario in _WITHOUT_AGENT and world.agent.exit_status() is None:
            world.agent.kill()
            world.wait_for_example(seconds=5, status=503)
        return scenario(world)

    return run


CHECKS = [_adapted(scenario) for scenario in scenarios.SCENARIOS]


@contextmanager
def surroundings(world: E2EWorld) -> Iterator[None]:
    """An agent with the example; afterwards the example's Ingress and the agent are gone."""
    world.start_agent()
    try:
        yield
    finally:
        if world.agent.exit_status() is None:
            world.processes.stop(world.agent)
        world.cluster.delete("Ingress", world.example_namespace, "my-app")

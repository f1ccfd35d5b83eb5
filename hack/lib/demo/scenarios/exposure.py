"""Private or public, and where requests go in the cluster."""

from __future__ import annotations

import json
import time
from typing import Any, Optional

from ..cluster import condition
from ..manifests import Object
from ..waiting import CheckFailed, expect_equal, wait_until
from ..world import CONTROLLER, CONTROLLER_NAMESPACE, EXAMPLE_HOST, World


def _wait_for_answer_of(world: World, application: str, seconds: float = 10) -> None:
    def answers() -> bool:
        response = world.front().get("/headers")
        expect_equal(response.status, 200, f"status ({response.text[:200]!r})")
        echo = response.json()
        expect_equal(echo["app"], application, "application that answered")
        host = [value for name, value in echo["headers"] if name.lower() == "host"]
        expect_equal(host, [EXAMPLE_HOST], "Host")
        return True

    wait_until(f"{application} answers for {EXAMPLE_HOST}", seconds, answers)


def _wait_for_status(world: World, what: str, expected: dict[str, Any]) -> Object:
    """Waits until the example's GatewayRoute has these fields in its status."""

    def matches() -> Object:
        route = world.gateway_route(world.example_namespace, "my-app")
        status = route.get("status", {})
        expect_equal({key: status.get(key) for key in expected}, expected, "status")
        return route

    return wait_until(what, 5, matches, pause=0.02)


def ingress_controller_becomes_the_target(world: World) -> str:
    """An ingress controller's Service becomes the target, Host preserved, and its end brings the Service back."""
    with world.ingress_controller() as controller:
        started = time.monotonic()
        _wait_for_answer_of(world, "ingress-controller")
        took = time.monotonic() - started
        selected = world.agent.log.wait_for("Ingress controller selected", 5)
        target = f"{CONTROLLER_NAMESPACE}/{CONTROLLER}"
        expect_equal(selected["service"], target, "service in the agent's log")
        _wait_for_status(world, "the controller in the status", {"clusterType": "Private", "target": target})
    _wait_for_answer_of(world, "my-app")
    _wait_for_status(world, "the Service in the status", {"clusterType": "Private", "target": "Service"})
    return f"{controller.address}:{controller.port}, {took * 1000:.0f} ms after it listened"


def public_address_withdraws_the_routes(world: World) -> str:
    """A LoadBalancer that gets an address makes the cluster public, and private again without it."""
    front, log = world.front(), world.agent.log
    with world.ingress_controller():
        _wait_for_answer_of(world, "ingress-controller")
        world.cluster.patch("Service", CONTROLLER_NAMESPACE, CONTROLLER, {"spec": {"type": "LoadBalancer"}})
        mark = log.mark()
        _set_addresses(world, [{"ip": "203.0.113.10"}])
        started = time.monotonic()
        wait_until("routes withdrawn", 5, lambda: front.get().status == 404)
        withdrawn = time.monotonic() - started
        log.wait_for("Cluster type detected", 5, lambda line: line["cluster_type"] == "public", after=mark)
        route = _wait_for_status(world, "public in the status", {"clusterType": "Public"})
        route = wait_until("Programmed says why", 5, lambda: _not_programmed(world), pause=0.02)
        event = wait_until("an Event says why", 5, lambda: _event_about_public(world), pause=0.05)
        mark = log.mark()
        _set_addresses(world, None)
        started = time.monotonic()
        log.wait_for("Cluster type detected", 10, lambda line: line["cluster_type"] == "private", after=mark)
        _wait_for_answer_of(world, "ingress-controller")
        back = time.monotonic() - started
        _wait_for_status(world, "private in the status", {"clusterType": "Private"})
    _wait_for_answer_of(world, "my-app")
    reason = route["status"]["clusterTypeReason"]
    return f"withdrawn in {withdrawn * 1000:.0f} ms ({reason}), Event {event}, back in {back:.1f} s (grace 1 s)"


def _set_addresses(world: World, addresses: Optional[list[Object]]) -> None:
    """What a cloud's controller does when it gives or takes an external address."""
    change = {"status": {"loadBalancer": {"ingress": addresses}}}
    if world.cluster.kubectl_path:
        world.cluster.kubectl(
            "patch", "service", CONTROLLER, "-n", CONTROLLER_NAMESPACE, "--subresource=status", "--type=merge",
            "-p", json.dumps(change))
    else:
        world.cluster.patch("Service", CONTROLLER_NAMESPACE, CONTROLLER, change, subresource="status")


def _not_programmed(world: World) -> Object:
    route = world.gateway_route(world.example_namespace, "my-app")
    found = condition(route, "Programmed")
    expect_equal((found.get("status"), found.get("reason")), ("False", "ClusterPublic"), "condition Programmed")
    expect_equal(found.get("observedGeneration"), route["metadata"]["generation"], "observedGeneration")
    return route


def _event_about_public(world: World) -> str:
    seen = []
    for event in world.cluster.objects("Event", world.example_namespace):
        regarding, note = event.get("regarding") or {}, str(event.get("note"))
        seen.append(f"{event.get('reason')}: {note}")
        if regarding.get("name") == "my-app" and "public" in f"{event.get('reason')} {note}".lower():
            return f"{event['reason']} on the {regarding['kind']}"
    raise CheckFailed(f"Events: {seen}")

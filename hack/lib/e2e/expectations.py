"""What checks wait for: at the gateway, and in GatewayRoutes."""

from __future__ import annotations

from typing import Any, Optional

from demo.cluster import condition
from demo.http_client import Response
from demo.manifests import Object, ingress, path, rule
from demo.waiting import CheckFailed, expect, expect_equal, wait_until

from .world import E2EWorld

SECONDS = 10.0


def simple_ingress(
    world: E2EWorld, name: str, host: str, service: str, route: str = "/", namespace: Optional[str] = None,
    port: int = 8080,
) -> Object:
    return ingress(namespace or world.namespace, name, rule(host, path(route, service, port)))


def with_class(item: Object, name: str) -> Object:
    item["spec"]["ingressClassName"] = name
    return item


def with_metadata(item: Object, **metadata: dict[str, str]) -> Object:
    for field, values in metadata.items():
        item["metadata"].setdefault(field, {}).update(values)
    return item


# At the gateway


def answered_by(world: E2EWorld, host: str, application: str, target: str = "/", seconds: float = SECONDS) -> Response:
    """Waits until an application answers for a host and path."""
    front = world.front(host)

    def ask() -> Response:
        response = front.get(target)
        answerer = response.values("X-App") or [response.text.split(":")[0]]
        expect(
            response.status == 200 and answerer == [application],
            f"{host}{target} answers {response.status} {response.text[:200]!r}")
        return response

    return wait_until(f"{application} answers for {host}{target}", seconds, ask)


def is_unknown(response: Response) -> bool:
    """Whether it is the gateway that has no route; an application may answer 404 as well."""
    return response.status == 404 and '"code":"no_such_' in response.text


def withdrawn(world: E2EWorld, host: str, target: str = "/", seconds: float = SECONDS) -> None:
    """Waits until the gateway does not know a host and path."""
    front = world.front(host)

    def ask() -> bool:
        response = front.get(target)
        expect(is_unknown(response), f"{host}{target} answers {response.status} {response.text[:200]!r}")
        return True

    wait_until(f"the gateway has no route for {host}{target}", seconds, ask)


# In the cluster


def wait_condition(
    world: E2EWorld, name: str, type_: str, status: str, reason: Optional[str] = None,
    namespace: Optional[str] = None, seconds: float = SECONDS,
) -> Object:
    """Waits for a condition of the object's own generation, and returns the GatewayRoute."""
    space = namespace or world.namespace

    def matches() -> Object:
        route = world.gateway_route(space, name)
        expect(route, f"there is no GatewayRoute {space}/{name}")
        found = condition(route, type_)
        expect(
            found.get("status") == status and reason in (None, found.get("reason")),
            f"{type_} of {name} is {found.get('status')}, {found.get('reason')}: {found.get('message')}")
        expect_equal(found.get("observedGeneration"), route["metadata"]["generation"], "observedGeneration")
        return route

    return wait_until(f"{type_}={status} {reason or ''} of {name}", seconds, matches, pause=0.02)


def programmed(
    world: E2EWorld, name: str, namespace: Optional[str] = None, seconds: float = SECONDS
) -> Object:
    """Waits until the gateway serves an Ingress as it is now, and its GatewayRoute says so."""
    space = namespace or world.namespace

    def matches() -> Object:
        route = wait_condition(world, name, "Programmed", "True", "Programmed", space, seconds=0)
        generation = world.cluster.get("Ingress", space, name)["metadata"]["generation"]
        expect_equal(route["status"].get("observedIngressGeneration"), generation, "observedIngressGeneration")
        return route

    return wait_until(f"{name} is programmed", seconds, matches, pause=0.02)


def gone(world: E2EWorld, name: str, namespace: Optional[str] = None, seconds: float = SECONDS) -> None:
    """Waits until an Ingress has no GatewayRoute."""
    space = namespace or world.namespace

    def is_gone() -> bool:
        route = world.gateway_route(space, name)
        expect(not route, f"it is there: {route.get('status', {}).get('conditions')}")
        return True

    wait_until(f"GatewayRoute {name} is gone", seconds, is_gone, pause=0.02)


def wait_status(
    world: E2EWorld, name: str, wanted: dict[str, Any], namespace: Optional[str] = None, seconds: float = SECONDS
) -> Object:
    """Waits until fields of a GatewayRoute's status have these values."""

    def matches() -> Object:
        route = world.gateway_route(namespace or world.namespace, name)
        status = route.get("status", {})
        expect_equal({field: status.get(field) for field in wanted}, wanted, "status")
        return route

    return wait_until(f"status of {name}", seconds, matches, pause=0.02)


def event(
    world: E2EWorld, kind: str, name: str, reason: str, namespace: Optional[str] = None, seconds: float = SECONDS
) -> str:
    """Waits for an Event about an object, and returns its note."""

    def matches() -> str:
        events = world.events(namespace or world.namespace, name, kind)
        for found, note in events:
            if found == reason:
                return note or found
        raise CheckFailed(f"its Events: {events}")

    return wait_until(f"an Event {reason} on the {kind} {name}", seconds, matches, pause=0.05)

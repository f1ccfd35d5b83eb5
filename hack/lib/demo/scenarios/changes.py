"""Ingresses that come, change and go, and what is said about them on the tunnel."""

from __future__ import annotations

import statistics
import time
from typing import Any, Callable

from ..http_client import Poller, Response
from ..manifests import Object, ingress, path, rule
from ..waiting import CheckFailed, expect, expect_equal, wait_until
from ..world import World

CHANGE_CYCLES = 5
CHANGE_LIMIT_MS = 250.0


def _answered_by(world: World, host: str, target: str, application: str) -> Response:
    """Waits until an application answers for a host and path."""
    front = world.front(host)

    def ask() -> Response:
        response = front.get(target)
        answerer = response.values("X-App") or [response.text.split(":")[0]]
        expect(
            response.status == 200 and answerer == [application],
            f"{host}{target} answers {response.status} {response.text[:200]!r}")
        return response

    return wait_until(f"{application} answers for {host}{target}", 5, ask)


def _answers_404(world: World, host: str, target: str) -> None:
    front = world.front(host)

    def ask() -> bool:
        response = front.get(target)
        expect_equal(response.status, 404, f"status of {host}{target}")
        return True

    wait_until(f"404 for {host}{target}", 5, ask)


def paths_of_one_host_go_to_two_services(world: World) -> str:
    """Two paths of one host go to two Services, by whole segments."""
    blue, green = world.application("blue"), world.application("green")
    host = "two-paths.example.com"
    with world.objects() as objects:
        objects.create(
            ingress(
                world.namespace, "two-paths",
                rule(host, path("/blue", blue.service, 8080), path("/green", green.service, 9090))))
        _answered_by(world, host, "/blue/a", "blue")
        _answered_by(world, host, "/green", "green")
        expect_equal(world.front(host).get("/bluest").status, 404, "status of /bluest")
        expect_equal(world.front(host).get("/").status, 404, "status of /")
    _answers_404(world, host, "/blue/a")
    return "/blue to blue, /green to green, /bluest to neither"


def named_port_resolves(world: World) -> str:
    """A rule with a named Service port resolves to its number."""
    blue, host = world.application("blue"), "named-port.example.com"
    with world.objects() as objects:
        objects.create(ingress(world.namespace, "named-port", rule(host, path("/", blue.service, "other"))))
        _answered_by(world, host, "/", "blue")
        routes = world.gateway_route(world.namespace, "named-port")["status"]["routes"]
    expect_equal([route["port"] for route in routes], [9090], "ports in the GatewayRoute")
    return "other is 9090"


def changes_are_effective_at_once(world: World) -> str:
    """A changed Ingress changes the answer, a deleted one answers 404, each within 250 ms (median of 20)."""
    blue, green, host, name = world.application("blue"), world.application("green"), "change.example.com", "change"
    to_blue = ingress(world.namespace, name, rule(host, path("/", blue.service, 8080)))
    to_green = ingress(world.namespace, name, rule(host, path("/", green.service, 8080)))
    poller, cluster = Poller(world.front(host)), world.cluster
    took: dict[str, list[float]] = {"add": [], "update": [], "delete": []}

    def update(spec: Object) -> Callable[[], object]:
        return lambda: cluster.patch("Ingress", world.namespace, name, {"spec": spec})

    def change(kind: str, write: Callable[[], object], answer: tuple[int, list[str]]) -> None:
        """From the moment the API server has taken the change to the answer that shows it."""
        write()
        written = time.monotonic()

        def ask() -> bool:
            response = poller.get()
            seen = (response.status, response.values("X-App"))
            expect_equal(seen, answer, "answer")
            return True

        wait_until(f"{kind} effective", 5, ask, pause=0.0005)
        took[kind].append((time.monotonic() - written) * 1000)

    try:
        for _ in range(CHANGE_CYCLES):
            change("add", lambda: cluster.create(to_blue), (200, ["blue"]))
            for spec, application in ((to_green["spec"], "green"), (to_blue["spec"], "blue")):
                change("update", update(spec), (200, [application]))
            change("delete", lambda: cluster.delete("Ingress", world.namespace, name), (404, []))
    finally:
        cluster.delete("Ingress", world.namespace, name)
        poller.close()
    everything = [value for values in took.values() for value in values]
    median = statistics.median(everything)
    medians = ", ".join(f"{kind} {statistics.median(values):.0f} ms" for kind, values in took.items())
    expect(median <= CHANGE_LIMIT_MS, f"median {median:.0f} ms is more than {CHANGE_LIMIT_MS:.0f} ms ({medians})")
    return f"median of {len(everything)}: {median:.0f} ms, slowest {max(everything):.0f} ms ({medians})"


def messages_are_those_of_the_source(world: World) -> str:
    """ingress_routes messages have the source's fields and values for add, update and delete, and a revision."""
    host, name, cluster = "example.com", "source-example", world.cluster
    kept = {"nginx.ingress.kubernetes.io/rewrite-target": "/"}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": world.namespace, "name": "api-service"}}
    service["spec"] = {"ports": [{"name": "http", "port": 8080}]}
    item = ingress(
        world.namespace, name, rule(host, path("/api", "api-service", 8080)), tls=[host],
        annotations={**kept, "kubectl.kubernetes.io/last-applied-configuration": "{}"})
    route = {
        "host": host, "path": "/api", "path_type": "Prefix", "service": "api-service", "namespace": world.namespace,
        "port": 8080, "tls": True, "annotations": kept,
    }
    changed = {**route, "annotations": {"nginx.ingress.kubernetes.io/rewrite-target": "/v2"}}
    revisions = []
    with world.objects() as objects:
        objects.create(service)
        mark = world.agent.log.mark()
        cluster.create(item)
        try:
            revisions.append(_expect_message(world, mark, "add", route))
            mark = world.agent.log.mark()
            cluster.patch("Ingress", world.namespace, name, {"metadata": {"annotations": changed["annotations"]}})
            revisions.append(_expect_message(world, mark, "update", changed))
            mark = world.agent.log.mark()
        finally:
            cluster.delete("Ingress", world.namespace, name)
        revisions.append(_expect_message(world, mark, "delete", changed))
    expect(revisions == sorted(set(revisions)), f"revisions do not grow: {revisions}")
    wait_until("GatewayRoute deleted", 5, lambda: not world.gateway_route(world.namespace, name))
    return f"add, update, delete with revisions {', '.join(map(str, revisions))}"


def _expect_message(world: World, mark: int, action: str, route: Object) -> int:
    """Waits for the one message about a route's host since `mark`, compares all of it, and returns its revision."""

    def about_host() -> dict[str, Any]:
        messages = [message for _, message in world.agent.log.control_messages("ingress_routes", after=mark)]
        found = [m for m in messages if any(r["host"] == route["host"] for r in m["payload"]["routes"])]
        if not found:
            raise CheckFailed(f"messages: {messages}")
        return found[0]

    message = wait_until(f"ingress_routes {action} of {route['host']}", 5, about_host)
    revision = message["payload"].get("revision")
    expected = {
        "type": "ingress_routes",
        "payload": {"action": action, "cluster_uuid": world.cluster_uuid, "routes": [route], "revision": revision},
    }
    expect_equal(message, expected, f"ingress_routes {action}")
    expect(isinstance(revision, int), f"revision is {revision!r}")
    world.gateway.log.wait_for(
        "Ingress routes received", 5, lambda line: (line["action"], line["revision"]) == (action, revision))
    return int(revision)


def heartbeats_say_what_they_must(world: World) -> str:
    """Heartbeats carry is_private and gateway_routes."""
    mark = world.agent.log.mark()

    def heartbeats_with_all_routes() -> list[dict[str, Any]]:
        statuses = [item.get("status", {}) for item in world.cluster.objects("GatewayRoute")]
        expected = sum(status.get("routeCount", 0) for status in statuses)
        messages = [message for _, message in world.agent.log.control_messages("heartbeat", after=mark)]
        found = [m for m in messages if m["payload"]["metadata"] == {"is_private": True, "gateway_routes": expected}]
        expect(found, f"{expected} routes in the GatewayRoutes; heartbeats: {messages[-1:]}")
        return found

    payload = wait_until("heartbeat with the number of routes", 5, heartbeats_with_all_routes, pause=0.1)[0]["payload"]
    expect_equal(set(payload), {"metadata", "revision", "digest"}, "fields of a heartbeat")
    return f"{payload['metadata']}"

"""An Ingress from its creation to its deletion."""

from __future__ import annotations

from demo.cluster import condition
from demo.manifests import Object, ingress, path, rule, service
from demo.waiting import expect, expect_equal, wait_until

from ..expectations import (
    answered_by, event, gone, programmed, simple_ingress, wait_condition, wait_status, withdrawn,
)
from ..world import E2EWorld


def ingress_becomes_a_gateway_route(world: E2EWorld) -> str:
    """An Ingress becomes a GatewayRoute: conditions, owner reference, Events on both, and it is served."""
    name, host, blue = "becomes", "becomes.e2e.example.com", world.blue()
    item = ingress(world.namespace, name, rule(host, path("/", blue.service, "web")), tls=[host])
    with world.running_agent(), world.serving(item):
        route = programmed(world, name)
        answered_by(world, host, "blue")
        source = world.cluster.get("Ingress", world.namespace, name)
        owners = route["metadata"]["ownerReferences"]
        expect_equal(len(owners), 1, "number of owner references")
        expected = {
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "name": name, "uid": source["metadata"]["uid"],
            "controller": True,
        }
        expect_equal({key: owners[0].get(key) for key in expected}, expected, "owner reference")
        managers = {entry["manager"] for entry in route["metadata"].get("managedFields", [])}
        expect_equal(managers, {"pipeops-agent"}, "field managers")
        for type_ in ("Accepted", "ResolvedRefs", "Programmed"):
            found = condition(route, type_)
            expect_equal(found.get("status"), "True", f"condition {type_}")
            expect(
                found.get("reason") and found.get("message") and found.get("lastTransitionTime"),
                f"condition {type_} lacks a field: {found}")
        listed = route["status"]["routes"]
        expect_equal(
            listed,
            [{
                "host": host, "path": "/", "pathType": "Prefix", "service": blue.service, "port": 8080, "tls": True,
            }],
            "routes in the status")
        for kind in ("Ingress", "GatewayRoute"):
            for reason in ("Accepted", "Programmed"):
                event(world, kind, name, reason)
    return f"revision {route['status'].get('revision')}"


def update_is_followed(world: E2EWorld) -> str:
    """A changed Ingress changes answers and status; a missing Service is reported and found when it comes."""
    name, host = "updated", "updated.e2e.example.com"
    blue, green = world.blue(), world.green()
    with world.running_agent(), world.serving(simple_ingress(world, name, host, blue.service)):
        answered_by(world, host, "blue")
        first = programmed(world, name)
        _change(world, name, [rule(host, path("/", green.service, 8080))])
        answered_by(world, host, "green")
        second = programmed(world, name)
        expect(
            second["status"]["observedIngressGeneration"] > first["status"]["observedIngressGeneration"],
            "observedIngressGeneration did not grow")
        expect_equal(
            condition(second, "Programmed")["lastTransitionTime"], condition(first, "Programmed")["lastTransitionTime"],
            "lastTransitionTime of a condition that stayed true")
        _change(world, name, [rule(host, path("/", "updated-late", 8080))])
        wait_condition(world, name, "ResolvedRefs", "False", "ServiceNotFound")
        event(world, "Ingress", name, "ServiceNotFound")
        withdrawn(world, host)
        with world.serving(service(world.namespace, "updated-late", {"web": 8080})):
            wait_condition(world, name, "ResolvedRefs", "True")
            programmed(world, name)
    return ""


def renamed_host_leaves_nothing(world: E2EWorld) -> str:
    """A renamed host is served under its new name and not under the old one."""
    name, blue = "renamed", world.blue()
    old, new = "old.e2e.example.com", "new.e2e.example.com"
    with world.running_agent(), world.serving(simple_ingress(world, name, old, blue.service)):
        answered_by(world, old, "blue")
        _change(world, name, [rule(new, path("/", blue.service, 8080))])
        answered_by(world, new, "blue")
        withdrawn(world, old)
        wait_status(world, name, {"hosts": [new], "routeCount": 1})
    return ""


def last_rule_removed(world: E2EWorld) -> str:
    """An Ingress whose last rule goes is withdrawn; its default backend answers at the cluster's own name."""
    name, host, blue = "no-rules", "no-rules.e2e.example.com", world.blue()
    cluster_host = f"{world.cluster_uuid}.gateway.pipeops.io"
    with world.running_agent(), world.serving(simple_ingress(world, name, host, blue.service)):
        answered_by(world, host, "blue")
        backend = {"service": {"name": blue.service, "port": {"number": 8080}}}
        world.cluster.patch(
            "Ingress", world.namespace, name, {"spec": {"rules": None, "defaultBackend": backend}})
        withdrawn(world, host)
        answered_by(world, cluster_host, "blue")
        wait_status(world, name, {"hosts": [cluster_host]})
    return cluster_host


def deletion_withdraws(world: E2EWorld) -> str:
    """A deleted Ingress is withdrawn and its GatewayRoute removed by the agent, also where its Service went first."""
    blue = world.blue()
    with world.running_agent() as agent:
        for name in ("deleted", "deleted-late"):
            host = f"{name}.e2e.example.com"
            world.cluster.create(simple_ingress(world, name, host, blue.service))
            try:
                programmed(world, name)
            finally:
                world.cluster.delete("Ingress", world.namespace, name)
            withdrawn(world, host)
            gone(world, name)

        def deletions() -> list[str]:
            return [str(r) for r in agent.requests() if (r.verb, r.resource) == ("delete", "gatewayroutes")]

        # Where there is a garbage collector it may be quicker, and the agent's request is not made.
        if not world.cluster.deletes_namespaces:
            wait_until("the agent's log shows two deletions", 5, lambda: len(deletions()) == 2)
        deleted = deletions()
        name, host = "orphaned", "orphaned.e2e.example.com"
        item = service(world.namespace, "short-lived", {"web": 8080})
        world.cluster.create(item)
        world.cluster.create(simple_ingress(world, name, host, "short-lived"))
        try:
            programmed(world, name)
            world.cluster.delete("Service", world.namespace, "short-lived")
            wait_condition(world, name, "ResolvedRefs", "False", "ServiceNotFound")
        finally:
            world.cluster.delete("Ingress", world.namespace, name)
            world.cluster.delete("Service", world.namespace, "short-lived")
        gone(world, name)
        withdrawn(world, host)
    return ", ".join(deleted)


def _change(world: E2EWorld, name: str, rules: list[Object]) -> None:
    world.cluster.patch("Ingress", world.namespace, name, {"spec": {"rules": rules}})


CHECKS = [
    ingress_becomes_a_gateway_route, update_is_followed, renamed_host_leaves_nothing, last_rule_removed,
    deletion_withdraws,
]

"""Private or public, and which Service is the ingress controller, without sending a request through it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Optional

from demo import manifests
from demo.manifests import Object
from demo.waiting import expect, expect_equal, wait_until
from demo.world import CONTROLLER, CONTROLLER_NAMESPACE

from ..expectations import event, is_unknown, programmed, simple_ingress, wait_condition, wait_status, withdrawn
from ..world import E2EWorld

# A controller that is found by its label, wherever it is: checks that are not about a well-known name leave the
# namespace alone that the usual installation has.
EDGE = "edge"
LABELS = {"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"}
# A target that nobody listens at is given up soon.
FLAGS = ("--connect-timeout", "500ms")


@contextmanager
def _controller(
    world: E2EWorld, type_: str = "ClusterIP", name: str = EDGE, namespace: str = "",
    labels: Optional[dict[str, str]] = None,
) -> Iterator[str]:
    """A controller's Service, and its key."""
    namespace = namespace or world.other_namespace
    item = manifests.service(namespace, name, {"http": 80, "https": 443}, type_)
    item["metadata"]["labels"] = LABELS if labels is None else labels
    with world.serving(item):
        yield f"{namespace}/{name}"


def _set_type(world: E2EWorld, type_: str) -> None:
    world.cluster.patch("Service", world.other_namespace, EDGE, {"spec": {"type": type_}})


def _set_addresses(world: E2EWorld, addresses: Optional[list[dict[str, str]]]) -> None:
    change: Object = {"status": {"loadBalancer": {"ingress": addresses}}}
    world.cluster.patch("Service", world.other_namespace, EDGE, change, "status")


def _known(world: E2EWorld, host: str) -> None:
    """Waits until the gateway has a route for a host; whether something answers behind it does not matter here."""
    front = world.front(host)

    def is_known() -> bool:
        response = front.get()
        expect(response.status != 503 and not is_unknown(response), f"status {response.status} {response.text[:200]!r}")
        return True

    wait_until(f"the gateway knows {host}", 10, is_known, pause=0.05)


def every_type_in_turn(world: E2EWorld) -> str:
    """No controller, NodePort, LoadBalancer without and with an address, and back: status, routes and Events follow."""
    name, host, seen = "typed", "typed.e2e.example.com", []

    def expect_type(type_: str, reason: str, target: str) -> None:
        wait_status(world, name, {"clusterType": type_, "clusterTypeReason": reason, "target": target})
        seen.append(reason)

    with world.running_agent(*FLAGS, "--load-balancer-grace", "2s"):
        with world.serving(simple_ingress(world, name, host, world.blue().service)):
            expect_type("Private", "NoIngressController", "Service")
            programmed(world, name)
            with _controller(world, "NodePort") as key:
                expect_type("Private", "NodePort", key)
                _known(world, host)
                _set_type(world, "LoadBalancer")
                expect_type("Private", "LoadBalancerPending", key)
                _known(world, host)
                expect_type("Private", "LoadBalancerWithoutAddress", key)
                programmed(world, name)
                _set_addresses(world, [{"ip": "203.0.113.10"}])
                withdrawn(world, host)
                expect_type("Public", "LoadBalancerHasAddress", key)
                wait_condition(world, name, "Programmed", "False", "ClusterPublic")
                for kind in ("Ingress", "GatewayRoute"):
                    event(world, kind, name, "ClusterTypeChanged")
                    event(world, kind, name, "ClusterPublic")
                event(world, "Service", EDGE, "ClusterTypeChanged", namespace=world.other_namespace)
                _set_addresses(world, [{"hostname": "lb.example.com"}])
                wait_condition(world, name, "Programmed", "False", "ClusterPublic")
                _set_addresses(world, None)
                # The address may only be changing: for the grace period the cluster stays what it was.
                expect_type("Public", "LoadBalancerPending", key)
                expect_type("Private", "LoadBalancerWithoutAddress", key)
                programmed(world, name)
                _known(world, host)
                _set_type(world, "ClusterIP")
                expect_type("Private", "ClusterIP", key)
            expect_type("Private", "NoIngressController", "Service")
            programmed(world, name)
    return " → ".join(seen)


def always_in_a_public_cluster(world: E2EWorld) -> str:
    """--sync always serves a public cluster as well."""
    name, host = "always", "always.e2e.example.com"
    with _controller(world, "LoadBalancer"):
        _set_addresses(world, [{"ip": "203.0.113.11"}])
        with world.running_agent(*FLAGS, "--sync", "always"):
            with world.serving(simple_ingress(world, name, host, world.blue().service)):
                programmed(world, name)
                wait_status(world, name, {"clusterType": "Public"})
                _known(world, host)
    return ""


def controller_found_by_its_label(world: E2EWorld) -> str:
    """A controller's Service of any name, in any namespace, is found by its label."""
    name, host = "labelled", "labelled.e2e.example.com"
    with world.running_agent(*FLAGS) as agent, world.serving(simple_ingress(world, name, host, world.blue().service)):
        wait_status(world, name, {"target": "Service"})
        with _controller(world, "NodePort", "my-release-front") as key:
            wait_status(world, name, {"target": key, "targetReason": "KnownLabel", "clusterTypeReason": "NodePort"})
            selected = agent.log.wait_for("Ingress controller selected", 5, after=agent.first_line)
            expect_equal(selected["service"], key, "service in the log")
            expect(selected["reason"], f"the log does not say why: {selected.fields}")
        wait_status(world, name, {"target": "Service", "clusterTypeReason": "NoIngressController"})
    return key


def known_name_counts_before_labels(world: E2EWorld) -> str:
    """Beside a controller with a well-known name a tenant's load balancer with a label counts for nothing."""
    name, host = "tenant", "tenant.e2e.example.com"
    world.controller_namespace()
    with world.running_agent(*FLAGS), world.serving(simple_ingress(world, name, host, world.blue().service)):
        with _controller(world, "LoadBalancer"):
            _set_addresses(world, [{"ip": "203.0.113.13"}])
            wait_status(world, name, {"clusterType": "Public", "targetReason": "KnownLabel"})
            with _controller(world, "NodePort", CONTROLLER, CONTROLLER_NAMESPACE, labels={}) as key:
                wait_status(world, name, {"clusterType": "Private", "target": key, "targetReason": "KnownName"})
                programmed(world, name)
            wait_condition(world, name, "Programmed", "False", "ClusterPublic")
    return key


def named_controller_wins(world: E2EWorld) -> str:
    """--ingress-controller wins over what would be found, also while its Service does not exist."""
    name, host = "named", "named.e2e.example.com"
    key = f"{world.other_namespace}/chosen"
    with _controller(world, "LoadBalancer"):
        _set_addresses(world, [{"ip": "203.0.113.12"}])
        with world.running_agent(*FLAGS, "--ingress-controller", key):
            with world.serving(simple_ingress(world, name, host, world.blue().service)):
                wait_status(world, name, {"clusterType": "Private", "target": "Service"})
                with _controller(world, name="chosen", labels={}):
                    wait_status(world, name, {"clusterType": "Private", "target": key})
                    programmed(world, name)
    return key


CHECKS: list[Any] = [
    every_type_in_turn, always_in_a_public_cluster, controller_found_by_its_label,
    known_name_counts_before_labels, named_controller_wins,
]

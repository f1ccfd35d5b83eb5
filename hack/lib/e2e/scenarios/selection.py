"""Which Ingresses an agent serves."""

from __future__ import annotations

from typing import Optional

from demo.waiting import expect, expect_equal

from ..agents import stays
from ..expectations import (
    answered_by, event, gone, programmed, simple_ingress, wait_condition, with_class, with_metadata, withdrawn,
)
from ..world import E2EWorld

LEGACY = "kubernetes.io/ingress.class"
EXPOSE = "gateway.pipeops.io/expose"


def _left_alone(world: E2EWorld, *names: str, namespace: Optional[str] = None) -> None:
    for name in names:
        route = world.gateway_route(namespace or world.namespace, name)
        expect(not route, f"{name} is not selected and has a GatewayRoute")


def _host(name: str) -> str:
    return f"{name}.e2e.example.com"


def by_class(world: E2EWorld) -> str:
    """--ingress-class selects by field and by the legacy annotation; a change of class withdraws and brings back."""
    blue = world.blue().service
    ours, theirs = f"{world.namespace}-a", f"{world.namespace}-other"
    items = {name: simple_ingress(world, name, _host(name), blue) for name in (
        "class-field", "class-second", "class-legacy", "class-other", "class-other-legacy", "class-none")}
    with_class(items["class-field"], ours)
    with_class(items["class-second"], f"{world.namespace}-b")
    with_metadata(items["class-legacy"], annotations={LEGACY: ours})
    with_class(items["class-other"], theirs)
    with_metadata(items["class-other-legacy"], annotations={LEGACY: theirs})
    flags = ("--ingress-class", ours, "--ingress-class", f"{world.namespace}-b")
    with world.running_agent(*flags), world.serving(*items.values()):
        for name in ("class-field", "class-second", "class-legacy"):
            programmed(world, name)
            answered_by(world, _host(name), "blue")
        _left_alone(world, "class-other", "class-other-legacy", "class-none")
        world.cluster.patch("Ingress", world.namespace, "class-field", {"spec": {"ingressClassName": theirs}})
        gone(world, "class-field")
        withdrawn(world, _host("class-field"))
        world.cluster.patch("Ingress", world.namespace, "class-field", {"spec": {"ingressClassName": ours}})
        programmed(world, "class-field")
        world.cluster.patch(
            "Ingress", world.namespace, "class-legacy", {"metadata": {"annotations": {LEGACY: theirs}}})
        gone(world, "class-legacy")
        withdrawn(world, _host("class-legacy"))
        _left_alone(world, "class-other", "class-other-legacy", "class-none")
    return ""


def by_selector(world: E2EWorld) -> str:
    """--ingress-selector selects by labels, as kubectl -l does, and follows them."""
    blue = world.blue().service
    names = ("label-web", "label-none", "label-internal")
    items = {name: simple_ingress(world, name, _host(name), blue) for name in names}
    with_metadata(items["label-web"], labels={"tier": "web"})
    with_metadata(items["label-internal"], labels={"tier": "web", "internal": "yes"})
    with world.running_agent("--ingress-selector", "tier in (web, edge),!internal"), world.serving(*items.values()):
        programmed(world, "label-web")
        _left_alone(world, "label-none", "label-internal")
        world.cluster.patch("Ingress", world.namespace, "label-none", {"metadata": {"labels": {"tier": "edge"}}})
        programmed(world, "label-none")
        world.cluster.patch("Ingress", world.namespace, "label-web", {"metadata": {"labels": {"tier": None}}})
        gone(world, "label-web")
        withdrawn(world, _host("label-web"))
        _left_alone(world, "label-internal")
    return ""


def by_namespace(world: E2EWorld) -> str:
    """--namespace selects by namespace."""
    blue = world.blue().service
    inside = simple_ingress(
        world, "namespace-inside", _host("namespace-inside"), "nowhere", namespace=world.other_namespace)
    outside = simple_ingress(world, "namespace-outside", _host("namespace-outside"), blue)
    with world.running_agent("--namespace", world.other_namespace) as agent, world.serving(outside, inside):
        wait_condition(world, "namespace-inside", "ResolvedRefs", "False", namespace=world.other_namespace)
        agent.wait_quiet(0.5)
        _left_alone(world, "namespace-outside")
        withdrawn(world, _host("namespace-outside"))
    return ""


def opting_out(world: E2EWorld) -> str:
    """The annotation expose: "false" withdraws an Ingress, and its removal brings it back."""
    name, host = "exposed", _host("exposed")
    with world.running_agent(), world.serving(simple_ingress(world, name, host, world.blue().service)):
        programmed(world, name)
        for value in ("false", None):
            world.cluster.patch("Ingress", world.namespace, name, {"metadata": {"annotations": {EXPOSE: value}}})
            if value:
                gone(world, name)
                withdrawn(world, host)
            else:
                programmed(world, name)
                answered_by(world, host, "blue")
    return ""


def narrower_selection(world: E2EWorld) -> str:
    """An agent that starts with a narrower selection removes what the one before had recorded beyond it."""
    blue = world.blue().service
    kept = with_metadata(simple_ingress(world, "narrow-kept", _host("narrow-kept"), blue), labels={"kept": "yes"})
    dropped = simple_ingress(world, "narrow-dropped", _host("narrow-dropped"), blue)
    with world.serving(kept, dropped):
        with world.running_agent():
            programmed(world, "narrow-kept")
            programmed(world, "narrow-dropped")
        with world.running_agent("--ingress-selector", "kept=yes"):
            gone(world, "narrow-dropped")
            withdrawn(world, _host("narrow-dropped"))
            answered_by(world, _host("narrow-kept"), "blue")
    return ""


def observing_only(world: E2EWorld) -> str:
    """--sync never writes the status, sends nothing and serves nothing."""
    name, host = "observed", _host("observed")
    with world.running_agent("--sync", "never", waits=False) as agent:
        with world.serving(simple_ingress(world, name, host, world.blue().service)):
            route = wait_condition(world, name, "Programmed", "False", "SyncDisabled")
            expect_equal(route["status"]["hosts"], [host], "hosts in the status")
            wait_condition(world, name, "Accepted", "True")
            event(world, "Ingress", name, "SyncDisabled")
            agent.wait_ready()
            front = world.front(host)
            stays("the gateway serves what was only observed", 0.5, lambda: front.get().status in (404, 503))
        gone(world, name)
        messages = agent.log.control_messages("ingress_routes", after=agent.first_line)
        sent = [route for _, message in messages for route in message["payload"]["routes"]]
        expect_equal(sent, [], "routes sent")
    return ""


CHECKS = [by_class, by_selector, by_namespace, opting_out, narrower_selection, observing_only]

"""GatewayRoutes as a record: complete, put right, and written only when something changed."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from typing import Any, Callable

from demo.cluster import condition
from demo.manifests import Object, ingress, path, rule
from demo.waiting import expect, expect_equal, wait_until

from ..agents import Agent
from ..expectations import answered_by, event, gone, programmed, simple_ingress, wait_condition, withdrawn
from ..world import E2EWorld

COUNT = 12


def _host(name: str) -> str:
    return f"{name}.e2e.example.com"


def orphans_are_removed(world: E2EWorld) -> str:
    """What an agent that was away left behind is removed when one starts: record and route."""
    blue = world.blue().service
    with world.serving(simple_ingress(world, "stays", _host("stays"), blue)):
        with world.running_agent() as agent:
            with world.serving(simple_ingress(world, "orphan", _host("orphan"), blue)):
                programmed(world, "orphan")
                programmed(world, "stays")
                agent.kill()
            # Nobody is there who could remove it, except a garbage collector.
            expect(
                world.gateway_route(world.namespace, "orphan") or world.cluster.deletes_namespaces,
                "the GatewayRoute is gone before an agent has started")
        with world.running_agent():
            gone(world, "orphan")
            withdrawn(world, _host("orphan"))
            answered_by(world, _host("stays"), "blue")
    return ""


def edits_are_put_right(world: E2EWorld) -> str:
    """What a person changes in a GatewayRoute is put right: spec, owner, status, and its deletion."""
    name = "edited"
    other = {"apiVersion": "example.com/v1", "kind": "Shop", "name": "shop", "uid": str(uuid.uuid4())}

    def edit_owner(*more: Object, **fields: Any) -> Callable[[], object]:
        """Changes the reference to the Ingress, and adds others."""
        def edit() -> None:
            (owner,) = world.gateway_route(world.namespace, name)["metadata"]["ownerReferences"]
            _patch(world, name, {"metadata": {"ownerReferences": [{**owner, **fields}, *more]}})

        return edit

    return _put_right(world, name, {
        "spec": lambda: _patch(world, name, {"spec": {"ingressName": "somebody-else"}}),
        "owner": lambda: _patch(world, name, {"metadata": {"ownerReferences": []}}),
        "owner's name": edit_owner(name="somebody-else"),
        "owner's kind": edit_owner(kind="Gateway", apiVersion="gateway.networking.k8s.io/v1"),
        "owner's UID": edit_owner(uid=str(uuid.uuid4())),
        "owner not controlling": edit_owner(controller=False),
        "another controller": edit_owner({**other, "controller": True}, controller=False),
        "hosts": lambda: _patch(world, name, {"status": {"hosts": ["wrong.example.com"]}}, "status"),
        "conditions": lambda: _patch(world, name, {"status": {"conditions": []}}, "status"),
        "whole status": lambda: _patch(world, name, {"status": None}, "status"),
        "deletion": lambda: world.cluster.delete("GatewayRoute", world.namespace, name),
    })


def changed_label_is_put_right(world: E2EWorld) -> str:
    """The label that marks a GatewayRoute as the agent's is put right where a person removed or changed it."""
    name, label = "relabelled", "app.kubernetes.io/managed-by"
    return _put_right(world, name, {
        "removed": lambda: _patch(world, name, {"metadata": {"labels": {label: None}}}),
        "changed": lambda: _patch(world, name, {"metadata": {"labels": {label: "somebody"}}}),
    })


def _put_right(world: E2EWorld, name: str, edits: dict[str, Callable[[], object]]) -> str:
    took = []
    with world.running_agent(), world.serving(simple_ingress(world, name, _host(name), world.blue().service)):
        good = _content(programmed(world, name))
        wrong = []
        for what, edit in edits.items():
            edit()
            started = time.monotonic()
            try:
                wait_until(f"{what} is put right", 5, lambda: _is(world, name, good), pause=0.02)
            except Exception as failure:  # pylint: disable=broad-except
                wrong.append(str(failure))
                # The next edit begins with a good one.
                world.cluster.delete("GatewayRoute", world.namespace, name)
                wait_until("a good GatewayRoute", 10, lambda: _is(world, name, good), pause=0.02)
            took.append(f"{what} {(time.monotonic() - started) * 1000:.0f} ms")
        expect(not wrong, "\n".join(wrong))
        answered_by(world, _host(name), "blue")
    return ", ".join(took)


def other_peoples_fields_stay(world: E2EWorld) -> str:
    """Labels, annotations and conditions of others on a GatewayRoute stay, and cost no write."""
    name = "annotated"
    foreign = {
        "type": "example.com/Checked", "status": "True", "reason": "Checked", "message": "by somebody",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    with world.running_agent() as agent, world.serving(simple_ingress(world, name, _host(name), world.blue().service)):
        route = programmed(world, name)
        agent.wait_quiet()
        mark = agent.log.mark()
        _patch(world, name, {"metadata": {"labels": {"team": "shop"}, "annotations": {"example.com/note": "mine"}}})
        conditions = [*route["status"]["conditions"], foreign]
        _patch(world, name, {"status": {"conditions": conditions}}, "status")
        agent.wait_quiet()
        expect_equal([str(write) for write in agent.writes(mark)], [], "writes after other people's")
        now = world.gateway_route(world.namespace, name)
        expect_equal(now["metadata"]["labels"].get("team"), "shop", "label team")
        expect(condition(now, "example.com/Checked"), "somebody else's condition is gone")
    return ""


def somebody_elses_is_left_alone(world: E2EWorld) -> str:
    """A GatewayRoute that the agent did not make is left alone, and the Ingress told why it is not served."""
    name = "foreign"
    foreign: Object = {
        "apiVersion": "gateway.pipeops.io/v1alpha1", "kind": "GatewayRoute",
        "metadata": {"namespace": world.namespace, "name": name, "labels": {"team": "shop"}},
        "spec": {"ingressName": "another", "clusterUUID": "another"},
    }
    with world.serving(foreign), world.running_agent() as agent:
        with world.serving(simple_ingress(world, name, _host(name), world.blue().service)):
            event(world, "Ingress", name, "NotOurs")
            agent.wait_quiet(0.5)
            now = world.gateway_route(world.namespace, name)
            expect_equal(now["spec"], foreign["spec"], "spec")
            expect_equal(now["metadata"]["labels"], {"team": "shop"}, "labels")
            expect(not now.get("status"), f"it has a status: {now.get('status')}")
            withdrawn(world, _host(name))
            world.cluster.delete("GatewayRoute", world.namespace, name)
            programmed(world, name)
            answered_by(world, _host(name), "blue")
        gone(world, name)
        world.cluster.create(foreign)
        agent.wait_quiet(0.5)
        expect(world.gateway_route(world.namespace, name), "one of somebody else's without an Ingress was removed")
    return ""


def _many(world: E2EWorld) -> list[Object]:
    """Ingresses of every kind: served, without a Service, of another's path, and unusable."""
    blue = world.blue().service
    items = [simple_ingress(world, f"many-{n}", _host(f"many-{n}"), blue) for n in range(COUNT)]
    items.append(simple_ingress(world, "many-conflict", _host("many-0"), blue))
    items.append(simple_ingress(world, "many-unresolved", _host("many-unresolved"), "nowhere"))
    resource = {"apiGroup": "storage.example.com", "kind": "Bucket", "name": "icons"}
    bucket = {"path": "/", "pathType": "ImplementationSpecific", "backend": {"resource": resource}}
    items.append(ingress(world.namespace, "many-unusable", rule(_host("many-unusable"), bucket)))
    items.append(
        ingress(world.namespace, "many-wildcard", rule("*.many.e2e.example.com", path("/", blue, "web", "Exact"))))
    return items


def _settle(world: E2EWorld, agent: Agent) -> None:
    for number in range(COUNT):
        programmed(world, f"many-{number}")
    wait_condition(world, "many-conflict", "Programmed", "False", "RouteConflict")
    wait_condition(world, "many-unresolved", "ResolvedRefs", "False")
    wait_condition(world, "many-unusable", "Accepted", "False")
    programmed(world, "many-wildcard")
    agent.wait_quiet()


def first_start_is_frugal(world: E2EWorld) -> str:
    """The first start costs at most two writes for each GatewayRoute; unchanged, a restart and time cost none."""
    with world.serving(*_many(world)):
        with world.running_agent() as agent:
            _settle(world, agent)
            routes = [write for write in agent.writes() if write.resource == "gatewayroutes"]
            per_object = Counter(write.name for write in routes)
            expect_equal(len(per_object), COUNT + 4, "GatewayRoutes written")
            many = {name: count for name, count in per_object.items() if count > 2}
            expect(not many, f"more than two writes: {many}")
            versions = _versions(world)
            mark = agent.log.mark()
            # Changes of things that matter to no route.
            world.cluster.patch(
                "Service", world.namespace, world.blue().service, {"metadata": {"labels": {"touched": "yes"}}})
            world.cluster.patch(
                "Ingress", world.namespace, "many-1", {"metadata": {"labels": {"touched": "yes"}}})
            agent.wait_quiet()
            expect_equal([str(write) for write in agent.writes(mark)], [], "writes while nothing changed")
        with world.running_agent() as agent:
            answered_by(world, _host("many-3"), "blue")
            agent.log.wait_for("Ingress routes sent", 10, after=agent.first_line)
            agent.wait_quiet(3)
            expect_equal([str(write) for write in agent.writes()], [], "writes of a restarted agent")
        expect_equal(_versions(world), versions, "resource versions")
    return f"{len(routes)} writes for {len(per_object)} GatewayRoutes, then none"


def _versions(world: E2EWorld) -> dict[str, str]:
    routes = world.cluster.objects("GatewayRoute", world.namespace)
    return {route["metadata"]["name"]: route["metadata"]["resourceVersion"] for route in routes}


def _patch(world: E2EWorld, name: str, change: Object, subresource: str = "") -> Object:
    return world.cluster.patch("GatewayRoute", world.namespace, name, change, subresource or None)


def _content(route: Object) -> dict[str, Any]:
    """What an edit can change, without what an edit put right may leave different."""
    status = {key: value for key, value in route.get("status", {}).items() if key not in ("conditions", "revision")}
    conditions = {
        entry["type"]: (entry["status"], entry["reason"], entry["message"])
        for entry in route.get("status", {}).get("conditions") or []
    }
    metadata = route["metadata"]
    owners = metadata.get("ownerReferences") or []
    return {
        "spec": route["spec"], "labels": metadata.get("labels"), "owners": owners, "status": status,
        "conditions": conditions,
    }


def _is(world: E2EWorld, name: str, good: dict[str, Any]) -> bool:
    route = world.gateway_route(world.namespace, name)
    expect(route, "it is gone")
    expect_equal(_content(route), good, "content")
    for type_ in good["conditions"]:
        expect_equal(
            condition(route, type_).get("observedGeneration"), route["metadata"]["generation"], "observedGeneration")
    return True


CHECKS = [
    orphans_are_removed, edits_are_put_right, changed_label_is_put_right, other_peoples_fields_stay,
    somebody_elses_is_left_alone, first_start_is_frugal,
]

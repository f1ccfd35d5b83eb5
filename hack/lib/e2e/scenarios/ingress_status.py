"""status.loadBalancer of Ingresses, where DNS controllers look."""

from __future__ import annotations

import threading
from typing import Any

from demo.cluster import ApiError
from demo.manifests import Object
from demo.waiting import expect, expect_equal, wait_until

from ..expectations import programmed, simple_ingress, with_class
from ..world import E2EWorld

FOREIGN = {"ip": "203.0.113.77"}


def _ours(world: E2EWorld) -> str:
    return f"{world.cluster_uuid}.gateway.pipeops.io"


def _entries(world: E2EWorld, name: str) -> list[dict[str, Any]]:
    status = world.cluster.get("Ingress", world.namespace, name).get("status", {})
    return list(status.get("loadBalancer", {}).get("ingress") or [])


def _names(world: E2EWorld, name: str) -> list[str]:
    return [str(entry.get("hostname") or entry.get("ip")) for entry in _entries(world, name)]


def _wait_entries(world: E2EWorld, name: str, expected: list[str]) -> None:
    def matches() -> bool:
        expect_equal(sorted(_names(world, name)), sorted(expected), "entries")
        return True

    wait_until(f"status.loadBalancer of {name}", 10, matches, pause=0.05)


def _set(world: E2EWorld, name: str, entries: list[dict[str, Any]]) -> None:
    change: Object = {"status": {"loadBalancer": {"ingress": entries}}}
    world.cluster.patch("Ingress", world.namespace, name, change, "status")


def _flags(world: E2EWorld) -> tuple[str, ...]:
    return "--update-ingress-status", "--ingress-class", world.namespace


def only_our_own_entry(world: E2EWorld) -> str:
    """With --update-ingress-status our name joins others' entries, in our class only, and goes when withdrawn."""
    blue, name, other = world.blue().service, "published", "published-other-class"
    item = with_class(simple_ingress(world, name, "published.e2e.example.com", blue), world.namespace)
    foreign = with_class(simple_ingress(world, other, "published-other.e2e.example.com", blue), "somebody-elses")
    with world.serving(item, foreign):
        _set(world, name, [FOREIGN])
        _set(world, other, [FOREIGN])
        with world.running_agent(*_flags(world)) as agent:
            programmed(world, name)
            _wait_entries(world, name, [FOREIGN["ip"], _ours(world)])
            agent.wait_quiet()
            mark = agent.log.mark()
            # Somebody who writes the whole list drops ours; it comes back, once.
            _set(world, name, [FOREIGN, {"ip": "203.0.113.78"}])
            _wait_entries(world, name, [FOREIGN["ip"], "203.0.113.78", _ours(world)])
            agent.wait_quiet()
            writes = [str(write) for write in agent.writes(mark)]
            expect(len(writes) == 1, f"writes: {writes}")
            world.cluster.patch(
                "Ingress", world.namespace, name,
                {"metadata": {"annotations": {"gateway.pipeops.io/expose": "false"}}})
            _wait_entries(world, name, [FOREIGN["ip"], "203.0.113.78"])
            expect_equal(_entries(world, other), [_normal(FOREIGN, _entries(world, other))], "entries of another class")
    return _ours(world)


def _normal(entry: dict[str, Any], seen: list[dict[str, Any]]) -> dict[str, Any]:
    """The entry with what a server may have added to it."""
    return {**(seen[0] if seen else {}), **entry}


def off_by_default(world: E2EWorld) -> str:
    """Without --update-ingress-status no Ingress's status is written."""
    name = "unpublished"
    item = with_class(simple_ingress(world, name, "unpublished.e2e.example.com", world.blue().service), world.namespace)
    with world.running_agent("--ingress-class", world.namespace) as agent, world.serving(item):
        programmed(world, name)
        agent.wait_quiet(0.5)
        expect_equal(_names(world, name), [], "entries")
        touched = [str(request) for request in agent.writes() if request.resource == "ingresses"]
        expect_equal(touched, [], "writes of Ingresses")
    return ""


def written_at_the_same_time(world: E2EWorld) -> str:
    """Entries that another controller writes at the same time are not lost, and neither is ours."""
    conflicts = 0
    with world.running_agent(*_flags(world)) as agent:
        for attempt in range(10):
            name = f"raced-{attempt}"
            item = with_class(
                simple_ingress(world, name, f"{name}.e2e.example.com", world.blue().service), world.namespace)
            with world.serving(item):
                last = _race(world, name)
                _wait_entries(world, name, [last, _ours(world)])
            conflicts = sum(1 for r in agent.requests() if r.resource == "ingresses" and r.code == 409)
            if conflicts:
                break
    expect(conflicts, "the agent's write never met another's, so nothing is shown")
    return f"{conflicts} conflicts in {attempt + 1} attempts"


def _race(world: E2EWorld, name: str) -> str:
    """Writes an entry of its own again and again until ours is there, as a controller does: never over what it has
    not read. Returns the last."""
    stop, last = threading.Event(), ["203.0.113.1"]

    def write() -> None:
        number = 0
        while not stop.is_set() and number < 5000:
            number += 1
            address = f"203.0.113.{number % 200 + 1}"
            item = world.cluster.get("Ingress", world.namespace, name)
            entries = item.get("status", {}).get("loadBalancer", {}).get("ingress") or []
            kept = [entry for entry in entries if entry.get("hostname")]
            change: Object = {
                "metadata": {"resourceVersion": item["metadata"]["resourceVersion"]},
                "status": {"loadBalancer": {"ingress": [{"ip": address}, *kept]}},
            }
            try:
                world.cluster.patch("Ingress", world.namespace, name, change, "status")
            except ApiError as error:
                if error.status == 409:
                    continue
                raise
            last[0] = address
            if kept:
                return

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    thread.join(20)
    stop.set()
    thread.join(5)
    return last[0]


CHECKS = [only_our_own_entry, off_by_default, written_at_the_same_time]

"""Ingresses that share a host, and those that want the same thing."""

from __future__ import annotations

import time

from demo import manifests
from demo.cluster import condition
from demo.manifests import Object
from demo.waiting import CheckFailed, expect, expect_equal

from ..expectations import answered_by, event, programmed, simple_ingress, wait_condition, wait_status, withdrawn
from ..world import E2EWorld


def each_keeps_its_own_paths(world: E2EWorld) -> str:
    """Two Ingresses of one host keep their own paths; deleting one removes only its own."""
    host, blue, green = "shared.e2e.example.com", world.blue(), world.green()
    with world.running_agent(), world.serving(simple_ingress(world, "shared-blue", host, blue.service, "/blue")):
        with world.serving(simple_ingress(world, "shared-green", host, green.service, "/green")):
            for name in ("blue", "green"):
                programmed(world, f"shared-{name}")
                answered_by(world, host, name, f"/{name}/x")
        withdrawn(world, host, "/green/x")
        answered_by(world, host, "blue", "/blue/x")
        # What is gone stays gone when the one that is left changes.
        world.cluster.patch(
            "Ingress", world.namespace, "shared-blue", {"metadata": {"annotations": {"example.com/touched": "1"}}})
        programmed(world, "shared-blue")
        withdrawn(world, host, "/green/x")
    return ""


def older_ingress_wins(world: E2EWorld) -> str:
    """Of two Ingresses with the same host and path the older is served; the loser says so and takes over."""
    host, older, newer = "age.e2e.example.com", "z-older", "a-newer"
    blue, green = world.blue(), world.green()
    with world.running_agent():
        first = world.cluster.create(simple_ingress(world, older, host, blue.service))
        try:
            # Ages are told in whole seconds.
            _wait_for_another_second(first)
            with world.serving(simple_ingress(world, newer, host, green.service)):
                _expect_conflict(world, winner=older, loser=newer, host=host, application="blue")
                world.cluster.delete("Ingress", world.namespace, older)
                programmed(world, newer)
                answered_by(world, host, "green")
        finally:
            world.cluster.delete("Ingress", world.namespace, older)
    return ""


def name_decides_between_the_same_age(world: E2EWorld) -> str:
    """Of two Ingresses of the same second the one whose name comes first is served."""
    host, blue, green = "tie.e2e.example.com", world.blue(), world.green()
    with world.running_agent():
        for attempt in range(10):
            first, second = f"tie-{attempt}-b", f"tie-{attempt}-a"
            with world.objects() as objects:
                ages = [
                    objects.create(simple_ingress(world, name, host, application.service))["metadata"][
                        "creationTimestamp"]
                    for name, application in ((first, blue), (second, green))
                ]
                if ages[0] == ages[1]:
                    _expect_conflict(world, winner=second, loser=first, host=host, application="green")
                    return f"both of {ages[0]}"
    raise CheckFailed("no two Ingresses of the same second in 10 attempts")


def part_of_an_ingress_may_lose(world: E2EWorld) -> str:
    """An Ingress that loses one of its paths is served at the others."""
    host, blue, green = "part.e2e.example.com", world.blue(), world.green()
    with world.running_agent(), world.serving(simple_ingress(world, "part-1", host, blue.service, "/a")):
        programmed(world, "part-1")
        item = simple_ingress(world, "part-2", host, green.service, "/a")
        item["spec"]["rules"][0]["http"]["paths"] += (
            simple_ingress(world, "", host, green.service, "/b")["spec"]["rules"][0]["http"]["paths"])
        time.sleep(1.05)
        with world.serving(item):
            wait_condition(world, "part-2", "Programmed", "False", "RouteConflict")
            answered_by(world, host, "green", "/b")
            answered_by(world, host, "blue", "/a")
            wait_status(world, "part-2", {"routeCount": 2})
    return ""


def another_cluster_has_the_name(world: E2EWorld) -> str:
    """A host name that another cluster has is refused, and given once it is let go of: condition, Events, answers."""
    name, host, own = "claimed", "claimed.e2e.example.com", "unclaimed.e2e.example.com"
    with world.second_cluster() as other:
        service = other.create(manifests.service("default", "theirs", {"web": 8080}))
        theirs = world.start_application("theirs", service)
        try:
            rule = manifests.rule(host, manifests.path("/", theirs.service, 8080))
            other.create(manifests.ingress("default", "first", rule))
            answered_by(world, host, "theirs")
            item = simple_ingress(world, name, host, world.blue().service, "/elsewhere")
            item["spec"]["rules"] += simple_ingress(world, "", own, world.blue().service)["spec"]["rules"]
            with world.running_agent(), world.serving(item):
                route = wait_condition(world, name, "Programmed", "False", "HostnameConflict")
                message = condition(route, "Programmed")["message"]
                expect(host in message and "another cluster" in message, f"message: {message}")
                for kind in ("Ingress", "GatewayRoute"):
                    expect_equal(event(world, kind, name, "HostnameConflict"), message, f"note on the {kind}")
                # It changes nothing of the other cluster's, and takes nothing of what is this one's.
                answered_by(world, host, "theirs", "/elsewhere")
                answered_by(world, own, "blue")
                wait_condition(world, name, "Programmed", "False", "HostnameConflict")
                other.delete("Ingress", "default", "first")
                programmed(world, name)
                answered_by(world, host, "blue", "/elsewhere")
                event(world, "Ingress", name, "Programmed")
        finally:
            world.processes.stop(theirs.program)
    return message


def _expect_conflict(world: E2EWorld, winner: str, loser: str, host: str, application: str) -> None:
    programmed(world, winner)
    route = wait_condition(world, loser, "Programmed", "False", "RouteConflict")
    wait_condition(world, loser, "Accepted", "True")
    message = next(c["message"] for c in route["status"]["conditions"] if c["type"] == "Programmed")
    expect(f"{world.namespace}/{winner}" in message and host in message, f"message: {message}")
    note = event(world, "Ingress", loser, "RouteConflict")
    expect_equal(note, message, "note of the Event")
    answered_by(world, host, application)


def _wait_for_another_second(item: Object) -> None:
    """The server's clock is this machine's, or near it; a second and a bit is another second on both."""
    expect(item["metadata"]["creationTimestamp"], "no creationTimestamp")
    time.sleep(1.05)


CHECKS = [
    each_keeps_its_own_paths, older_ingress_wins, name_decides_between_the_same_age, part_of_an_ingress_may_lose,
    another_cluster_has_the_name,
]

"""Two agents: one writes, both carry requests, and one takes over from the other."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from typing import Callable, Iterator

from demo.manifests import Object, path, rule
from demo.waiting import expect, expect_equal, wait_until

from ..agents import Agent
from ..expectations import answered_by, programmed, simple_ingress, wait_status
from ..world import E2EWorld

HAND_OVER_SECONDS = 3.0
# The defaults of the agent.
LEASE_SECONDS, RETRY_SECONDS = 15.0, 2.0
# Where a lease has to run out and its length is not the point.
SHORT = (
    "--leader-elect-lease-duration", "5s", "--leader-elect-renew-deadline", "3s",
    "--leader-elect-retry-period", "500ms",
)
MICRO_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")


def _host(name: str) -> str:
    return f"{name}.e2e.example.com"


def _lease(world: E2EWorld) -> Object:
    namespace, name = world.lease.split("/")
    found = world.cluster.find("Lease", namespace, name)
    return dict(found["spec"]) if found else {}


@contextmanager
def _pair(world: E2EWorld, *flags: str) -> Iterator[tuple[Agent, Agent]]:
    """A leader and an agent that stands by, both connected; the Lease is new."""
    namespace, name = world.lease.split("/")
    world.cluster.delete("Lease", namespace, name)
    with world.running_agent(*flags, name="one", elects=True) as leader:
        leader.log.wait_for("Leadership acquired", 10, after=leader.first_line)
        with world.running_agent(*flags, name="two", elects=True) as standby:
            for agent in (leader, standby):
                agent.wait_connected()
            standby.log.wait_for("Standing by", 10, after=standby.first_line)
            yield leader, standby


def _leads(agent: Agent, seconds: float, after: int = -1) -> float:
    """Waits until an agent leads, and returns how long that took."""
    started = time.monotonic()
    agent.log.wait_for("Leadership acquired", seconds, after=agent.first_line if after < 0 else after)
    return time.monotonic() - started


def one_writes(world: E2EWorld) -> str:
    """Of two agents one writes and syncs; both are ready and connected, and only one's metric says that it leads."""
    name = "led"
    item = simple_ingress(world, name, _host(name), world.blue().service)
    with _pair(world) as (leader, standby), world.serving(item):
        programmed(world, name)
        _change_to_green(world, name)
        answered_by(world, _host(name), "green")
        programmed(world, name)
        leader.wait_quiet(0.5)
        expect(leader.writes(), "the leader has written nothing")
        expect_equal([str(write) for write in standby.writes()], [], "writes of the one that stands by")
        sent = standby.log.control_messages("ingress_routes", after=standby.first_line)
        expect_equal(len(sent), 0, "route messages of the one that stands by")
        masters = [agent.metric("leader_election_master_status") for agent in (leader, standby)]
        expect_equal(masters, [1.0, 0.0], "leader_election_master_status")
    return f"{len(leader.writes())} writes by the leader"


def lease_is_client_gos(world: E2EWorld) -> str:
    """The Lease is what client-go writes: holder, whole seconds, micro times, transitions; released at the end."""
    with _pair(world) as (leader, standby):
        first = _lease(world)
        expect_equal(
            set(first), {"holderIdentity", "leaseDurationSeconds", "acquireTime", "renewTime", "leaseTransitions"},
            "fields")
        expect(first["holderIdentity"], "no holderIdentity")
        expect_equal(first["leaseDurationSeconds"], 15, "leaseDurationSeconds")
        for field in ("acquireTime", "renewTime"):
            expect(MICRO_TIME.match(first[field]), f"{field} is {first[field]}")
        expect_equal(first["leaseTransitions"], 0, "leaseTransitions")

        def is_renewed() -> Object:
            now = _lease(world)
            expect(now["renewTime"] > first["renewTime"], "renewTime stands still")
            return now

        renewed = wait_until("a renewal", 6, is_renewed, pause=0.1)
        expect_equal(renewed["acquireTime"], first["acquireTime"], "acquireTime of a renewed lease")
        leader.stop()
        _leads(standby, 5)
        second = _lease(world)
        expect(second["holderIdentity"] != first["holderIdentity"], "the holder is still the same")
        expect_equal(second["leaseTransitions"], 1, "leaseTransitions")
        expect(second["acquireTime"] > first["acquireTime"], "acquireTime did not change with the holder")
        standby.stop()
        released = _lease(world)
        expect(not released.get("holderIdentity"), f"not released: {released}")
    return str(first["holderIdentity"])


def clean_stop_hands_over(world: E2EWorld) -> str:
    """A leader that is asked to stop hands over in less than 3 s: an Ingress applied right after is programmed."""
    name, took = "handed-over", []
    for attempt in range(3):
        with _pair(world) as (leader, standby):
            leader.program.ask_to_stop()
            started = time.monotonic()
            item = simple_ingress(world, f"{name}-{attempt}", _host(f"{name}-{attempt}"), world.blue().service)
            with world.serving(item):
                programmed(world, f"{name}-{attempt}", seconds=10)
                answered_by(world, _host(f"{name}-{attempt}"), "blue")
                took.append(time.monotonic() - started)
            expect_equal(leader.program.wait(10), 0, "exit status of the leader")
            expect(standby.writes(), "the one that stood by has written nothing")
    expect(max(took) < HAND_OVER_SECONDS, f"took {', '.join(f'{value:.2f}' for value in took)} s")
    return ", ".join(f"{value:.2f} s" for value in took)


def killed_leader_is_replaced(world: E2EWorld) -> str:
    """A killed leader: requests go on through the other's tunnel, which leads within the lease duration."""
    name, host = "killed", _host("killed")
    with _pair(world) as (leader, standby), world.serving(simple_ingress(world, name, host, world.blue().service)):
        programmed(world, name)
        with _asking(world, host) as failures:
            leader.kill()
            killed = time.monotonic()
            answered_by(world, host, "blue", seconds=2)
            took_requests = time.monotonic() - killed
            _change_to_green(world, name)
            _leads(standby, LEASE_SECONDS + 3 * RETRY_SECONDS)
            led = time.monotonic() - killed
            answered_by(world, host, "green")
            programmed(world, name)
            all_right = time.monotonic() - killed
        lost = failures()
    # Of what was under way when the leader died, some is lost; nothing after that.
    expect(lost < 1.0, f"requests failed for {lost:.2f} s")
    # The kill may follow a renewal at once; what comes on top is a request or two.
    expect(led <= LEASE_SECONDS + 0.3, f"the other led after {led:.1f} s, the lease lasts {LEASE_SECONDS:.0f} s")
    return (
        f"answered again after {took_requests * 1000:.0f} ms, led after {led:.1f} s (lease {LEASE_SECONDS:.0f} s), "
        f"all programmed after {all_right:.1f} s")


def both_carry_requests(world: E2EWorld) -> str:
    """Requests go through either agent's tunnel: each alone answers, whoever leads."""
    name, host = "carried", _host("carried")
    with world.serving(simple_ingress(world, name, host, world.blue().service)):
        with _pair(world, *SHORT) as (leader, standby):
            programmed(world, name)
            with _asking(world, host) as failures:
                standby.stop()
                answered_by(world, host, "blue", seconds=2)
                with world.running_agent(*SHORT, name="three", elects=True) as third:
                    third.wait_connected()
                    leader.stop()
                    answered_by(world, host, "blue", seconds=2)
                    _leads(third, 5)
                    answered_by(world, host, "blue", seconds=2)
                    lost = failures()
    expect(lost == 0, f"requests failed for {lost:.2f} s while agents stopped one after the other")
    return "no request lost in two clean stops"


def stopped_leader_writes_nothing_late(world: E2EWorld) -> str:
    """A leader stopped (SIGSTOP) past its lease writes nothing when it goes on: no two writers, no wrong status."""
    name, host = "paused", _host("paused")
    with _pair(world, *SHORT) as (leader, standby):
        with world.serving(simple_ingress(world, name, host, world.blue().service)):
            programmed(world, name)
            leader.wait_quiet(0.5)
            leader.pause()
            try:
                _leads(standby, 15)
                _change_to_green(world, name)
                with world.serving(simple_ingress(world, "paused-new", _host("paused-new"), world.green().service)):
                    second = programmed(world, name, seconds=60)
                    programmed(world, "paused-new", seconds=60)
                    standby.wait_quiet(0.5)
                    mark, other = leader.log.mark(), standby.log.mark()
                    leader.resume()
                    leader.log.wait_for("Leadership lost", 10, after=mark)
                    leader.log.wait_for("Standing by", 10, after=mark)
                    # Two lease durations: long enough for whoever would take it back by mistake.
                    time.sleep(2)
                    late = [write for write in leader.writes(mark) if write.resource != "events" and write.code < 300]
                    expect_equal([str(write) for write in late], [], "writes of the one that had lost the lease")
                    again = [str(write) for write in standby.writes(other)]
                    expect_equal(again, [], "writes of the new leader, which had nothing to put right")
                    now = world.gateway_route(world.namespace, name)
                    expect_equal(
                        now["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"], "resourceVersion")
                    answered_by(world, host, "green", seconds=30)
                    answered_by(world, _host("paused-new"), "green", seconds=30)
                    leading = [agent.metric("leader_election_master_status") for agent in (leader, standby)]
                    expect_equal(leading, [0.0, 1.0], "leader_election_master_status")
            finally:
                leader.resume()
    return ""


def lease_out_of_reach(world: E2EWorld) -> str:
    """A leader that cannot reach the API server for longer than the renew deadline lets go; another leads meanwhile."""
    name = "cut-off"
    namespace, lease = world.lease.split("/")
    world.cluster.delete("Lease", namespace, lease)
    with world.relayed() as (relay, kubeconfig):
        with world.running_agent(*SHORT, name="one", elects=True, kubeconfig_path=kubeconfig) as first:
            _leads(first, 10)
            with world.running_agent(*SHORT, name="two", elects=True) as second:
                second.log.wait_for("Standing by", 10, after=second.first_line)
                with world.serving(simple_ingress(world, name, _host(name), world.blue().service)):
                    programmed(world, name)
                    relay.cut()
                    cut = time.monotonic()
                    first.log.wait_for("Leadership lost", 6, after=first.first_line)
                    lost = time.monotonic() - cut
                    _leads(second, 12)
                    led = time.monotonic() - cut
                    _change_to_green(world, name)
                    wait_status(world, name, {"routeCount": 1})
                    answered_by(world, _host(name), "green", seconds=20)
                    programmed(world, name)
                    relay.restore()
                    mark = first.log.mark()
                    second.wait_quiet(2)
                    # Events of the time before the cut may still be delivered: they tell what was.
                    late = [write for write in first.writes(mark) if write.resource != "events"]
                    expect_equal([str(write) for write in late], [], "writes of the one that was cut off")
    expect(lost < led, f"let go after {lost:.1f} s, and the other led after {led:.1f} s already")
    return f"let go after {lost:.1f} s, the other led after {led:.1f} s"


def _change_to_green(world: E2EWorld, name: str) -> None:
    world.cluster.patch(
        "Ingress", world.namespace, name,
        {"spec": {"rules": [rule(_host(name), path("/", world.green().service, 8080))]}})


@contextmanager
def _asking(world: E2EWorld, host: str) -> Iterator[Callable[[], float]]:
    """Asks all the time, on new connections; gives how long, from the first failure to the last, requests failed."""
    stop = threading.Event()
    failed: list[float] = []

    def ask() -> None:
        front = world.front(host)
        while not stop.is_set():
            started = time.monotonic()
            if front.get(timeout=5).status != 200:
                failed.extend((started, time.monotonic()))
            time.sleep(0.02)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield lambda: max(failed) - min(failed) if failed else 0.0
    finally:
        stop.set()
        thread.join(6)


CHECKS = [
    one_writes, lease_is_client_gos, clean_stop_hands_over, both_carry_requests, killed_leader_is_replaced,
    stopped_leader_writes_nothing_late, lease_out_of_reach,
]

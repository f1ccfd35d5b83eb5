"""Gateways and agents that are replaced while 50 clients go on: nothing fails that may be sent again."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional

from demo import websocket_peer
from demo.rollout import end_within, replace_gateway, start_gateway_to_replace, stuck_download
from demo.steady_load import SteadyLoad
from demo.waiting import expect, expect_equal
from demo.websocket_peer import IdleWebSocket

from ..agents import Agent
from ..expectations import answered_by, programmed, simple_ingress
from ..world import E2EWorld, Skipped

ROLLOUTS = 5
CLIENTS = 50
PAUSE = 0.3
# The gateway's default would be 30 s; from 20 s on its successor has all the time there is to become warm.
GRACE = 20.0
# What must end although it will not is cut at the end of it: shorter, so that the check is.
SHORT_GRACE = 16.0
# A gateway keeps the last two seconds for its tunnels, an agent one for its goodbyes.
GOODBYE_SECONDS = 2.5
HOST = "rollouts.e2e.example.com"
WEBSOCKET_HOST = "rollouts-websocket.e2e.example.com"


@contextmanager
def _route(world: E2EWorld, name: str) -> Iterator[None]:
    """An Ingress of this name, served until the block's end."""
    with world.serving(simple_ingress(world, name, HOST, world.blue().service)):
        programmed(world, name, seconds=30)
        answered_by(world, HOST, "blue")
        yield


@contextmanager
def _load(world: E2EWorld) -> Iterator[SteadyLoad]:
    """Fifty clients from before the block to after it; nothing that they ask may fail."""
    with SteadyLoad(world.front(HOST), "blue", CLIENTS, PAUSE) as load:
        load.goes_on(4 * CLIENTS, 30)
        yield load
        load.goes_on(4 * CLIENTS, 30)
    load.expect_no_failure()


@contextmanager
def _replaceable_gateway(world: E2EWorld, grace: float) -> Iterator[None]:
    """A gateway that can be replaced; afterwards the usual one is back."""
    start_gateway_to_replace(world, grace)
    try:
        yield
    finally:
        try:
            end_within(world.gateway, grace)
        finally:
            world.start_gateway()


@contextmanager
def _replicas(world: E2EWorld) -> Iterator[None]:
    """Ends at the block's end the agents that are still there."""
    problems: list[str] = []
    try:
        yield
    finally:
        problems = world.end_agents()
    expect(not problems, "; ".join(problems))


def _replica(
    world: E2EWorld, name: str, grace: float = GRACE, kubeconfig_path: Optional[Path] = None
) -> Agent:
    """Starts one of an agent's replicas, and waits as long as a rollout does."""
    agent = world.launch(*_grace(grace), name=name, elects=True, kubeconfig_path=kubeconfig_path)
    agent.wait_ready()
    return agent


def gateway_replaced(world: E2EWorld) -> str:
    """Five times a new gateway takes over the ports under load, and no request fails that may be repeated."""
    with _replaceable_gateway(world, GRACE), _replicas(world):
        for number in range(2):
            _replica(world, f"of-gateway-{number}")
        with _route(world, "gateway-replaced"), _load(world) as load:
            took = []
            for number in range(ROLLOUTS):
                took.append(replace_gateway(world, f"gateway-rollout-{number}", GRACE, GRACE))
                load.goes_on(4 * CLIENTS, 30)
    return f"ended in {_list(took)} s; {load}"


def agents_replaced(world: E2EWorld) -> str:
    """Five times both replicas of an agent are replaced under load, and no request fails that may be repeated."""
    with _replicas(world):
        replicas = [_replica(world, f"rollout-0-{number}") for number in range(2)]
        with _route(world, "agents-replaced"), _load(world) as load:
            took = []
            for rollout in range(1, ROLLOUTS + 1):
                for number, old in enumerate(replicas):
                    replicas[number] = _replica(world, f"rollout-{rollout}-{number}")
                    took.append(end_within(old.program, GRACE))
                load.goes_on(4 * CLIENTS, 30)
    return f"ended in {_list(took)} s; {load}"


def gateway_ends_in_time(world: E2EWorld) -> str:
    """A gateway ends within its grace time with a stuck download and a WebSocket, which is closed with 1012."""
    _needs_websockets()
    told = []
    with _replaceable_gateway(world, SHORT_GRACE), world.running_agent(*_grace(SHORT_GRACE), elects=True):
        with websocket_peer.application(world, "gateway-ends", WEBSOCKET_HOST), _route(world, "gateway-ends-load"):
            with _load(world) as load, _open_for_ever(world) as websocket:
                asked = time.monotonic()
                replace_gateway(world, "gateway-in-time", SHORT_GRACE, SHORT_GRACE)
                told.append(_expect_told(websocket, asked))
            # And where nobody takes over, and nothing else is under way.
            with _open_for_ever(world) as websocket:
                asked = time.monotonic()
                end_within(world.gateway, SHORT_GRACE)
                told.append(_expect_told(websocket, asked))
            world.start_gateway()
    return f"1012 after {_list(told)} of {SHORT_GRACE:g} s; {load}"


def agent_ends_in_time(world: E2EWorld) -> str:
    """An agent ends within its grace time with a stuck download and a WebSocket, which is closed with 1012."""
    _needs_websockets()
    with _replicas(world):
        old = _replica(world, "in-time-0", SHORT_GRACE)
        with websocket_peer.application(world, "agent-ends", WEBSOCKET_HOST), _route(world, "agent-ends-load"):
            with _load(world) as load, _open_for_ever(world) as websocket:
                _replica(world, "in-time-1")
                asked = time.monotonic()
                end_within(old.program, SHORT_GRACE)
                told = _expect_told(websocket, asked)
    return f"1012 after {told:.1f} of {SHORT_GRACE:g} s; {load}"


def agent_ends_without_api_server(world: E2EWorld) -> str:
    """A leader that gets no answer from the API server any more ends within its grace time all the same."""
    _needs_websockets()
    with world.relayed() as (relay, kubeconfig), _replicas(world):
        leader = _replica(world, "cut-off", SHORT_GRACE / 2, kubeconfig)
        with websocket_peer.application(world, "cut-off", WEBSOCKET_HOST), _route(world, "cut-off-load"):
            with _open_for_ever(world) as websocket:
                relay.freeze()
                asked = time.monotonic()
                took = end_within(leader.program, SHORT_GRACE / 2)
                told = _expect_told(websocket, asked, SHORT_GRACE / 2)
            # The next leader need not wait for the end of a lease that could not be let go of.
            namespace, name = world.lease.split("/")
            world.cluster.delete("Lease", namespace, name)
            _replica(world, "cut-off-successor")
            programmed(world, "cut-off-load", seconds=30)
    return f"ended in {took:.1f} s, 1012 after {told:.1f} s"


@contextmanager
def _open_for_ever(world: E2EWorld) -> Iterator[IdleWebSocket]:
    """A WebSocket whose client waits, and a download whose client does not read."""
    websocket = IdleWebSocket(world, WEBSOCKET_HOST)
    try:
        with stuck_download(world.front(HOST)):
            yield websocket
    finally:
        websocket.close()


def _expect_told(websocket: IdleWebSocket, asked: float, grace: float = SHORT_GRACE) -> float:
    """Expects that a WebSocket was closed with 1012 when nearly all of the grace time was over; returns how much."""
    code, at = websocket.end(2)
    expect_equal(code, 1012, f"close code of the WebSocket, {at - asked:.1f} s after the signal")
    expect(at - asked >= grace - GOODBYE_SECONDS, f"the WebSocket was closed after {at - asked:.1f} s")
    return at - asked


def _grace(seconds: float) -> tuple[str, str]:
    return ("--shutdown-grace", f"{seconds:g}s")


def _needs_websockets() -> None:
    if not websocket_peer.IS_INSTALLED:
        raise Skipped("the Python package websockets is not installed")


def _list(seconds: list[float]) -> str:
    return ", ".join(f"{each:.1f}" for each in seconds)


CHECKS = [
    gateway_replaced, agents_replaced, gateway_ends_in_time, agent_ends_in_time,
    agent_ends_without_api_server,
]

"""Putting a new process in the place of one that runs, while requests go on."""

from __future__ import annotations

import time

from .http_client import RawExchange, Server
from .processes import Program
from .waiting import expect
from .world import World

START_SECONDS = 20.0
# A successor's front door opens when agents have sent their routes, and not later than this.
_SUCCESSOR = ("--reuse-port", "--warm-up", "15s", "--admin-listen", "127.0.0.1:0")


def end_within(program: Program, grace: float) -> float:
    """Asks a program to end, and expects that it does so cleanly within its grace time; returns the time it took."""
    asked = time.monotonic()
    program.ask_to_stop()
    status = program.wait(grace)
    took = time.monotonic() - asked
    expect(status == 0, f"{program.name} ended with status {status} when asked to stop: {program.log.tail(3)}")
    return took


def start_gateway_to_replace(world: World, grace: float) -> None:
    """Starts the gateway in the usual one's place, so that another can take over its ports."""
    end_within(world.gateway, 5)
    world.start_gateway("--reuse-port", "--shutdown-grace", f"{grace:g}s")


def replace_gateway(world: World, name: str, own_grace: float, grace: float) -> float:
    """Starts a gateway on the ports of the one that runs, and ends that one within its own grace time.

    Returns the time that took. The new one's grace time is the last argument.
    """
    old = world.gateway
    new = world.launch_gateway(*_SUCCESSOR, "--shutdown-grace", f"{grace:g}s", name=name)
    # From here on it takes agents; requests come to it when it has their routes.
    new.log.wait_for("Listening", START_SECONDS, lambda line: line["listener"] == "agent", after=new.first_line)
    world.gateway = new
    took = end_within(old, own_grace)
    world.wait_gateway()
    return took


def stuck_download(server: Server) -> RawExchange:
    """A download of 1 GiB whose client has read the head of the answer and reads nothing more."""
    request = f"GET /bytes/{1 << 30} HTTP/1.1\r\nHost: {server.host}\r\n\r\n"
    exchange = RawExchange(server, request.encode())
    status, _ = exchange.head()
    expect(status == 200, f"the download was answered {status}")
    return exchange

"""Many agents at one gateway: what an idle tunnel costs, and how they all come back when the gateway was killed."""

from __future__ import annotations

import hashlib
import math
import resource
import secrets
import shutil
import time
import uuid
from contextlib import contextmanager
from typing import Iterator, Optional, Sequence

from demo.processes import Program
from demo.waiting import expect, expect_equal, wait_until

from . import usage
from .figures import Figures
from .options import BenchOptions
from .traffic import TrafficWorld

IDLE_TUNNELS = 500
IDLE_BOUND = 32.0
# Longer than a heartbeat and some canaries.
SETTLE_SECONDS = 15.0

AGENTS = 2000
# Open files of a process that are no tunnels.
OTHER_FILES = 100
RECONNECT_BOUND = 60.0
# The gateway's default.
ACCEPT_RATE = 200
# Of the rate, in any one second.
HERD_BOUND = 1.5
# Coming back that takes longer is given up.
PATIENCE = 180.0


def measure_idle(world: TrafficWorld, _: BenchOptions, figures: Figures) -> None:
    for tls in (False, True):
        _measure_idle(world, figures, tls)


def _measure_idle(world: TrafficWorld, figures: Figures, tls: bool) -> None:
    name, title = ("idle_tls", "Idle tunnel, TLS") if tls else ("idle", "Idle tunnel")
    figures.phase(f"{IDLE_TUNNELS} idle tunnels, {'TLS' if tls else 'plain text'}")
    with _swarm(world, IDLE_TUNNELS) as swarm:
        gateway = swarm.start_gateway(tls)
        before = usage.anonymous(gateway.pid)
        agents = swarm.start_agents(tls)
        swarm.wait_connected(agents, agents.first_line)
        time.sleep(SETTLE_SECONDS)
        began, spent = time.monotonic(), usage.precise_cpu_seconds([gateway.pid])
        time.sleep(SETTLE_SECONDS)
        spent = usage.precise_cpu_seconds([gateway.pid]) - spent
        took = time.monotonic() - began
        after = usage.anonymous(gateway.pid)
        expect_equal(swarm.connected(agents), IDLE_TUNNELS, "tunnels still connected once they were measured")
        figures.add(
            f"{name}_kib", (after - before) * 1024 / IDLE_TUNNELS, "KiB",
            f"{title}: memory (RssAnon) of the gateway, each of {IDLE_TUNNELS}", None if tls else IDLE_BOUND)
        figures.add(
            f"{name}_gateway_mib", before, "MiB", f"{title}: memory (RssAnon) of the gateway without any")
        figures.add(
            f"{name}_cpu_percent", 100 * spent / took, "%",
            f"{title}: CPU of the gateway with {IDLE_TUNNELS}, share of a core")


def measure_reconnect(world: TrafficWorld, _: BenchOptions, figures: Figures) -> None:
    count = min(AGENTS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHER_FILES)
    figures.phase(f"{count} agents, and a gateway that is killed and started again")
    expect(count > 0, f"a process may have no more than {OTHER_FILES} files open: no agents can be had")
    figures.add(
        "reconnect_agents", count, "", "Agents that reconnect, as many as a process may have files open for", AGENTS,
        at_least=True)
    with _swarm(world, count) as swarm:
        gateway = swarm.start_gateway()
        started = time.time()
        agents = swarm.start_agents()
        _report_arrival(swarm, gateway, agents, started, figures, "connect", "First connection", None)
        killed = time.time()
        gateway.kill()
        mark = agents.log.mark()
        gateway = swarm.start_gateway()
        # Lines of before the gateway's end may still say that all are connected.
        wait_until(
            "the agents have noticed the gateway's end", PATIENCE,
            lambda: any(int(entry["connected"]) < count for entry in agents.log.entries("Swarm", after=mark)),
            pause=0.2)
        _report_arrival(swarm, gateway, agents, killed, figures, "reconnect", "Gateway restarted", RECONNECT_BOUND)


def _report_arrival(
    swarm: Swarm, gateway: Program, agents: Program, since: float, figures: Figures, name: str, title: str,
    bound: Optional[float],
) -> None:
    """Waits until all agents are connected, and reports when each was accepted."""
    mark = agents.log.mark()
    swarm.wait_connected(agents, mark)
    first = gateway.first_line
    established = [
        entry.time.timestamp() - since for entry in gateway.log.entries("Tunnel established", after=first)]
    accepted = [entry.time.timestamp() - since for entry in gateway.log.entries("Tunnel accepted", after=first)]
    expect(
        len(established) >= swarm.count,
        f"{gateway.log.path} tells of {len(established)} tunnels, and {swarm.count} agents are connected")
    seconds = max(established)
    figures.note(f"{name}_histogram", " ".join(map(str, histogram(accepted))))
    figures.add(f"{name}_s", seconds, "s", f"{title}: until all of {swarm.count} are connected", bound)
    figures.add(
        f"{name}_largest_second", most_within(accepted, 1.0), "", f"{title}: accepted in any one second, most",
        ACCEPT_RATE * HERD_BOUND)
    refused = usage.Metrics(swarm.admin_port).sum("gateway_tunnel_accepts_total") - len(accepted)
    figures.add(f"{name}_refused", refused / swarm.count, "", f"{title}: refusals (come again later) per agent")
    figures.add(f"{name}_tunnels", len(accepted) / swarm.count, "", f"{title}: tunnels accepted per agent")


def histogram(moments: Sequence[float]) -> list[int]:
    """How many moments lie in each second, from the first second of all on."""
    counts = [0] * (math.floor(max(moments, default=-1.0)) + 1)
    for moment in moments:
        counts[max(0, math.floor(moment))] += 1
    return counts


def most_within(moments: Sequence[float], seconds: float) -> int:
    """How many moments lie within a span of this length, wherever it begins."""
    ordered, first, most = sorted(moments), 0, 0
    for index, moment in enumerate(ordered):
        while moment - ordered[first] >= seconds:
            first += 1
        most = max(most, index - first + 1)
    return most


class Swarm:
    """A gateway that knows a number of clusters, and the program that runs an agent of each."""

    def __init__(self, world: TrafficWorld, count: int) -> None:
        self._world = world
        self.count = count
        self._gateway: Optional[Program] = None
        self._agents: Optional[Program] = None
        self.admin_port = world.gateway_admin_port
        self._clusters = world.workspace.directory / "swarm-clusters.yaml"
        self._tokens = world.workspace.directory / "swarm-tokens"
        shutil.rmtree(self._tokens, ignore_errors=True)
        self._tokens.mkdir(mode=0o700)
        lines = ["clusters:"]
        for _ in range(count):
            cluster, token = str(uuid.uuid4()), secrets.token_urlsafe(32)
            (self._tokens / cluster).write_text(token, encoding="ascii")
            lines += [f"  - uuid: {cluster}", f"    tokenSHA256: {hashlib.sha256(token.encode()).hexdigest()}"]
        world.workspace.write_secret(self._clusters, "\n".join(lines) + "\n")

    def start_gateway(self, tls: bool = False) -> Program:
        """Starts the gateway with its defaults, also again after its end: the ports stay."""
        self._gateway = self._world.start_gateway_alone(tls, self._clusters)
        return self._gateway

    def start_agents(self, tls: bool = False) -> Program:
        world = self._world
        authority = str(world.workspace.certificates / "ca.crt")
        dials = ["--gateway-url", f"ws://127.0.0.1:{world.tunnel_port}"]
        if tls:
            dials = ["--gateway-url", f"wss://localhost:{world.tunnel_port}", "--gateway-ca-file", authority]
        self._agents = world.processes.start(
            "swarm", [world.binary("tunnel-swarm"), *dials, "--tokens", str(self._tokens)])
        return self._agents

    def end(self) -> None:
        if self._agents:
            self._agents.kill()
        if self._gateway:
            expect_equal(self._world.processes.stop(self._gateway), 0, "exit status of the gateway when asked to stop")

    def connected(self, agents: Program) -> int:
        """How many agents were connected when the swarm last said so."""
        told = agents.log.entries("Swarm", after=agents.first_line)
        return int(told[-1]["connected"]) if told else 0

    def wait_connected(self, agents: Program, after: int) -> None:
        """Returns when the swarm says, in a line after this one, that all its agents are connected."""

        def all_are() -> bool:
            if agents.exit_status() is not None:
                raise RuntimeError(f"tunnel-swarm ended with {agents.exit_status()}:\n{agents.log.tail(5)}")
            told = agents.log.entries("Swarm", after=after)
            expect(told and int(told[-1]["connected"]) == self.count, f"{self.connected(agents)} connected")
            return True

        wait_until(f"all {self.count} agents are connected", PATIENCE, all_are, pause=0.2)


@contextmanager
def _swarm(world: TrafficWorld, count: int) -> Iterator[Swarm]:
    """A swarm whose programs end with the block."""
    swarm = Swarm(world, count)
    yield swarm
    # Where the block fails everything ends.
    swarm.end()

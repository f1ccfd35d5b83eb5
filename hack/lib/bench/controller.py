"""The agent with many Ingresses: how fast it starts, follows changes, and what it costs."""

from __future__ import annotations

import time
from typing import Optional

from demo.processes import Program
from demo.waiting import expect, wait_until

from . import usage
from .churn import Churn
from .figures import Figures, percentile
from .options import BenchOptions
from .watching import ObjectWatch, RouteWatch
from .world import BenchWorld

FIRST_START_BOUND = 60.0
RESTART_BOUND = 10.0
WRITES_BOUND = 2.0
MEMORY_BOUND = 150.0
LATENCY_BOUND = 500.0
IDLE_BOUND = 1.0
IDLE_SECONDS = 30.0
# A start that takes longer is given up.
PATIENCE = 300.0


def run(options: BenchOptions, figures: Figures) -> None:
    world = BenchWorld(options)
    try:
        ControllerBenchmark(options, figures, world).run()
    finally:
        problems = world.end()
    expect(not problems, "; ".join(problems))


class ControllerBenchmark:
    def __init__(self, options: BenchOptions, figures: Figures, world: BenchWorld) -> None:
        self._options = options
        self._figures = figures
        self._world = world
        self._worst_memory = 0.0
        # Changes of the agent's Lease, and how many there had been when the agent was started.
        self._lease: ObjectWatch
        self._renewals = 0

    def run(self) -> None:
        world, objects = self._world, self._options.objects
        self._figures.phase(f"Creating {objects} Services and {objects} Ingresses")
        world.start_cluster()
        world.prepare_cluster()
        began = time.monotonic()
        world.fill(objects)
        self._figures.add("create_s", time.monotonic() - began, "s", "Creating the Services and Ingresses")
        world.start_gateway()
        watch = RouteWatch(world.cluster, world.namespace)
        self._lease = ObjectWatch(world.cluster, "Lease", world.namespace)
        try:
            self._first_start(watch)
            self._restart(watch)
            self._idle()
            self._changes(watch)
        finally:
            watch.close()
            self._lease.close()
        self._figures.add(
            "memory_worst_mib", self._worst_memory, "MiB", "Memory (RSS) of the agent, worst of all moments",
            MEMORY_BOUND)

    # Phases

    def _first_start(self, watch: RouteWatch) -> None:
        self._figures.phase("First start: no GatewayRoutes")
        began, agent = self._start()
        self._wait_acknowledged(agent)
        self._figures.add(
            "first_start_acknowledged_s", time.monotonic() - began, "s", "First start: all routes acknowledged",
            FIRST_START_BOUND)
        objects = self._options.objects
        wait_until(
            "all GatewayRoutes are programmed", PATIENCE,
            lambda: watch.broken or agent.exit_status() is not None or watch.programmed >= objects)
        self._expect_alive(agent, watch)
        self._figures.add(
            "first_start_programmed_s", watch.last_programmed - began, "s",
            "First start: all GatewayRoutes Programmed", FIRST_START_BOUND)
        self._cpu("first_start", agent)
        self._settle(agent)
        self._figures.add(
            "first_start_writes_per_route", self._patches() / objects, "", "First start: writes per GatewayRoute",
            WRITES_BOUND)
        self._figures.add(
            "first_start_changes_per_route", watch.changes / objects, "",
            "First start: changes per GatewayRoute seen by a watch", WRITES_BOUND)
        self._figures.add(
            "first_start_events", self._metrics().sum("rest_client_requests_total", method="POST"), "",
            "First start: Events, and the Lease")
        self._memory("first_start", "First start", agent)

    def _restart(self, watch: RouteWatch) -> None:
        self._figures.phase("Restart: GatewayRoutes in place")
        changes = watch.changes
        began = time.monotonic()
        expect(self._world.processes.stop(self._world.agent) == 0, "the agent did not stop as asked")
        self._figures.add("stop_s", time.monotonic() - began, "s", "Stopping the agent")
        # The watch has shown the release of the Lease, too.
        time.sleep(0.5)
        began, agent = self._start()
        self._wait_acknowledged(agent)
        self._figures.add(
            "restart_acknowledged_s", time.monotonic() - began, "s", "Restart: all routes acknowledged", RESTART_BOUND)
        wait_until("the agent is ready", PATIENCE, self._world.agent_is_ready)
        self._figures.add("restart_ready_s", time.monotonic() - began, "s", "Restart: ready", RESTART_BOUND)
        self._cpu("restart", agent)
        self._settle(agent)
        self._figures.add("restart_writes", self._patches(), "", "Restart: writes of GatewayRoutes", 0)
        self._figures.add(
            "restart_changes", watch.changes - changes, "", "Restart: changes of GatewayRoutes seen by a watch", 0)
        self._memory("restart", "Restart", agent)

    def _idle(self) -> None:
        self._figures.phase(f"Idle for {IDLE_SECONDS:g} s")
        agent = self._world.agent
        before, began = usage.cpu_seconds(agent.pid), time.monotonic()
        requests = self._metrics().sum("rest_client_requests_total")
        time.sleep(IDLE_SECONDS)
        spent = usage.cpu_seconds(agent.pid) - before
        share = 100 * spent / (time.monotonic() - began)
        self._figures.add("idle_cpu_percent", share, "%", "Idle: CPU of the agent, share of a core", IDLE_BOUND)
        self._figures.add(
            "idle_requests", self._metrics().sum("rest_client_requests_total") - requests, "",
            "Idle: requests to the API server (Lease)")
        expect(self._world.agent_is_ready(), "the agent is not ready while idle")

    def _changes(self, watch: RouteWatch) -> None:
        options, agent = self._options, self._world.agent
        self._figures.phase(f"{options.rate:g} changes a second for {options.duration:g} s")
        changes, patches = watch.changes, self._patches()
        cpu, began = usage.cpu_seconds(agent.pid), time.monotonic()
        churn = Churn(self._world, watch, options.objects, options.rate, options.duration)
        churn.run()
        cpu, took = usage.cpu_seconds(agent.pid) - cpu, time.monotonic() - began
        self._expect_alive(agent, watch)
        add = self._figures.add
        add("changes_rate", churn.rate, "1/s", "Changes: rate achieved", 0.98 * options.rate, at_least=True)
        add("changes_lateness_ms", 1000 * churn.lateness, "ms", "Changes: latest sent after it was due")
        add("changes_lost", churn.lost, "", "Changes: never shown as Programmed", 0)
        latencies = [1000 * seconds for seconds in churn.latencies]
        expect(latencies, "no change was ever shown as programmed")
        for name, share, bound in (("p50", 0.5, None), ("p90", 0.9, None), ("p99", 0.99, LATENCY_BOUND)):
            add(f"changes_{name}_ms", percentile(latencies, share), "ms", f"Changes: answered to Programmed, {name}",
                bound)
        add("changes_max_ms", max(latencies), "ms", "Changes: answered to Programmed, slowest")
        count = len(churn.changes)
        add("changes_writes", (self._patches() - patches) / count, "", "Changes: writes per change")
        add("changes_written", (watch.changes - changes) / count, "",
            "Changes: changes of GatewayRoutes per change, seen by a watch")
        add("changes_cpu_percent", 100 * cpu / took, "%", "Changes: CPU of the agent, share of a core")
        self._memory("changes", "Changes", agent)

    # Plumbing

    def _start(self) -> tuple[float, Program]:
        self._renewals = self._lease.updates
        began = time.monotonic()
        return began, self._world.start_agent_as_installed()

    def _wait_acknowledged(self, agent: Program) -> None:
        objects = self._options.objects

        def acknowledged() -> bool:
            entries = agent.log.entries("Ingress routes acknowledged", after=agent.first_line)
            expect(agent.exit_status() is None, f"the agent ended:\n{agent.log.tail(3)}")
            return sum(int(entry["accepted"]) for entry in entries) >= objects

        wait_until("all routes are acknowledged", PATIENCE, acknowledged, pause=0.05)

    def _expect_alive(self, agent: Program, watch: Optional[RouteWatch] = None) -> None:
        expect(agent.exit_status() is None, f"the agent ended:\n{agent.log.tail(3)}")
        expect(watch is None or watch.broken is None, f"the watch of GatewayRoutes broke: {watch and watch.broken}")

    def _settle(self, agent: Program) -> None:
        """Waits until nothing is going on in the agent but what always is: late Events, for example."""
        seconds, quiet = 1.0, 0

        def is_quiet() -> bool:
            nonlocal quiet
            before = usage.cpu_seconds(agent.pid)
            time.sleep(seconds)
            quiet = quiet + 1 if usage.cpu_seconds(agent.pid) - before <= 0.02 * seconds else 0
            return quiet >= 3

        wait_until("the agent has nothing left to do", 120, is_quiet)

    def _patches(self) -> float:
        """Writes that the agent has sent since its start: its PATCH requests but for those that renewed its Lease.

        Unlike what a watch shows, this counts those that changed nothing.
        """
        patches = self._metrics().sum("rest_client_requests_total", method="PATCH")
        return max(0.0, patches - (self._lease.updates - self._renewals))

    def _metrics(self) -> usage.Metrics:
        return usage.Metrics(self._world.agent_admin_port)

    def _cpu(self, name: str, agent: Program) -> None:
        self._figures.add(
            f"{name}_cpu_s", usage.cpu_seconds(agent.pid), "s", f"{name.replace('_', ' ').capitalize()}: CPU spent")

    def _memory(self, name: str, title: str, agent: Program) -> None:
        steady, peak = usage.resident(agent.pid), usage.peak_resident(agent.pid)
        self._figures.add(f"{name}_memory_mib", steady, "MiB", f"{title}: memory (RSS) afterwards")
        self._figures.add(f"{name}_memory_peak_mib", peak, "MiB", f"{title}: memory (RSS) at most since the start")
        self._worst_memory = max(self._worst_memory, steady, peak)

"""What one tunnel does under stress, streams that stall, budgets that are used up, a long way; and what many cost.

Each measure is a module with a function `measure` that starts the gateway and agent it needs and ends them.
"""

from __future__ import annotations

from typing import Callable

from . import budget, fairness, fat_pipe, swarm
from .figures import Figures
from .options import BenchOptions
from .traffic import TrafficWorld, traffic_world

MEASURES: dict[str, Callable[[TrafficWorld, BenchOptions, Figures], None]] = {
    "fairness": fairness.measure,
    "budget": budget.measure,
    "fat-pipe": fat_pipe.measure,
    "idle": swarm.measure_idle,
    "reconnect": swarm.measure_reconnect,
}


def run(options: BenchOptions, figures: Figures) -> None:
    with traffic_world(options, figures) as world:
        figures.phase("Starting cluster and backends")
        world.start_backends()
        for name, measure in MEASURES.items():
            if not options.only or name in options.only:
                measure(world, options, figures)

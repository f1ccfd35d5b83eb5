"""The figures of a benchmark: a table for people and one line of JSON for programs."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass
from typing import Optional, Sequence

from . import machine


@dataclass(frozen=True)
class Figure:
    name: str
    value: float
    unit: str
    what: str
    # The most that is allowed (or the least, where `at_least`); without one the figure is only information.
    bound: Optional[float] = None
    at_least: bool = False
    # The lowest and the highest of the rounds, where `value` is their median.
    spread: Optional[tuple[float, float]] = None

    @property
    def holds(self) -> Optional[bool]:
        if self.bound is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound


class Figures:
    """Collects figures, each of which is told as soon as it is known."""

    def __init__(self, benchmark: str) -> None:
        self._benchmark = benchmark
        self._figures: list[Figure] = []
        self._notes: dict[str, str] = {}

    def add(
        self, name: str, value: float, unit: str, what: str, bound: Optional[float] = None, at_least: bool = False,
        spread: Optional[tuple[float, float]] = None,
    ) -> None:
        if spread:
            spread = round(spread[0], 4), round(spread[1], 4)
        figure = Figure(name, round(value, 4), unit, what, bound, at_least, spread)
        self._figures.append(figure)
        print(f"  {_row(figure)}", flush=True)

    def add_rounds(
        self, name: str, values: Sequence[float], unit: str, what: str, bound: Optional[float] = None,
        at_least: bool = False,
    ) -> None:
        """What was measured several times: the median, with how far the rounds lie apart."""
        self.add(name, statistics.median(values), unit, what, bound, at_least, (min(values), max(values)))

    def note(self, name: str, text: str) -> None:
        """Something that the figures cannot be understood without, and that is not a number."""
        self._notes[name] = text
        print(f"  {name.replace('_', ' ')}: {text}", flush=True)

    @staticmethod
    def phase(text: str) -> None:
        print(text, flush=True)

    @property
    def missed(self) -> list[Figure]:
        return [figure for figure in self._figures if figure.holds is False]

    def print(self, options: dict[str, object], problem: Optional[str]) -> None:
        """The table, and the JSON object as the last line."""
        where = machine.describe()
        print(f"\n{self._benchmark}: {where['cpu']}, {where['cores']} cores, {where['memory_mib']} MiB, "
              f"Linux {where['kernel']}, commit {where['commit']}")
        for figure in self._figures:
            print(_row(figure))
        for figure in self.missed:
            value = f"{_number(figure.value)} {figure.unit}".rstrip()
            print(f"MISSED: {figure.what}: {value}, bound {_number(figure.bound or 0)}")
        document = {
            "benchmark": self._benchmark,
            "passed": not self.missed and not problem,
            "problem": problem,
            "options": options,
            "notes": self._notes,
            "figures": {
                figure.name: {
                    "value": figure.value, "unit": figure.unit, "bound": figure.bound,
                    "bound_is": None if figure.bound is None else "minimum" if figure.at_least else "maximum",
                    "holds": figure.holds,
                    "spread": figure.spread,
                }
                for figure in self._figures
            },
            "machine": where,
        }
        print(json.dumps(document), flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _row(figure: Figure) -> str:
    bound = ""
    if figure.bound is not None:
        sign = ">=" if figure.at_least else "<="
        bound = f"{sign} {_number(figure.bound):<8} {'ok' if figure.holds else 'MISSED'}"
    spread = f"({_number(figure.spread[0])} to {_number(figure.spread[1])})" if figure.spread else ""
    return f"{figure.what:<58} {_number(figure.value):>10} {figure.unit:<8} {bound:<18} {spread}".rstrip()


def _number(value: float) -> str:
    if value == int(value):
        return f"{int(value)}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"

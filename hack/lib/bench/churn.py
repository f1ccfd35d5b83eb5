"""Changing Ingresses at a fixed rate, and how long each change takes to be served."""

from __future__ import annotations

import queue
import random
import threading
import time
from dataclasses import dataclass
from typing import Optional

from demo.cluster import ApiError
from demo.manifests import Object
from demo.waiting import expect

from .watching import RouteWatch
from .world import BenchWorld, application, ingress

WRITERS = 16
# How long after the last change the slowest may take before it counts as lost.
PATIENCE = 30.0


@dataclass
class Change:
    index: int
    path: str
    service: str
    due: float
    sent: float = 0.0
    answered: Optional[float] = None
    shown: Optional[float] = None

    def is_shown_by(self, item: Object) -> bool:
        return any(
            route["path"] == self.path and route["service"] == self.service
            for route in item.get("status", {}).get("routes") or [])


class Churn:
    """An open loop: a change is due when it is due, however slow the answers to those before it are."""

    def __init__(self, world: BenchWorld, watch: RouteWatch, objects: int, rate: float, duration: float) -> None:
        self._world = world
        self._watch = watch
        self._count = max(1, round(rate * duration))
        self._rate = rate
        self._order = random.Random(1).sample(range(objects), objects)
        self._objects = objects
        # The change that each GatewayRoute is waited for, by name.
        self._awaited: dict[str, Change] = {}
        self._failures: list[str] = []
        self.changes: list[Change] = []

    def run(self) -> None:
        """Makes all changes and waits until each is shown, or has taken too long."""
        self._watch.tell(self._shown)
        due: queue.Queue[Optional[Change]] = queue.Queue()
        threads = [threading.Thread(target=self._write, args=(due,), daemon=True) for _ in range(WRITERS)]
        for thread in threads:
            thread.start()
        start = time.monotonic() + 0.1
        for number in range(self._count):
            change = self._change(number, start + number / self._rate)
            time.sleep(max(0.0, change.due - time.monotonic()))
            self.changes.append(change)
            due.put(change)
        for _ in threads:
            due.put(None)
        for thread in threads:
            thread.join()
        deadline = time.monotonic() + PATIENCE
        while any(change.shown is None for change in self.changes) and time.monotonic() < deadline:
            expect(self._watch.broken is None, f"the watch of GatewayRoutes broke: {self._watch.broken}")
            time.sleep(0.02)
        self._watch.tell(None)
        expect(not self._failures, f"{len(self._failures)} changes failed; the first: {self._failures[:1]}")

    @property
    def rate(self) -> float:
        """Changes a second that the API server has answered, over the time in which they were made."""
        answered = [change.answered for change in self.changes if change.answered is not None]
        return len(answered) / (max(answered) - self.changes[0].due + 1 / self._rate)

    @property
    def lateness(self) -> float:
        """Seconds by which the latest change was sent after it was due."""
        return max(change.sent - change.due for change in self.changes)

    @property
    def latencies(self) -> list[float]:
        """Seconds from the answer to each change to its being shown as programmed."""
        return [
            change.shown - change.answered
            for change in self.changes if change.shown is not None and change.answered is not None
        ]

    @property
    def lost(self) -> int:
        return sum(change.shown is None for change in self.changes)

    def _change(self, number: int, due: float) -> Change:
        """In turn another path, and another path with another Service."""
        index = self._order[number % self._objects]
        service = index if number % 2 == 0 else (index + 1) % self._objects
        return Change(index, f"/v{number}", application(service), due)

    def _write(self, due: queue.Queue[Optional[Change]]) -> None:
        namespace = self._world.namespace
        while (change := due.get()) is not None:
            name = application(change.index)
            self._awaited[name] = change
            change.sent = time.monotonic()
            try:
                self._world.cluster.patch(
                    "Ingress", namespace, name,
                    {"spec": ingress(namespace, change.index, change.path, change.service)["spec"]})
                change.answered = time.monotonic()
            except ApiError as failure:
                self._failures.append(str(failure))

    def _shown(self, name: str, item: Object, now: float) -> None:
        change = self._awaited.get(name)
        if change and change.shown is None and change.is_shown_by(item):
            change.shown = now

"""Following GatewayRoutes as the API server tells of them."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Callable, Optional

from demo.cluster import Cluster, condition
from demo.manifests import Object


class RouteWatch:
    """Watches the GatewayRoutes of a namespace in a thread of its own.

    Counts what the API server saw of writes that changed something, and which GatewayRoutes are programmed.
    """

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._response, self._connection = cluster.watch("GatewayRoute", namespace)
        self._lock = threading.Lock()
        self._programmed: dict[str, float] = {}
        self._on_change: Optional[Callable[[str, Object, float], None]] = None
        self.changes = 0
        self.broken: Optional[str] = None
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def programmed(self) -> int:
        """How many GatewayRoutes the watch has shown with `Programmed` true."""
        return len(self._programmed)

    @property
    def last_programmed(self) -> float:
        """When the last of them was shown so for the first time."""
        return max(self._programmed.values())

    def tell(self, on_change: Optional[Callable[[str, Object, float], None]]) -> None:
        """Calls with each GatewayRoute that is programmed: name, object and the moment of its arrival."""
        with self._lock:
            self._on_change = on_change

    def close(self) -> None:
        self._connection.close()

    def _run(self) -> None:
        try:
            while True:
                line = self._response.readline()
                now = time.monotonic()
                if not line:
                    self.broken = "the API server ended the watch"
                    return
                event = json.loads(line)
                if event["type"] == "ERROR":
                    self.broken = str(event["object"].get("message"))
                    return
                self._take(event["object"], now)
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as failure:
            self.broken = repr(failure)

    def _take(self, item: Object, now: float) -> None:
        self.changes += 1
        if condition(item, "Programmed").get("status") != "True":
            return
        name = item["metadata"]["name"]
        self._programmed.setdefault(name, now)
        with self._lock:
            on_change = self._on_change
        if on_change:
            on_change(name, item, now)

"""Following objects as the API server tells of them."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from typing import Callable, Optional

from demo.cluster import Cluster, condition
from demo.manifests import Object


class ObjectWatch:
    """Watches the objects of one kind in a namespace, in a thread of its own, and counts what changed them."""

    def __init__(self, cluster: Cluster, kind: str, namespace: str) -> None:
        self._response, connection = cluster.watch(kind, namespace)
        self._socket = connection.sock
        self.changes = 0
        # Those of them that changed what was there before.
        self.updates = 0
        self.broken: Optional[str] = None
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        """Ends the watch and its thread, which is reading: closing what is being read would wait for the next line."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            # The API server was quicker.
            pass

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
                self.changes += 1
                self.updates += event["type"] == "MODIFIED"
                self._take(event["object"], now)
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as failure:
            self.broken = repr(failure)

    def _take(self, item: Object, now: float) -> None:
        """An object has been created, changed or deleted."""


class RouteWatch(ObjectWatch):
    """Watches GatewayRoutes: which are programmed, and since when."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._lock = threading.Lock()
        self._programmed: dict[str, float] = {}
        self._on_change: Optional[Callable[[str, Object, float], None]] = None
        super().__init__(cluster, "GatewayRoute", namespace)

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

    def _take(self, item: Object, now: float) -> None:
        if condition(item, "Programmed").get("status") != "True":
            return
        name = item["metadata"]["name"]
        self._programmed.setdefault(name, now)
        with self._lock:
            on_change = self._on_change
        if on_change:
            on_change(name, item, now)

"""The programs under measurement, with the settings that an installation has, and the objects they work on."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from typing import Callable

from demo import interruption, manifests
from demo.cluster import ApiError
from demo.manifests import Object
from demo.processes import Program
from demo.world import ROOT, Options, World

from .options import BenchOptions

WRITERS = 4
# Attempts at deleting all objects of a kind.
DELETIONS = 20


class BenchWorld(World):
    """The demo's world, but for the settings that make the demo quick to look at."""

    def __init__(self, options: BenchOptions) -> None:
        super().__init__(
            Options(options.binaries, options.existing_kubeconfig, check=True), ROOT / ".bench", "gateway-bench")
        self._filled = False

    def start_agent_as_installed(self) -> Program:
        files = self.workspace
        self.agent = self.processes.start(
            "agent",
            [
                self.binary("pipeops-agent"), "--gateway-url", f"wss://localhost:{self.tunnel_port}",
                "--gateway-ca-file", str(files.certificates / "ca.crt"), "--token-file", str(files.token),
                "--kubeconfig", str(self.cluster.kubeconfig), "--allow-loopback-targets",
                "--admin-listen", f"127.0.0.1:{self.agent_admin_port}", "--log-format", "json",
                "--leader-elect-lease", f"{self.namespace}/pipeops-agent",
            ],
        )
        return self.agent

    def agent_is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.agent_admin_port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def fill(self, count: int) -> None:
        """Creates the Services and then the Ingresses, each with a host of its own."""
        self._filled = True
        self._each(count, lambda index: self.cluster.create(
            manifests.service(self.namespace, application(index), {"http": 8080})))
        self._each(count, lambda index: self.cluster.create(
            ingress(self.namespace, index, "/", application(index))))

    def _each(self, count: int, action: Callable[[int], object]) -> None:
        failures: list[Exception] = []

        def work(first: int) -> None:
            for index in range(first, count, WRITERS):
                if failures:
                    return
                try:
                    action(index)
                except ApiError as failure:
                    failures.append(failure)

        threads = [threading.Thread(target=work, args=(first,), daemon=True) for first in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def _delete_all(self, kind: str) -> list[str]:
        """Deletes all objects of a kind; a server that needs longer than a request may take goes on with the next."""
        for attempt in range(DELETIONS):
            try:
                self.cluster.delete_all(kind, self.namespace)
                return []
            except ApiError as failure:
                if failure.status or attempt == DELETIONS - 1:
                    return [str(failure)]
        return []

    def end(self) -> list[str]:
        """Stops everything; a cluster that is not ours is left as it was found."""
        problems: list[str] = []
        interruption.ignore_signals()
        if self.options.existing_kubeconfig:
            if hasattr(self, "agent") and self.agent.exit_status() is None:
                self.processes.stop(self.agent)
            if self._filled:
                for kind in ("Ingress", "Service", "GatewayRoute", "Event"):
                    problems += self._delete_all(kind)
            problems += self.clean_up()
        return problems + self.processes.stop_all()


def application(index: int) -> str:
    return f"app-{index:05}"


def host(index: int) -> str:
    return f"{application(index)}.bench.example.com"


def ingress(namespace: str, index: int, path: str, service: str) -> Object:
    return manifests.ingress(
        namespace, application(index), manifests.rule(host(index), manifests.path(path, service, 8080)))

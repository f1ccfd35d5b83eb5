"""A running pipeops-gateway, and clusters of its own for each test."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import secrets
import tempfile
import unittest
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from demo.ports import Ports, accepts
from demo.processes import Processes, Program
from demo.waiting import wait_until

from .front import Answer, request

try:
    from websockets.exceptions import InvalidStatus

    from .tunnel_agent.agent import Agent, Handler, not_found
except ModuleNotFoundError as error:
    raise unittest.SkipTest("the Python package websockets is not installed") from error
from .tunnel_agent.control import route

ROOT = Path(__file__).resolve().parents[2]
# hack/test builds it before it runs the tests.
BINARY = Path(os.environ.get("PIPEOPS_GATEWAY_BINARY", ROOT / ".build" / "debug" / "pipeops-gateway"))

_CLUSTERS = 200


@dataclass(frozen=True)
class Cluster:
    uuid: str
    token: str

    @property
    def host(self) -> str:
        return f"{self.uuid}.example.com"


class Gateway:
    """The program as a process of its own, in plain text on 127.0.0.1."""

    def __init__(self, **settings: str) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="interoperability-")
        files = Path(self._directory.name)
        self._clusters = [Cluster(f"c{index}", secrets.token_urlsafe(24)) for index in range(_CLUSTERS)]
        lines = ["clusters:"]
        for cluster in self._clusters:
            hashed = hashlib.sha256(cluster.token.encode()).hexdigest()
            lines += [f"  - uuid: {cluster.uuid}", f"    tokenSHA256: {hashed}"]
        (files / "clusters.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        ports = Ports(prefer_documented=False)
        self.front_port, self.tunnel_port, admin_port = ports.free(0), ports.free(0), ports.free(0)
        self._processes = Processes(files)
        options = {"heartbeat-interval": "200ms", "shutdown-grace": "5s", "log-level": "debug",
                   "rate-limit": "off", **settings}
        self.program: Program = self._processes.start(
            "gateway",
            [
                str(BINARY), "--listen", f"127.0.0.1:{self.front_port}", "--agent-listen",
                f"127.0.0.1:{self.tunnel_port}", "--admin-listen", f"127.0.0.1:{admin_port}", "--clusters-file",
                str(files / "clusters.yaml"), "--agent-plaintext", "--log-format", "json",
                *(part for name, value in options.items() for part in (f"--{name}", value)),
            ],
        )
        wait_until("the gateway listens", 20, self._is_up)

    def _is_up(self) -> bool:
        if self.program.exit_status() is not None:
            raise RuntimeError(f"the gateway ended: {self.program.log.tail(5)}")
        return accepts("127.0.0.1", self.front_port) and accepts("127.0.0.1", self.tunnel_port)

    def cluster(self) -> Cluster:
        """One that no other test uses."""
        return self._clusters.pop()

    def dial(self, cluster: Cluster, handler: Handler = not_found, **more: Any) -> Any:
        return Agent.dial(self.tunnel_port, cluster.token, more.pop("claim", cluster.uuid), handler, **more)

    async def request(self, host: str, target: str = "/", **more: Any) -> Answer:
        return await asyncio.wait_for(request(self.front_port, host, target, **more), 30)

    def stop(self) -> list[str]:
        problems = self._processes.stop_all()
        self._directory.cleanup()
        return problems


class GatewayTestCase(unittest.IsolatedAsyncioTestCase):
    """Tests of one class share a gateway."""

    gateway: Gateway

    @classmethod
    def setUpClass(cls) -> None:
        cls.gateway = Gateway()

    @classmethod
    def tearDownClass(cls) -> None:
        problems = cls.gateway.stop()
        if problems:
            raise AssertionError(problems)

    async def asyncSetUp(self) -> None:
        asyncio.get_running_loop().set_debug(False)
        self._contexts = contextlib.AsyncExitStack()
        self.addAsyncCleanup(self._contexts.aclose)

    async def dial(self, cluster: Cluster, handler: Handler = not_found, **more: Any) -> Agent:
        """A tunnel that lives until the test ends."""
        agent = await self._contexts.enter_async_context(self.gateway.dial(cluster, handler, **more))
        self.addCleanup(lambda: self.assertEqual(agent.failures, []))
        return agent

    async def serve(self, handler: Handler, **more: Any) -> tuple[Agent, str]:
        """An agent that serves one host, until the test ends."""
        cluster = more.pop("cluster", None) or self.gateway.cluster()
        agent = await self.dial(cluster, handler, **more)
        acknowledgement = await agent.sync([route(cluster.host)])
        self.assertEqual(acknowledgement, {"revision": 1, "accepted": 1, "rejected": []})
        return agent, cluster.host

    async def eventually(self, what: str, condition: Callable[[], Any], seconds: float = 10.0) -> Any:
        """Waits for a condition with a bound."""
        async def wait() -> Any:
            while not (value := condition()):
                await asyncio.sleep(0.005)
            return value

        try:
            return await asyncio.wait_for(wait(), seconds)
        except asyncio.TimeoutError:
            self.fail(f"{what}: not within {seconds} s")

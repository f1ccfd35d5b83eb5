"""Gateway and agent as processes, an embedded API server, and a recorder at the address of a Service."""

from __future__ import annotations

from pathlib import Path

from demo import manifests
from demo.cluster import Cluster
from demo.ports import Ports
from demo.waiting import CheckFailed, wait_until
from demo.world import Options, World

from .case import (
    BRIEF_HOST, CLIENT, HEADER_SECONDS, HOST, LIMITED_BYTES, LIMITED_HOST, PATH_HOST, REFUSED_HOST, STRIPPED_HOST,
    TRUSTED, Stage,
)
from .connection import Recorder

# Other than those of hack/demo and hack/e2e, which may run beside it.
SERVICE_ADDRESSES = "127.98.0.0/16"
# How long BRIEF_HOST's application has for the head of its answer.
BRIEF_SECONDS = 1
# Removed from every request, by the operator's wish.
OPERATOR_STRIPS = "x-operator-secret"


class WireWorld(World):
    """What the cases are run through."""

    def __init__(self, binaries: Path, directory: Path) -> None:
        super().__init__(Options(binaries, None, check=True), directory, "gateway-conformance")
        ports = Ports(prefer_documented=False)
        ports.take([
            self.api_port, self.front_port, self.tunnel_port, self.gateway_admin_port, self.agent_admin_port])
        self._port = ports.free(0)

    def open_stage(self) -> Stage:
        """Starts everything, and returns when requests reach the recorder."""
        self.start_api_server("devcluster", self.api_port, self.workspace.kubeconfig, SERVICE_ADDRESSES)
        self.cluster = Cluster(self.workspace.kubeconfig)
        self.cluster_uuid = self.cluster.get("Namespace", None, "kube-system")["metadata"]["uid"]
        self.prepare_cluster()
        self.start_gateway(
            "--trusted-proxies", f"{TRUSTED}/32", "--strip-request-headers", OPERATOR_STRIPS,
            "--header-timeout", f"{HEADER_SECONDS:g}s", "--h2c")
        # One tunnel: what was sent first arrives first, so that one can say that something did not arrive.
        self.agent = self.processes.start(
            "agent", [
                *self.agent_command(self.agent_admin_port, self.cluster.kubeconfig), "--no-leader-elect",
                "--tunnels", "1"])
        service = self.create(manifests.service(self.namespace, "recorder", {"http": self._port}))
        self.create(manifests.service(self.namespace, "nobody", {"http": self._port}))
        recorder = Recorder(service["spec"]["clusterIP"], self._port)
        self._expose("plain", HOST)
        self._expose("brief", BRIEF_HOST, annotations={"gateway.pipeops.io/response-timeout": f"{BRIEF_SECONDS}s"})
        self._expose(
            "stripped", STRIPPED_HOST, annotations={"gateway.pipeops.io/strip-request-headers": "Cookie, X-Secret"})
        self._expose(
            "limited", LIMITED_HOST, annotations={"gateway.pipeops.io/max-body-size": str(LIMITED_BYTES)})
        self._expose("path", PATH_HOST, path="/only")
        self._expose("refused", REFUSED_HOST, service="nobody")
        stage = Stage((CLIENT, self.front_port), recorder)
        for host in (HOST, BRIEF_HOST, STRIPPED_HOST, LIMITED_HOST, PATH_HOST, REFUSED_HOST):
            wait_until(f"{host} is served", 20, lambda host=host: self._is_served(stage, host))
        return stage

    def _expose(
        self, name: str, host: str, path: str = "/", service: str = "recorder",
        annotations: dict[str, str] | None = None,
    ) -> None:
        rule = manifests.rule(host, manifests.path(path, service, self._port))
        self.create(manifests.ingress(self.namespace, name, rule, annotations=annotations))

    @staticmethod
    def _is_served(stage: Stage, host: str) -> bool:
        """Whether the gateway has a route: it asks the application, or cannot reach it."""
        try:
            client = stage.client(f"GET /only HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            try:
                stage.asked(client=client)
                return True
            except CheckFailed:
                status = client.response().status
                if status not in (404, 503):
                    return True
                raise CheckFailed(f"{host} answers {status}") from None
        finally:
            stage.end()

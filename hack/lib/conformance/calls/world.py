"""Gateway and agent as processes, an embedded API server, and a server of gRPC at the address of a Service."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from typing import Iterable

import grpc
from demo import manifests
from demo.cluster import Cluster
from demo.ports import Ports
from demo.waiting import expect_equal, wait_until
from demo.world import Options, World

from .cases import HOST, REFUSED_HOST, TLS_HOST, UNTRUSTED_HOST, Stage, call
from .client import GrpcioClient, RawClient
from .server import Application

# Other than those of hack/demo, hack/e2e and hack/conformance http, which may run beside it.
SERVICE_ADDRESSES = "127.97.0.0/16"
CLIENT = "127.0.0.1"


class CallWorld(World):
    """What the calls go through."""

    def __init__(self, binaries: Path, directory: Path) -> None:
        super().__init__(Options(binaries, None, check=True), directory, "gateway-calls")
        ports = Ports(prefer_documented=False)
        ports.take([
            self.api_port, self.front_port, self.tunnel_port, self.gateway_admin_port, self.agent_admin_port])
        self._port = ports.free(0)

    def open_stage(self, front_flags: Iterable[str]) -> tuple[Application, Application]:
        """Starts everything, and returns the application, in plain text and by TLS, when calls reach it."""
        self.start_api_server("devcluster", self.api_port, self.workspace.kubeconfig, SERVICE_ADDRESSES)
        self.cluster = Cluster(self.workspace.kubeconfig)
        self.cluster_uuid = self.cluster.get("Namespace", None, "kube-system")["metadata"]["uid"]
        self.prepare_cluster()
        self.start_gateway(*front_flags)
        self.agent = self.processes.start(
            "agent", [*self.agent_command(self.agent_admin_port, self.cluster.kubeconfig), "--no-leader-elect"])
        item = manifests.service(self.namespace, "calls", {"calls": self._port})
        # One says by its port what it speaks, the other by an annotation.
        item["spec"]["ports"][0]["appProtocol"] = "grpc"
        service = self.create(item)
        application = Application(f"{service['spec']['clusterIP']}:{self._port}")
        self.create(manifests.service(self.namespace, "nobody", {"calls": self._port}))
        self._expose("calls", HOST, "calls")
        self._expose("refused", REFUSED_HOST, "nobody", {"gateway.pipeops.io/backend-protocol": "grpc"})
        secure = self._open_secure()
        stage = Stage(RawClient((CLIENT, self.front_port)), application)

        def is_served(host: str, code: int) -> bool:
            expect_equal(call(stage, "Echo", b"x", host=host)[1].code, code, f"the status of {host}")
            return True

        wait_until(f"{HOST} is served", 20, lambda: is_served(HOST, 0))
        wait_until(f"{TLS_HOST} is served", 20, lambda: is_served(TLS_HOST, 0))
        for host in (REFUSED_HOST, UNTRUSTED_HOST):
            wait_until(f"{host} is known", 20, lambda host=host: is_served(host, 14))
        return application, secure

    def _open_secure(self) -> Application:
        """The application by TLS, with a certificate for the Service that vouches for itself."""
        certificate, key = self.workspace.directory / "secure.crt", self.workspace.directory / "secure.key"
        name = f"secure.{self.namespace}.svc"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
             "-subj", "/CN=calls", "-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key),
             "-out", str(certificate)],
            check=True, capture_output=True)
        self.create({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"namespace": self.namespace, "name": "calls-authority"},
            "data": {"ca.crt": base64.b64encode(certificate.read_bytes()).decode()},
        })
        service = self.create(manifests.service(self.namespace, "secure", {"calls": self._port}))
        tls = {"gateway.pipeops.io/backend-protocol": "grpcs"}
        self._expose("tls", TLS_HOST, "secure", {**tls, "gateway.pipeops.io/backend-ca-secret": "calls-authority"})
        self._expose("untrusted", UNTRUSTED_HOST, "secure", tls)
        return Application(
            f"{service['spec']['clusterIP']}:{self._port}",
            grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())]))

    def clients(self, http2: bool) -> list[RawClient | GrpcioClient]:
        address = (CLIENT, self.front_port)
        return [RawClient(address), *([GrpcioClient(address)] if http2 else [])]

    def _expose(self, name: str, host: str, service: str, annotations: dict[str, str] | None = None) -> None:
        rule = manifests.rule(host, manifests.path("/", service, self._port))
        self.create(manifests.ingress(self.namespace, name, rule, annotations=annotations))

"""Gateway and agent as processes, an embedded API server, and the applications that clients talk to."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from demo import manifests
from demo.cluster import Cluster
from demo.http_client import Server
from demo.ports import Ports, accepts
from demo.processes import Program
from demo.waiting import expect, wait_until
from demo.world import ROOT, Options, World

# Other than those of hack/demo, hack/e2e and hack/conformance http, which may run beside it.
SERVICE_ADDRESSES = "127.99.0.0/16"
# The applications: `application.py`, `socket_application.py`, the demo's sample application as the backend of loads, and
# the echo that the Autobahn cases are run against.
APPLICATION, SOCKETS, LOAD, ECHO = "application", "socket-application", "load", "echo"
HOST, LOAD_HOST = "app.example.com", "load.example.com"
# A name that every client resolves without being told.
ECHO_HOST = "localhost"
# The sockets are below /socket.
HOSTS = {APPLICATION: HOST, SOCKETS: HOST, LOAD: LOAD_HOST, ECHO: ECHO_HOST}
# What a text that is a command to `socket_application.py` begins with.
COMMAND = "do: "
_WEBSOCKET = (
    ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="))


class ThroughWorld(World):
    """What the cases are run through: a front door without TLS and one with it."""

    def __init__(self, binaries: Path, directory: Path) -> None:
        super().__init__(Options(binaries, None, check=True), directory, "gateway-conformance")
        self._ports = Ports(prefer_documented=False)
        self._ports.take([
            self.api_port, self.front_port, self.tunnel_port, self.gateway_admin_port, self.agent_admin_port])
        self.tls_port = self._ports.free(0)
        self._addresses: dict[str, tuple[str, int]] = {}
        self._applications_started: list[Program] = []

    def open(self, *applications: str) -> None:
        """Starts everything and these applications, and returns when requests reach them."""
        self.start_api_server("devcluster", self.api_port, self.workspace.kubeconfig, SERVICE_ADDRESSES)
        self.cluster = Cluster(self.workspace.kubeconfig)
        self.cluster_uuid = self.cluster.get("Namespace", None, "kube-system")["metadata"]["uid"]
        self.prepare_cluster()
        self._write_credentials()
        self._make_front_certificate()
        self.start_gateway(
            "--listen-tls", f"127.0.0.1:{self.tls_port}", "--certificates", str(self._certificates), "--h2c")
        self.agent = self.processes.start(
            "agent", [*self.agent_command(self.agent_admin_port, self.cluster.kubeconfig), "--no-leader-elect"])
        for name in applications:
            self._start(name)
        if APPLICATION in applications:
            paths = [manifests.path("/", APPLICATION, self.direct(APPLICATION)[1])]
            if SOCKETS in applications:
                paths.append(manifests.path("/socket", SOCKETS, self.direct(SOCKETS)[1]))
            self.create(manifests.ingress(self.namespace, "app", manifests.rule(HOST, *paths)))
        for name, host in ((LOAD, LOAD_HOST), (ECHO, ECHO_HOST)):
            if name in applications:
                rule = manifests.rule(host, manifests.path("/", name, self.direct(name)[1]))
                self.create(manifests.ingress(self.namespace, name, rule))
        for name in applications:
            front, target = self.front(HOSTS[name]), "/socket" if name == SOCKETS else "/"
            # The echo answers nothing but this.
            wait_until(f"{name} is served", 20, lambda: front.get(target, _WEBSOCKET).status in (200, 101))

    def end(self) -> list[str]:
        """Ends everything, and returns what went wrong."""
        problems = [f"{program.name} ended by itself" for program in self.processes.ended_unasked()]
        for program in self._applications_started:
            program.kill()
        return problems + self.processes.stop_all()

    def direct(self, name: str) -> tuple[str, int]:
        """Where an application listens: what is asked there has no gateway before it."""
        return self._addresses[name]

    def direct_server(self) -> Server:
        return Server(*self._addresses[APPLICATION], HOST)

    # Names that clients are told

    def url(self, target: str = "/", host: str = HOST, tls: bool = False) -> str:
        port = self.tls_port if tls else self.front_port
        return f"{'https' if tls else 'http'}://{host}:{port}{target}"

    @property
    def authority_file(self) -> Path:
        """The authority of the front door's certificate, PEM."""
        return self._certificates.parent / "front" / "ca.crt"

    # Plumbing

    @property
    def _certificates(self) -> Path:
        return self.workspace.certificates / "served"

    def _make_front_certificate(self) -> None:
        folder = self.workspace.certificates / "front"
        made = self.processes.start(
            "front-certificate",
            [self.binary("devcluster"), "certificate", "--directory", str(folder),
             *(part for host in (HOST, LOAD_HOST, ECHO_HOST) for part in ("--name", host))])
        made.ended_on_purpose = True
        expect(made.wait(10) == 0, f"devcluster certificate failed: {made.log.tail(5)}")
        (self._certificates / "default").mkdir(parents=True)
        for file in ("tls.crt", "tls.key"):
            shutil.copy(folder / file, self._certificates / "default" / file)

    def _command(self, name: str, address: str, port: int) -> list[str]:
        if name == LOAD:
            return [self.binary("devcluster"), "sample-app", "--name", name, "--listen", f"{address}:{port}"]
        if name == ECHO:
            return [self.binary("websocket-echo"), "listen", "--address", address, "--port", str(port)]
        return [sys.executable, "-m", f"conformance.through.{name.replace('-', '_')}", address, str(port)]

    def _start(self, name: str) -> None:
        port = self._ports.free(0)
        service = self.create(manifests.service(self.namespace, name, {"http": port}))
        address = service["spec"]["clusterIP"]
        self._addresses[name] = address, port
        program = self.processes.start(
            name, self._command(name, address, port), {**os.environ, "PYTHONPATH": str(ROOT / "hack" / "lib")})
        self._applications_started.append(program)
        self._wait_started(program, name, lambda: accepts(address, port))

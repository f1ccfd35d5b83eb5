"""Gateway, agent and the backends they serve, set up to carry traffic as an operator would without further settings."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Iterator, Optional, Sequence

from demo import manifests
from demo.http_client import Server
from demo.ports import Ports, accepts, can_listen
from demo.processes import Program
from demo.waiting import CheckFailed, expect, expect_equal
from demo.world import ROOT

from .connecting import allow_many
from .figures import Figures
from .nginx import SMALL_BYTES, SMALL_PATH, UPLOAD_PATH, Address, NginxFolder
from .options import BenchOptions
from .world import BenchWorld

HOST = "bench.example.com"
START_SECONDS = 20.0


@dataclass(frozen=True)
class Pair:
    """A gateway and the agent that has dialled it."""

    gateway: Program
    agent: Program
    front: Server


class TrafficWorld(BenchWorld):
    """A cluster with one Ingress: uploads go to a sink, everything else to an nginx."""

    backend: Address
    sink: Address

    def __init__(self, options: BenchOptions) -> None:
        super().__init__(options)
        self.ports = Ports(prefer_documented=False)
        self.ports.take([
            self.api_port, self.front_port, self.tunnel_port, self.gateway_admin_port, self.agent_admin_port])
        self.files = self.workspace.directory / "files"
        self.files.mkdir(exist_ok=True)
        folder = self.workspace.directory / "nginx"
        shutil.rmtree(folder, ignore_errors=True)
        self.nginx = NginxFolder(folder, self.processes)
        self._starts = 0
        self._tls_port = self.ports.free(0)

    def start_backends(self) -> None:
        """Starts the cluster, and the backends at the addresses that their Services are given."""
        self.start_cluster()
        self.prepare_cluster()
        self.backend = self._address("files")
        self.nginx.start_backend(self.backend, self.files)
        self.sink = self._address("sink")
        sink = self.processes.start(
            "sink", [sys.executable, "-m", "bench.sink", self.sink.host, str(self.sink.port)],
            {**os.environ, "PYTHONPATH": str(ROOT / "hack" / "lib")})
        self._wait_started(sink, "the sink", lambda: accepts(self.sink.host, self.sink.port))
        self.create(manifests.ingress(
            self.namespace, "bench",
            manifests.rule(
                HOST, manifests.path(UPLOAD_PATH, "sink", self.sink.port),
                manifests.path("/", "files", self.backend.port))))

    def _address(self, service: str) -> Address:
        """Creates a Service, and returns where its backend has to listen."""
        port = self.ports.free(0)
        created = self.create(manifests.service(self.namespace, service, {"http": port}))
        address = Address(created["spec"]["clusterIP"], port)
        expect(can_listen(address.host, address.port), f"another program listens on {address}; run this again")
        return address

    @property
    def direct(self) -> Server:
        """The backend without anything before it."""
        return Server(self.backend.host, self.backend.port, HOST)

    def write_file(self, name: str, size: int) -> str:
        """Makes a file of zeros for the backend to serve, and returns its path. It takes no room on the disk."""
        with (self.files / name).open("wb") as file:
            file.truncate(size)
        return f"/{name}"

    # Gateway and agent

    def start_pair(
        self, tls: bool = False, gateway_flags: Sequence[str] = (), agent_flags: Sequence[str] = (),
        dial_port: Optional[int] = None, front_tls: bool = False,
    ) -> Pair:
        """Starts gateway and agent, and returns once requests are answered.

        Both run with their defaults, but for what they need to be told here: so the gateway logs every request.
        `dial_port` is where the agent dials in place of the gateway's own port. `tls` is on the tunnel, and `front_tls`
        between the client and the gateway.
        """
        files = self.workspace
        if front_tls:
            gateway_flags = [*gateway_flags, *self._front_tls_flags()]
        self.start_gateway_alone(tls, files.clusters, gateway_flags)
        port = dial_port or self.tunnel_port
        dials = [f"ws://localhost:{port}"]
        if tls:
            dials = [f"wss://localhost:{port}", "--gateway-ca-file", str(files.certificates / "ca.crt")]
        self.agent = self.processes.start(
            f"agent-{self._starts}",
            [
                self.binary("pipeops-agent"), "--gateway-url", *dials, "--token-file", str(files.token),
                "--kubeconfig", str(self.cluster.kubeconfig), "--allow-loopback-targets",
                "--admin-listen", f"127.0.0.1:{self.agent_admin_port}",
                "--leader-elect-lease", f"{self.namespace}/pipeops-agent", "--shutdown-grace", "2s", *agent_flags,
            ])
        front = Server("127.0.0.1", self.front_port, HOST)
        if front_tls:
            front = Server("127.0.0.1", self._tls_port, HOST, self.authority)
        self._wait_started(self.agent, "a request through the tunnel is answered", lambda: expect_served(front))
        return Pair(self.gateway, self.agent, front)

    @property
    def authority(self) -> Path:
        """The file of the authority that all certificates here are from, for 127.0.0.1 and localhost."""
        return self.certificates / "ca.crt"

    @property
    def certificates(self) -> Path:
        """A certificate and its key are there, too: `tls.crt` and `tls.key`."""
        if not self.workspace.token.exists():
            self._write_credentials()
        return self.workspace.certificates

    def _front_tls_flags(self) -> list[str]:
        served = self.workspace.directory / "served" / "default"
        served.mkdir(parents=True, exist_ok=True)
        for file in ("tls.crt", "tls.key"):
            shutil.copy(self.certificates / file, served / file)
        return ["--listen-tls", f"127.0.0.1:{self._tls_port}", "--certificates", str(served.parent)]

    def start_gateway_alone(self, tls: bool, clusters: Path, flags: Sequence[str] = ()) -> Program:
        """Starts a gateway for the clusters of a file, also again after its end: the ports stay."""
        files = self.workspace
        if not files.token.exists():
            self._write_credentials()
        self._starts += 1
        security = ["--agent-plaintext"]
        if tls:
            security = ["--agent-tls-certificate", str(files.certificates / "tls.crt"),
                        "--agent-tls-key", str(files.certificates / "tls.key")]
        self.gateway = self.processes.start(
            f"gateway-{self._starts}",
            [
                self.binary("pipeops-gateway"), "--listen", f"127.0.0.1:{self.front_port}",
                "--agent-listen", f"127.0.0.1:{self.tunnel_port}",
                "--admin-listen", f"127.0.0.1:{self.gateway_admin_port}", "--clusters-file", str(clusters),
                "--shutdown-grace", "2s", "--rate-limit", "off", *security, *flags,
            ])
        self._wait_started(
            self.gateway, "the gateway's listeners",
            lambda: accepts("127.0.0.1", self.front_port) and accepts("127.0.0.1", self.tunnel_port))
        return self.gateway

    def stop_pair(self, pair: Pair) -> None:
        for program in (pair.agent, pair.gateway):
            expect_equal(self.processes.stop(program), 0, f"exit status of {program.name} when asked to stop")

    @cached_property
    def one_tunnel(self) -> list[str]:
        """What makes an agent dial one tunnel only; nothing for one that does so anyway."""
        return ["--tunnels", "1"] if self.knows("pipeops-agent", "--tunnels") else []


@contextmanager
def traffic_world(options: BenchOptions, figures: Figures) -> Iterator[TrafficWorld]:
    """A world whose programs end with the block; one that ended before is part of what went wrong."""
    figures.note("load_average_before", f"{os.getloadavg()[0]:.2f}")
    allow_many()
    world = TrafficWorld(options)
    problems: list[str] = []
    try:
        yield world
    except (CheckFailed, OSError) as failure:
        ended = [
            f"{program.name} has ended with status {program.exit_status()}, see {program.log.path}"
            for program in world.processes.ended_unasked()]
        raise CheckFailed("; ".join([str(failure), *ended])) from failure
    finally:
        problems = world.end()
    expect(not problems, "; ".join(problems))


def expect_served(server: Server) -> bool:
    """Fails unless a small request is answered as the backend does, so that nobody measures anything else."""
    answer = server.get(SMALL_PATH, timeout=5)
    seen = answer.status, answer.values("Content-Length"), len(answer.body)
    expect(
        seen == (200, [str(SMALL_BYTES)], SMALL_BYTES),
        f"GET {server.host}{SMALL_PATH} at {server.address}:{server.port} answers {answer.status} with "
        f"{answer.fields} and {answer.body[:80]!r}")
    return True

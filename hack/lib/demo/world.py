"""Everything a run consists of: cluster, gateway, agent and applications, and what was created for them."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import subprocess
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterator, Optional

from . import interruption, leftovers, manifests
from .cluster import ApiError, Cluster
from .http_client import Server
from .manifests import Object
from .ports import Ports, accepts, can_listen
from .processes import Processes, Program
from .waiting import CheckFailed, expect, wait_until

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE_HOST = "my-app.example.com"
CONTROLLER_NAMESPACE = "ingress-nginx"
CONTROLLER = "ingress-nginx-controller"
START_SECONDS = 20.0


@dataclass(frozen=True)
class Options:
    binaries: Path
    existing_kubeconfig: Optional[Path]
    check: bool


class Workspace:
    """The files of a run, under `.demo`. Secrets are readable by this user alone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.logs = directory / "logs"
        self.kubeconfig = directory / "kubeconfig"
        self.clusters = directory / "clusters.yaml"
        self.certificates = directory / "certificates"
        self.token = directory / "token"

    def prepare(self) -> None:
        """Removes what an earlier run left and makes the folders anew."""
        for old in (self.logs, self.certificates):
            shutil.rmtree(old, ignore_errors=True)
        for old in (self.kubeconfig, self.clusters, self.token):
            old.unlink(missing_ok=True)
        self.logs.mkdir(parents=True)
        self.certificates.mkdir()

    @staticmethod
    def write_secret(path: Path, text: str) -> None:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)


@dataclass(frozen=True)
class Application:
    """A running sample application and the Service at whose address it listens."""

    name: str
    service: str
    address: str
    port: int
    program: Program

    def direct(self, host: str = EXAMPLE_HOST) -> Server:
        """The application without a gateway before it."""
        return Server(self.address, self.port, host)


class World:
    """The running whole. The parts are set by the start methods, in the order in which they stand here."""

    cluster: Cluster
    cluster_uuid: str
    gateway: Program
    agent: Program
    my_app: Application

    def __init__(self, options: Options, directory: Path = ROOT / ".demo", prefix: str = "gateway-check") -> None:
        self.options = options
        self.workspace = Workspace(directory)
        self.workspace.prepare()
        self.processes = Processes(self.workspace.logs)
        ports = Ports(prefer_documented=not options.check)
        self.api_port = ports.free(6443)
        self.front_port = ports.free(8080)
        self.tunnel_port = ports.free(8081)
        self.gateway_admin_port = ports.free(8082)
        self.agent_admin_port = ports.free(8083)
        suffix = secrets.token_hex(3)
        # The example lives in "default"; in a cluster that is not ours nothing may land there.
        self.namespace = f"{prefix}-{suffix}"
        self.example_namespace = self.namespace if options.existing_kubeconfig else "default"
        # A cluster that the gateway knows and that nobody runs: for a peer that authenticates and then misbehaves.
        self.other_cluster_uuid = str(uuid.uuid4())
        self.other_token = secrets.token_urlsafe(32)
        self._applications: dict[str, Application] = {}
        self._created: list[tuple[str, Optional[str], str]] = []
        # Definitions that were there before, as they were.
        self._found: list[Object] = []

    # Starting

    def start_cluster(self) -> None:
        if self.options.existing_kubeconfig:
            self.cluster = Cluster(self.options.existing_kubeconfig)
        else:
            self.start_api_server("devcluster", self.api_port, self.workspace.kubeconfig, "127.96.0.0/16")
            self.cluster = Cluster(self.workspace.kubeconfig)
        self.cluster_uuid = self.cluster.get("Namespace", None, "kube-system")["metadata"]["uid"]

    def start_api_server(self, name: str, port: int, kubeconfig: Path, addresses: str) -> Program:
        """Starts an embedded API server, which gives Services addresses of a range of this machine's own."""
        program = self.processes.start(
            name,
            [
                self.binary("devcluster"), "serve", "--listen", f"127.0.0.1:{port}", "--kubeconfig", str(kubeconfig),
                "--service-cidr", addresses, "--log-format", "json",
            ],
        )
        self._wait_started(program, "the kubeconfig of the embedded API server", kubeconfig.exists)
        kubeconfig.chmod(0o600)
        return program

    def prepare_cluster(self) -> None:
        """Applies the custom resource and makes this run's own namespace."""
        if self.options.existing_kubeconfig:
            leftovers.remove(self.cluster)
            self.expect_suitable_cluster()
        for crd in sorted((ROOT / "crds").glob("gateway*.yaml")):
            text = crd.read_text(encoding="utf-8")
            for document in manifests.split_documents(text):
                known = self._find_staying(document.kind, document.name)
                if known:
                    self._found.append(known)
                else:
                    self._created.append((document.kind, None, document.name))
            self.cluster.apply(text)
        wait_until("the API server serves GatewayRoutes", 10, self._serves_gateway_routes)
        self.make_namespace(self.namespace)

    def expect_suitable_cluster(self) -> None:
        """A cluster that is not ours must not have what the scenarios make, or what would change their outcome."""
        expect(
            not self.cluster.find("Service", CONTROLLER_NAMESPACE, CONTROLLER),
            f"the cluster has the Service {CONTROLLER_NAMESPACE}/{CONTROLLER}; this needs one without an ingress "
            "controller")

    def make_namespace(self, name: str) -> None:
        """Creates a namespace that stays until the run's end, and that a later run removes if this one cannot."""
        self.create(leftovers.marked(manifests.namespace(name)))

    def controller_namespace(self) -> None:
        """Sees to it that there is the namespace of ingress-nginx. One that was there before is not ours, and stays.

        One that is made stays until the run's end: a name whose deletion is under way cannot be used again.
        """
        if not self._find_staying("Namespace", CONTROLLER_NAMESPACE):
            self.make_namespace(CONTROLLER_NAMESPACE)

    def _find_staying(self, kind: str, name: str) -> Optional[Object]:
        """An object of the whole cluster; the end of one that is being deleted is waited for."""
        found = self.cluster.find(kind, None, name)
        if found and found["metadata"].get("deletionTimestamp"):
            self.cluster.wait_until_gone(kind, None, name, 10)
            return None
        return found

    def _serves_gateway_routes(self) -> bool:
        try:
            self.cluster.objects("GatewayRoute")
        except ApiError as error:
            raise CheckFailed(str(error)) from error
        return True

    def start_gateway(self, *flags: str, name: str = "gateway") -> Program:
        """Starts the gateway, also again after its end: the ports stay."""
        self.gateway = self.launch_gateway(*flags, name=name)
        self.wait_gateway()
        return self.gateway

    def launch_gateway(self, *flags: str, name: str = "gateway") -> Program:
        """A gateway on the usual ports, where flags that come last win; the caller waits for it."""
        files = self.workspace
        if not files.token.exists():
            self._write_credentials()
        return self.processes.start(
            name,
            [
                self.binary("pipeops-gateway"), "--listen", f"127.0.0.1:{self.front_port}",
                "--agent-listen", f"127.0.0.1:{self.tunnel_port}",
                "--admin-listen", f"127.0.0.1:{self.gateway_admin_port}", "--clusters-file", str(files.clusters),
                "--agent-tls-certificate", str(files.certificates / "tls.crt"),
                "--agent-tls-key", str(files.certificates / "tls.key"), "--heartbeat-interval", "1s",
                "--shutdown-grace", "2s", "--log-format", "json", "--rate-limit", "off", *flags,
            ],
        )

    def wait_gateway(self) -> None:
        """Waits until the gateway takes requests and tunnels."""
        self._wait_started(
            self.gateway, "the gateway's listeners",
            lambda: accepts("127.0.0.1", self.front_port) and accepts("127.0.0.1", self.tunnel_port),
        )

    def start_agent(self, token_file: Optional[Path] = None) -> Program:
        """Starts the agent, also again after its end."""
        command = self.agent_command(self.agent_admin_port, self.cluster.kubeconfig, token_file)
        # One that is killed and started again would wait for its predecessor's lease to end.
        self.agent = self.processes.start("agent", [*command, "--no-leader-elect"])
        return self.agent

    def agent_command(self, admin_port: int, kubeconfig: Path, token_file: Optional[Path] = None) -> list[str]:
        files = self.workspace
        return [
            self.binary("pipeops-agent"), "--gateway-url", f"wss://localhost:{self.tunnel_port}",
            "--gateway-ca-file", str(files.certificates / "ca.crt"), "--token-file", str(token_file or files.token),
            "--kubeconfig", str(kubeconfig), "--load-balancer-grace", "1s", "--shutdown-grace", "4s",
            "--allow-loopback-targets", "--admin-listen", f"127.0.0.1:{admin_port}",
            "--log-format", "json", "--log-level", "debug",
        ]

    def apply_example(self) -> None:
        """Applies the example and starts its application at the address that its Service was given."""
        # The Service before the Ingress that names it, so that no Event says that it is missing.
        files = [ROOT / "hack" / "example" / f"{name}.yaml" for name in ("deployment", "service", "ingress")]
        text = "---\n".join(file.read_text(encoding="utf-8") for file in files)
        text = text.replace("namespace: default", f"namespace: {self.example_namespace}")
        for document in manifests.split_documents(text):
            self._created.append((document.kind, document.namespace, document.name))
        self.cluster.apply(text)
        self.my_app = self.start_application("my-app", self.cluster.get("Service", self.example_namespace, "my-app"))

    # Parts that scenarios use

    def binary(self, name: str) -> str:
        return str(self.options.binaries / name)

    def knows(self, program: str, flag: str) -> bool:
        """Whether a program's `--help` names a flag."""
        with interruption.held():
            told = subprocess.run(
                [self.binary(program), "--help"], capture_output=True, text=True, timeout=10, check=False)
        return re.search(rf"{flag}(?![\w-])", told.stdout) is not None

    def front(self, host: str = EXAMPLE_HOST) -> Server:
        """The gateway's front door, asked for a host."""
        return Server("127.0.0.1", self.front_port, host)

    def application(self, name: str) -> Application:
        """An application in this run's namespace, with a Service of its name; started at its first use.

        Its Service has the ports 8080 (named `web`) and 9090 (named `other`).
        """
        if name not in self._applications:
            service = self.create(self.application_service(name, {"web": 8080, "other": 9090}))
            self._applications[name] = self.start_application(name, service)
        return self._applications[name]

    def application_service(self, name: str, ports: dict[str, int]) -> Object:
        """The Service for an application in this run's namespace."""
        return manifests.service(self.namespace, name, ports)

    @contextmanager
    def ingress_controller(self) -> Iterator[Application]:
        """An ingress controller's Service, with an application in the controller's place. Both end with the block."""
        port = 80 if can_listen("127.0.0.1", 80) else 8080
        self.controller_namespace()
        with self.objects() as objects:
            service = objects.create(manifests.service(CONTROLLER_NAMESPACE, CONTROLLER, {"http": port}))
            application = self.start_application("ingress-controller", service)
            try:
                yield application
            finally:
                self.processes.stop(application.program)

    def start_application(self, name: str, service: Object) -> Application:
        """Starts an application that listens at the address of a Service."""
        address = service["spec"].get("clusterIP") or service["spec"]["externalName"]
        ports = [entry["port"] for entry in service["spec"]["ports"]]
        arguments = [self.binary("devcluster"), "sample-app", "--name", name]
        for port in ports:
            expect(
                can_listen(address, port),
                f"{name} cannot listen on {address}:{port}, its Service's address: either another program of this "
                f"machine listens on port {port} of every address, or the cluster's service addresses are not local")
            arguments += ["--listen", f"{address}:{port}"]
        program = self.processes.start(name, arguments)
        self._wait_started(program, f"the application {name}", lambda: all(accepts(address, port) for port in ports))
        return Application(name, service["metadata"]["name"], address, ports[0], program)

    def gateway_route(self, namespace: str, name: str) -> Object:
        """A GatewayRoute, empty while there is none."""
        return self.cluster.find("GatewayRoute", namespace, name) or {}

    def wait_for_example(self, seconds: float, status: int = 200) -> None:
        front = self.front()

        def answers() -> bool:
            response = front.get()
            expect(response.status == status, f"GET {front.host}/ answers {response.status} {response.text[:200]!r}")
            return True

        wait_until(f"{front.host} answers {status}", seconds, answers, pause=0.005)

    # What was created

    def create(self, item: Object) -> Object:
        """Creates an object that stays until the run's end."""
        metadata = item["metadata"]
        with interruption.held():
            created = self.cluster.create(item)
            self._created.append((item["kind"], metadata.get("namespace"), metadata["name"]))
        return created

    @contextmanager
    def objects(self) -> Iterator[World]:
        """What is created within the block is deleted at its end."""
        before = len(self._created)
        try:
            yield self
        finally:
            problems = self._delete_created(before)
        expect(not problems, "; ".join(problems))

    def clean_up(self) -> list[str]:
        """Leaves the cluster as it was found, last created first deleted, and returns what went wrong."""
        if not self._created and not self._found:
            return []
        problems = []
        # An agent that is still running would write again what is being deleted.
        if hasattr(self, "agent") and self.agent.exit_status() is None:
            try:
                status = self.processes.stop(self.agent)
                if status != 0:
                    problems.append(f"agent ended with status {status} when asked to stop")
            except CheckFailed as failure:
                problems.append(str(failure))
        return problems + self._delete_created(0) + self._restore_found()

    def _delete_created(self, before: int) -> list[str]:
        """Deletes what was created since there were `before` objects; what cannot be deleted does not keep the rest."""
        problems = []
        while len(self._created) > before:
            kind, namespace, name = self._created.pop()
            try:
                if kind == "Namespace":
                    leftovers.empty(self.cluster, name)
                    self.cluster.delete_namespace(name)
                else:
                    self.cluster.delete(kind, namespace, name)
                if kind == "CustomResourceDefinition":
                    self.cluster.wait_until_gone(kind, namespace, name, 3)
            except (ApiError, CheckFailed) as failure:
                problems.append(f"cannot delete what was created: {failure}")
        return problems

    def _restore_found(self) -> list[str]:
        """Gives definitions that were there before the content that they had."""
        problems = []
        while self._found:
            before = self._found.pop()
            try:
                now = self.cluster.get(before["kind"], None, before["metadata"]["name"])
                if _content(now) != _content(before):
                    before["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"]
                    self.cluster.replace(before)
            except ApiError as failure:
                problems.append(f"cannot restore what was found: {failure}")
        return problems

    # Plumbing

    def _write_credentials(self) -> None:
        files = self.workspace
        made = self.processes.start(
            "certificate",
            [
                self.binary("devcluster"), "certificate", "--directory", str(files.certificates),
                "--name", "localhost", "--name", "127.0.0.1",
            ],
        )
        made.ended_on_purpose = True
        expect(made.wait(10) == 0, f"devcluster certificate failed: {made.log.tail(5)}")
        token = secrets.token_urlsafe(32)
        files.write_secret(files.token, token)
        lines = ["clusters:"]
        for cluster, its_token in ((self.cluster_uuid, token), (self.other_cluster_uuid, self.other_token)):
            lines += [f"  - uuid: {cluster}", f"    tokenSHA256: {hashlib.sha256(its_token.encode()).hexdigest()}"]
        files.write_secret(files.clusters, "\n".join(lines) + "\n")

    @staticmethod
    def _wait_started(program: Program, what: str, ready: Callable[[], bool]) -> None:
        def is_ready() -> bool:
            status = program.exit_status()
            if status is not None:
                raise RuntimeError(f"{program.name} ended with status {status}:\n{program.log.tail(5)}")
            return ready()

        wait_until(what, START_SECONDS, is_ready)


def _content(item: Object) -> tuple[object, ...]:
    """What people and programs have written into an object."""
    metadata = item["metadata"]
    return item.get("spec"), metadata.get("labels") or {}, metadata.get("annotations") or {}

"""The cluster and the gateway that all checks share, and the agents that each starts for itself."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Iterator, Optional

from demo import kubeconfig, manifests
from demo.cluster import Cluster
from demo.manifests import Object
from demo.ports import Ports
from demo.waiting import expect
from demo.world import ROOT, Application, Options, World

from .agents import Agent
from .relay import Relay

PREFIX = "gateway-e2e"
# Addresses of this machine for the applications, where the cluster's own service addresses are not.
LOCAL_ADDRESSES = "127.77.0."


class Skipped(Exception):
    """A check cannot be done here; the text says why."""


class E2EWorld(World):
    """What a run consists of."""

    def __init__(
        self, options: Options, is_whole_run: bool = True, directory: Path = ROOT / ".e2e"
    ) -> None:
        super().__init__(options, directory, PREFIX)
        # Whether every check runs, so that what no agent did in this run is done by none.
        self.is_whole_run = is_whole_run
        # Nothing lands in "default", whoever's cluster it is.
        self.example_namespace = self.namespace
        # Stands for pipeops-system, the namespace that the agent is installed in.
        self.system_namespace = f"{self.namespace}-system"
        self.other_namespace = f"{self.namespace}-other"
        self._ports = Ports(prefer_documented=False)
        self._ports.take([
            self.api_port, self.front_port, self.tunnel_port, self.gateway_admin_port, self.agent_admin_port])
        self._addresses = 0
        self._agents: list[Agent] = []

    # Preparing

    def expect_suitable_cluster(self) -> None:
        super().expect_suitable_cluster()
        foreign = [
            f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in self.cluster.objects("Ingress")]
        expect(
            not foreign,
            f"the cluster has Ingresses, which the agents of this suite would serve: {', '.join(foreign[:3])}; "
            "it needs a cluster without any")

    def prepare_cluster(self) -> None:
        super().prepare_cluster()
        self.make_namespace(self.system_namespace)
        self.make_namespace(self.other_namespace)

    @cached_property
    def server_version(self) -> str:
        return str(self.cluster.version().get("gitVersion", "unknown"))

    @cached_property
    def services_are_local(self) -> bool:
        """Whether the cluster gives its Services addresses of this machine, so that programs here can listen there."""
        service = self.create(manifests.service(self.namespace, "which-addresses", {"web": 8080}))
        return str(service["spec"]["clusterIP"]).startswith("127.")

    def needs_local_services(self) -> None:
        """Skips a check that sends requests to the ClusterIP of a Service."""
        if not self.services_are_local:
            raise Skipped(
                "sends requests to a Service's ClusterIP, and those of this cluster are not addresses of this "
                "machine (kube-apiserver --service-cluster-ip-range=127.96.0.0/16 makes them so)")

    def free_port(self) -> int:
        return self._ports.free(0)

    # Applications

    def application_service(self, name: str, ports: dict[str, int]) -> Object:
        """A Service with a cluster address where a program can listen there, else one for an address that can be had.

        So requests find the application in every cluster, although no Pod runs in any.
        """
        service = super().application_service(name, ports)
        if not self.services_are_local:
            self._addresses += 1
            # Digits and dots are a DNS name as well.
            service["spec"].update(type="ExternalName", externalName=f"{LOCAL_ADDRESSES}{self._addresses}")
            del service["spec"]["selector"]
        return service

    def apply_example(self) -> None:
        """Applies the example once; its Service is made as this cluster needs it."""
        if hasattr(self, "my_app"):
            return
        if self.services_are_local:
            super().apply_example()
            return
        service = self.create(self.application_service("my-app", {"http": 8080}))
        self.my_app = self.start_application("my-app", service)
        text = (ROOT / "hack" / "example" / "ingress.yaml").read_text(encoding="utf-8")
        self._created.append(("Ingress", self.example_namespace, "my-app"))
        self.cluster.apply(text.replace("namespace: default", f"namespace: {self.example_namespace}"))

    def blue(self) -> Application:
        return self.application("blue")

    def green(self) -> Application:
        return self.application("green")

    def free_port(self) -> int:
        return self._ports.free(0)

    # Agents

    @contextmanager
    def running_agent(
        self, *flags: str, name: str = "agent", elects: bool = False, kubeconfig_path: Optional[Path] = None,
        token_file: Optional[Path] = None, waits: bool = True,
    ) -> Iterator[Agent]:
        """An agent that runs until the block's end, and is ready at its start unless told otherwise."""
        agent = self.launch(
            *flags, name=name, elects=elects, kubeconfig_path=kubeconfig_path, token_file=token_file)
        problems: list[str] = []
        try:
            if waits:
                agent.wait_ready()
            yield agent
        finally:
            problems = agent.end()
        expect(not problems, "; ".join(problems))

    def launch(
        self, *flags: str, name: str = "agent", elects: bool = False, kubeconfig_path: Optional[Path] = None,
        token_file: Optional[Path] = None,
    ) -> Agent:
        """Starts an agent that the caller ends."""
        port = self._ports.free(0)
        command = self.agent_command(port, kubeconfig_path or self.cluster.kubeconfig, token_file)
        command += ["--leader-elect-lease", self.lease] if elects else ["--no-leader-elect"]
        program = self.processes.start(f"agent-{name}", [*command, *flags])
        agent = Agent(name, program, self.processes, port)
        self._agents.append(agent)
        return agent

    def end_agents(self) -> list[str]:
        """Ends those that a check did not come to end; a running one would write again what is being deleted."""
        return [problem for agent in reversed(self._agents) for problem in agent.end()]

    @property
    def lease(self) -> str:
        return f"{self.system_namespace}/pipeops-agent"

    @contextmanager
    def relayed(self) -> Iterator[tuple[Relay, Path]]:
        """A relay before the API server, and the kubeconfig that leads through it."""
        config = read_kubeconfig(self.cluster)
        server = self.cluster.server
        relay = Relay(self._ports.free(0), server)
        path = self.workspace.directory / "relayed-kubeconfig"
        self.workspace.write_secret(path, json.dumps(through(config, server[0], relay.port)))
        relay.open()
        try:
            yield relay, path
        finally:
            relay.close()
            path.unlink()

    @contextmanager
    def second_cluster(self) -> Iterator[Cluster]:
        """Another cluster with an agent, known to the same gateway; an embedded one, whatever the first is."""
        kubeconfig_path = self.workspace.directory / "second-kubeconfig"
        token_file = self.workspace.directory / "second-token"
        for old in (kubeconfig_path, token_file):
            old.unlink(missing_ok=True)
        self.workspace.write_secret(token_file, self.other_token)
        program = self.start_api_server("second-devcluster", self._ports.free(0), kubeconfig_path, "127.97.0.0/16")
        try:
            cluster = Cluster(kubeconfig_path)
            for file in sorted((ROOT / "crds").glob("gateway*.yaml")):
                cluster.apply(file.read_text(encoding="utf-8"))
            uuid = ("--cluster-uuid", self.other_cluster_uuid)
            with self.running_agent(
                *uuid, name="agent-of-second", kubeconfig_path=kubeconfig_path, token_file=token_file
            ):
                yield cluster
        finally:
            self.processes.stop(program)

    # Objects

    @contextmanager
    def serving(self, *items: Object) -> Iterator[None]:
        """Objects that are there until the block's end, with the GatewayRoutes of the Ingresses among them."""
        with self.objects() as objects:
            for item in items:
                objects.create(item)
            yield

    def events(self, namespace: str, name: str, kind: str) -> list[tuple[str, str]]:
        """Reason and note of the Events about an object."""
        found = []
        for event in self.cluster.objects("Event", namespace):
            regarding = event.get("regarding") or {}
            if (regarding.get("kind"), regarding.get("name")) == (kind, name):
                found.append((str(event.get("reason")), str(event.get("note"))))
        return found


def read_kubeconfig(cluster: Any) -> dict[str, Any]:
    """The current context of a cluster's kubeconfig, with what its files hold."""
    if cluster.kubectl_path:
        text = cluster.kubectl("config", "view", "--raw", "--flatten", "--minify", "-o", "json")
        return dict(json.loads(text))
    return dict(kubeconfig.parse_block_yaml(cluster.kubeconfig.read_text(encoding="utf-8")))


def through(config: dict[str, Any], host: str, port: int) -> dict[str, Any]:
    """The same kubeconfig by way of a port of this machine; the certificate is still that of the real name."""
    for entry in config["clusters"]:
        cluster = entry["cluster"]
        scheme = str(cluster["server"]).split("://", 1)[0]
        cluster["server"] = f"{scheme}://127.0.0.1:{port}"
        if scheme == "https" and host != "127.0.0.1" and not cluster.get("insecure-skip-tls-verify"):
            cluster.setdefault("tls-server-name", host)
    return config

"""Certificates of the front door from the Secrets of a cluster."""

from __future__ import annotations

import base64
import socket
import ssl
from dataclasses import dataclass
from typing import Optional

from demo.http_client import Server
from demo.manifests import Object
from demo.processes import Program
from demo.waiting import expect, expect_equal, wait_until
from demo.world import ROOT

from ..api_requests import requests_in
from ..rbac import compare, grants, rendered_with
from ..world import E2EWorld

LABEL = "gateway.pipeops.io/certificate"
HOST = "tls.e2e.example.com"
OTHER_HOST = "other-tls.e2e.example.com"
GATEWAY = ROOT / "manifests" / "gateway"
COMPONENT = GATEWAY / "components" / "certificate-secrets"


@dataclass(frozen=True)
class Issued:
    """A certificate of an authority of its own."""

    authority: str
    data: dict[str, str]


def _issue(world: E2EWorld, name: str, host: str) -> Issued:
    directory = world.workspace.directory / "front-certificates" / name
    made = world.processes.start(
        f"certificate-{name}",
        [world.binary("devcluster"), "certificate", "--directory", str(directory), "--name", host])
    made.ended_on_purpose = True
    expect(made.wait(10) == 0, f"devcluster certificate failed: {made.log.tail(5)}")
    data = {
        part: base64.b64encode((directory / part).read_bytes()).decode() for part in ("tls.crt", "tls.key")}
    return Issued((directory / "ca.crt").read_text(encoding="utf-8"), data)


def _secret(world: E2EWorld, name: str, issued: Issued, labels: Optional[dict[str, str]] = None) -> Object:
    return {
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": issued.data,
        "metadata": {"namespace": world.system_namespace, "name": name, "labels": labels or {}},
    }


def _handshake(port: int, host: str, authority: str) -> ssl.SSLSocket:
    context = ssl.create_default_context(cadata=authority)
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=5), server_hostname=host)


def _shows(port: int, host: str, issued: Issued) -> bool:
    """Whether a client that asks for a name, and trusts this certificate's authority alone, is content."""
    try:
        _handshake(port, host, issued.authority).close()
    except ssl.SSLError:
        return False
    return True


def _ask(connection: ssl.SSLSocket, host: str) -> bytes:
    connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode())
    return connection.recv(65536)


def _start(world: E2EWorld, ports: dict[str, int]) -> Program:
    listeners = [text for name, port in ports.items() for text in (f"--{name}", f"127.0.0.1:{port}")]
    gateway = world.launch_gateway(
        *listeners, "--certificate-secrets", world.system_namespace, "--kubeconfig", str(world.cluster.kubeconfig),
        "--log-level", "debug", name="gateway-certificates")
    admin = Server("127.0.0.1", ports["admin-listen"], "admin")
    wait_until("the gateway has read the Secrets", 20, lambda: admin.get("/readyz").status == 200)
    return gateway


def secrets_are_served(world: E2EWorld) -> str:
    """Labelled Secrets are what clients are shown, changes come without a lost connection, and the role is enough."""
    first, second, other = (
        _issue(world, name, host) for name, host in (("first", HOST), ("second", HOST), ("other", OTHER_HOST)))
    ports = {name: world.free_port() for name in ("listen", "listen-tls", "agent-listen", "admin-listen")}
    port = ports["listen-tls"]
    namespace = world.system_namespace
    with world.serving(
        _secret(world, "tls-site", first, {LABEL: "true"}), _secret(world, "tls-other", other),
    ):
        gateway = _start(world, ports)
        try:
            expect(_shows(port, HOST, first), f"a client that asks for {HOST} is not shown its certificate")
            expect(not _shows(port, OTHER_HOST, other), "a Secret without the label is shown")
            with _handshake(port, HOST, first.authority) as kept:
                expect(b" 404 " in _ask(kept, HOST), "no answer by TLS")
                world.cluster.patch("Secret", namespace, "tls-other", {"metadata": {"labels": {LABEL: "true"}}})
                wait_until("the label is seen", 10, lambda: _shows(port, OTHER_HOST, other))
                world.cluster.patch("Secret", namespace, "tls-site", {"data": second.data})
                wait_until("the renewed certificate is shown", 10, lambda: _shows(port, HOST, second))
                expect(b" 404 " in _ask(kept, HOST), "the connection from before was lost")
                broken = base64.b64encode(b"no certificate").decode()
                world.cluster.patch("Secret", namespace, "tls-site", {"data": {"tls.crt": broken}})
                refusal = gateway.log.wait_for("Certificate refused", 10)
                expect(f"tls.crt of Secret {namespace}/tls-site " in str(refusal["error"]), str(refusal.fields))
                expect(_shows(port, HOST, second), "what was served before the broken one is not any more")
                world.cluster.delete("Secret", namespace, "tls-site")
                wait_until("a deleted one is shown no more", 10, lambda: not _shows(port, HOST, second))
                expect(b" 404 " in _ask(kept, HOST), "the connection from before was lost")
            requests = requests_in(gateway.log)
        finally:
            expect_equal(world.processes.stop(gateway), 0, "exit status of the gateway")
    secret_text = gateway.log.path.read_text(encoding="utf-8")
    expect("PRIVATE KEY" not in secret_text and first.data["tls.key"][60:120] not in secret_text, "a key is in the log")
    granted = grants(rendered_with(world, GATEWAY, [COMPONENT]), {"pipeops-system": namespace})
    comparison = compare(requests, granted)
    problems = [f"not allowed: {request}" for request in comparison.forbidden]
    problems += [f"allowed and not used: {grant}" for grant in comparison.unused]
    expect(not problems, "\n".join(problems))
    return f"{len(requests)} requests to the API server"


CHECKS = [secrets_are_served]

"""Bad input: refused with a reason, and nothing else is disturbed."""

from __future__ import annotations

import subprocess
import uuid

from ..cluster import condition
from ..http_client import RawExchange
from ..manifests import Object, ingress, path, rule, service
from ..tunnel_peer import BINARY, TEXT, TunnelPeer
from ..waiting import expect, expect_equal, wait_until
from ..world import World


def _wait_for_condition(world: World, name: str, wanted: dict[str, tuple[str, set[str]]]) -> Object:
    """Waits until conditions of an Ingress's GatewayRoute have a status and one of the reasons."""

    def matches() -> Object:
        route = world.gateway_route(world.namespace, name)
        for condition_type, (status, reasons) in wanted.items():
            found = condition(route, condition_type)
            expect(
                found.get("status") == status and found.get("reason") in reasons,
                f"{condition_type} of {name} is {found.get('status')}, {found.get('reason')}: {found.get('message')}")
            expect_equal(found.get("observedGeneration"), route["metadata"]["generation"], "observedGeneration")
            expect(found.get("message"), f"{condition_type} of {name} has no message")
        return route

    return wait_until(f"conditions of {name}", 5, matches, pause=0.02)


def unusable_ingresses_get_conditions(world: World) -> str:
    """Ingresses that cannot be used get conditions with reasons, and a late Service makes one good."""
    name = world.namespace
    resource = {"apiGroup": "storage.example.com", "kind": "Bucket", "name": "icons"}
    bucket = {"path": "/icons", "pathType": "ImplementationSpecific", "backend": {"resource": resource}}
    missing = rule("missing.example.com", path("/", "late", 8080))
    with world.objects() as objects:
        objects.create(ingress(name, "resource-backend", rule("bucket.example.com", bucket)))
        objects.create(ingress(name, "no-paths", {"host": "no-paths.example.com"}))
        objects.create(ingress(name, "missing-service", missing))
        objects.create(ingress(name, "missing-port", rule("port.example.com", path("/", "my-port", "nowhere"))))
        objects.create(service(name, "my-port", {"web": 8080}))
        _wait_for_condition(world, "resource-backend", {"Accepted": ("False", {"UnsupportedBackend"})})
        _wait_for_condition(world, "no-paths", {"Accepted": ("False", {"NoRules", "NoUsableRule"})})
        _wait_for_condition(world, "missing-port", {"ResolvedRefs": ("False", {"PortNotFound"})})
        _wait_for_condition(world, "missing-service", {"ResolvedRefs": ("False", {"ServiceNotFound"})})
        objects.create(service(name, "late", {"web": 8080}))
        _wait_for_condition(
            world, "missing-service",
            {"ResolvedRefs": ("True", {"ResolvedRefs"}), "Programmed": ("True", {"Programmed"})})
    return "UnsupportedBackend, NoRules, PortNotFound, ServiceNotFound"


def unknown_hosts_and_malformed_requests_are_answered(world: World) -> str:
    """An unknown host answers 404, a malformed request 400, a Service without an application 502."""
    expect_equal(world.front("nobody.example.com").get().status, 404, "status for an unknown host")
    with RawExchange(world.front(), b"GET / HTTP/1.1\r\nno colon here\r\n\r\n") as exchange:
        expect_equal(exchange.head()[0], 400, "status for a malformed request")
    host = "nobody-listens.example.com"
    with world.objects() as objects:
        objects.create(world.application_service("nobody-listens", {"web": 8080}))
        objects.create(ingress(world.namespace, "nobody-listens", rule(host, path("/", "nobody-listens", 8080))))
        wait_until("502", 5, lambda: world.front(host).get().status == 502)
    expect_equal(world.front().get().status, 200, "status of the example")
    return ""


def misbehaving_peers_disturb_nobody(world: World) -> str:
    """A wrong token, a malformed frame and an over-long message end their own tunnel, with a reason in the log."""
    reasons = []

    def misbehave(token: str, status: int, messages: list[tuple[int, bytes]], line: str) -> None:
        mark = world.gateway.log.mark()
        authority = world.workspace.certificates / "ca.crt"
        with TunnelPeer("127.0.0.1", world.tunnel_port, authority) as peer:
            expect_equal(peer.upgrade(token), status, "status of the upgrade")
            for opcode, payload in messages:
                try:
                    peer.send(opcode, payload)
                except OSError:
                    # The gateway need not read to the end what it refuses.
                    break
            expect(peer.wait_for_end(), f"the gateway keeps a tunnel open after {line!r} was due")
        entry = world.gateway.log.wait_for(line, 5, lambda found: found["reason"], after=mark)
        reasons.append(str(entry["reason"]))

    before = _tunnels_lost(world)
    misbehave(str(uuid.uuid4()), 401, [], "Tunnel refused")
    malformed_frame = b"\xff\xff\xff\x7f\x00\x00\x00\x00\x00\x01"
    misbehave(world.other_token, 101, [(BINARY, malformed_frame)], "Tunnel closed")
    misbehave(world.other_token, 101, [(TEXT, b'{"type":"hello","payload":"' + b"x" * 70_000 + b'"}')], "Tunnel closed")
    misbehave(world.other_token, 101, [(TEXT, b"not JSON")], "Tunnel closed")
    expect_equal(_tunnels_lost(world), before, "tunnels lost by the agent")
    expect_equal(world.front().get().status, 200, "status of the example")
    return "; ".join(reasons)


def _tunnels_lost(world: World) -> int:
    return len(world.agent.log.entries("Tunnel lost"))


def wrong_settings_are_refused(world: World) -> str:
    """Wrong settings give one line that names the setting, and exit code 64; --help helps."""
    usable = ["--gateway-url", "wss://localhost:1", "--token-file", str(world.workspace.token)]
    cases: list[tuple[str, list[str], str]] = [
        ("pipeops-gateway", ["--listen", "nonsense"], "listen"),
        ("pipeops-gateway", ["--clusters-file", "/nonexistent", "--agent-plaintext"], "clusters-file"),
        ("pipeops-agent", ["--gateway-url", "ftp://nowhere"], "gateway-url"),
        ("pipeops-agent", ["--token-file", "/nonexistent", "--gateway-url", "wss://localhost:1"], "token-file"),
        ("pipeops-agent", [*usable, "--load-balancer-grace", "soon"], "load-balancer-grace"),
        ("pipeops-agent", [*usable, "--no-such-setting", "1"], "no-such-setting"),
    ]
    for program, arguments, setting in cases:
        result = _run(world, program, arguments)
        shown = f"{program} {' '.join(arguments)}"
        expect_equal(result.returncode, 64, f"exit code of {shown} ({result.stderr.strip()!r})")
        lines = result.stderr.strip().splitlines()
        expect(len(lines) == 1 and setting in lines[0], f"{shown} printed {result.stderr!r}")
    for program in ("pipeops-gateway", "pipeops-agent"):
        result = _run(world, program, ["--help"])
        expect(result.returncode == 0 and "--log-level" in result.stdout, f"{program} --help: {result.stdout!r}")
    return f"{len(cases)} cases"


def _run(world: World, program: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [world.binary(program), *arguments], capture_output=True, text=True, timeout=5, check=False)

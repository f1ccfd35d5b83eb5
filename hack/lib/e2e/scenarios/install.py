"""What an operator sees of the custom resource with kubectl."""

from __future__ import annotations

import re

from demo.waiting import expect, expect_equal
from demo.world import ROOT

from ..expectations import event, programmed, simple_ingress
from ..world import E2EWorld, Skipped

DEFINITION = ROOT / "crds" / "gatewayroutes.yaml"
HOST = "describe.e2e.example.com"


def _kubectl(world: E2EWorld, *arguments: str, stdin: str = "") -> str:
    if not world.cluster.kubectl_path:
        raise Skipped("kubectl is not installed")
    return world.cluster.kubectl(*arguments, stdin=stdin)


def custom_resource_applies(world: E2EWorld) -> str:
    """The custom resource is applied by kubectl, client-side and server-side, and again without a change."""
    said = []
    for flags in ([], ["--server-side", "--force-conflicts"], []):
        said.append(_kubectl(world, "apply", *flags, "-f", str(DEFINITION)).strip())
    expect("serverside-applied" in said[1], said[1])
    before = world.cluster.get("CustomResourceDefinition", None, "gatewayroutes.gateway.pipeops.io")
    _kubectl(world, "apply", "-k", str(DEFINITION.parent))
    after = world.cluster.get("CustomResourceDefinition", None, "gatewayroutes.gateway.pipeops.io")
    expect_equal(after["metadata"]["generation"], before["metadata"]["generation"], "generation")
    conditions = {c["type"]: c["status"] for c in after["status"]["conditions"]}
    expect_equal(conditions.get("Established"), "True", "condition Established")
    # A schema that is not structural is not pruned and not explained.
    expect(conditions.get("NonStructuralSchema") != "True", f"conditions: {conditions}")
    expect_equal(after["spec"].get("preserveUnknownFields", False), False, "preserveUnknownFields")
    return "; ".join(said)


def kubectl_knows_the_kind(world: E2EWorld) -> str:
    """kubectl get gwr and kubectl explain work, by short name and category."""
    _kubectl(world, "get", "gwr", "-n", world.other_namespace)
    _kubectl(world, "get", "pipeops", "-n", world.other_namespace)
    explained = _kubectl(world, "explain", "gwr")
    expect("GatewayRoute records what pipeops-agent found" in " ".join(explained.split()), explained)
    fields = _kubectl(world, "explain", "gatewayroutes.status.conditions")
    for name in ("lastTransitionTime", "observedGeneration", "reason", "message"):
        expect(name in fields, f"kubectl explain does not tell {name}:\n{fields}")
    return ""


def describe_reads_well(world: E2EWorld) -> str:
    """kubectl describe gwr tells type, hosts, routes, conditions and Events; kubectl get prints the columns."""
    name = "describe"
    blue = world.blue()
    with world.running_agent(), world.serving(simple_ingress(world, name, HOST, blue.service)):
        programmed(world, name)
        event(world, "GatewayRoute", name, "Programmed")
        text = _kubectl(world, "describe", "gwr", name, "-n", world.namespace)
        for line in (
            rf"Name:\s+{name}", r"Labels:\s+app\.kubernetes\.io/managed-by=pipeops-agent", r"Cluster Type:\s+Private",
            r"Cluster Type Reason:\s+\w+", rf"Hosts:\s+{re.escape(HOST)}", r"Route Count:\s+1", r"Path Type:\s+Prefix",
            rf"Service:\s+{blue.service}", r"Port:\s+8080", r"Target:\s+Service", r"Type:\s+Accepted",
            r"Type:\s+ResolvedRefs", r"Type:\s+Programmed", r"Message:\s+The gateway serves the routes",
            r"Normal\s+Programmed\s+.*pipeops",
        ):
            expect(re.search(line, text), f"kubectl describe has no line {line!r}:\n{text}")
        table = _kubectl(world, "get", "gwr", name, "-n", world.namespace).splitlines()
        for column in ("NAME", "CLUSTER TYPE", "HOSTS", "ROUTES", "PROGRAMMED", "AGE"):
            expect(column in table[0], f"no column {column}: {table[0]}")
        expect(all(value in table[1] for value in (name, "Private", HOST, "True")), f"row: {table[1]}")
    return f"{len(text.splitlines())} lines"


def manifests_are_valid(world: E2EWorld) -> str:
    """The API server accepts every manifest of an installation, and those of every overlay."""
    count = 0
    for directory in sorted(path.parent for path in ROOT.glob("manifests/*/**/kustomization.yaml")):
        # A component is a part of an overlay.
        if directory.parent.name == "components":
            continue
        rendered = _kubectl(world, "kustomize", str(directory))
        # Its namespace need not exist here, and nothing is to be started: another one, and a dry run.
        rendered = rendered.replace("pipeops-system", world.system_namespace)
        said = _kubectl(world, "apply", "--dry-run=server", "-f", "-", stdin=rendered)
        lines = said.strip().splitlines()
        expect(lines and all("server dry run" in line for line in lines), said)
        count += len(lines)
    return f"{count} objects"


CHECKS = [custom_resource_applies, kubectl_knows_the_kind, describe_reads_well, manifests_are_valid]

"""The example of the source: from an Ingress to an answer through the gateway."""

from __future__ import annotations

import json
import time

from ..cluster import condition
from ..manifests import Object
from ..waiting import CheckFailed, expect, expect_equal, wait_until
from ..world import EXAMPLE_HOST, World

# Those of the custom resource; kubectl prints them in capitals.
COLUMNS = ("Name", "Cluster Type", "Hosts", "Routes", "Programmed", "Age")


def cluster_is_private(world: World) -> str:
    """A cluster without an ingress controller is detected private."""
    entry = world.agent.log.wait_for("Cluster type detected", 10)
    expect_equal(entry["cluster_type"], "private", "cluster_type in the agent's log")
    world.agent.log.wait_for("Tunnel connected", 10)
    world.gateway.log.wait_for("Tunnel accepted", 10, lambda line: line["cluster_uuid"] == world.cluster_uuid)
    return f"reason {entry['reason']}"


def example_answers(world: World) -> str:
    """The example's application answers through the gateway with 200 and its own body."""
    world.apply_example()
    started = time.monotonic()
    world.wait_for_example(seconds=10)
    response = world.front().get()
    expect_equal(response.text, "Hello from my-app\n", "body")
    expect_equal(response.values("X-App"), ["my-app"], "X-App")
    return f"{(time.monotonic() - started) * 1000:.0f} ms after the application started"


def gateway_route_says_so(world: World) -> str:
    """The GatewayRoute has cluster type, hosts, routes, and true conditions of its generation."""
    namespace = world.example_namespace
    route = wait_until("GatewayRoute my-app programmed", 5, lambda: _programmed(world, namespace, "my-app"))
    ingress = world.cluster.get("Ingress", namespace, "my-app")
    status = route["status"]
    expect_equal(status["clusterType"], "Private", "status.clusterType")
    expect_equal(status["hosts"], [EXAMPLE_HOST], "status.hosts")
    expect_equal(status["routeCount"], 1, "status.routeCount")
    expect_equal(status["target"], "Service", "status.target")
    expected = {"host": EXAMPLE_HOST, "path": "/", "pathType": "Prefix", "service": "my-app", "port": 8080}
    listed = {key: value for key, value in status["routes"][0].items() if key != "tls" or value}
    expect_equal(listed, expected, "status.routes[0]")
    expect_equal(status["observedIngressGeneration"], ingress["metadata"]["generation"], "observedIngressGeneration")
    for name in ("Accepted", "ResolvedRefs", "Programmed"):
        found = condition(route, name)
        expect_equal(found.get("status"), "True", f"condition {name}")
        expect_equal(found.get("observedGeneration"), route["metadata"]["generation"], f"{name}.observedGeneration")
        expect(found.get("reason") and found.get("lastTransitionTime"), f"condition {name} lacks a field: {found}")
    expect_equal(route["spec"]["clusterUUID"], world.cluster_uuid, "spec.clusterUUID")
    owner = route["metadata"]["ownerReferences"][0]
    expect_equal(
        (owner["kind"], owner["uid"], owner.get("controller")), ("Ingress", ingress["metadata"]["uid"], True),
        "owner reference",
    )
    return f"generation {route['metadata']['generation']}, revision {status.get('revision')}"


def _programmed(world: World, namespace: str, name: str) -> Object:
    route = world.gateway_route(namespace, name)
    if condition(route, "Programmed").get("status") != "True":
        raise CheckFailed(f"status {route.get('status')}")
    return route


def status_comes_before_the_route(world: World) -> str:
    """The status was written before the route was sent, and both are in the log with times."""
    log = world.agent.log
    written = log.wait_for(
        "GatewayRoute status written", 5,
        lambda line: (line["namespace"], line["name"]) == (world.example_namespace, "my-app"))
    sent = next(
        (
            entry for entry, message in log.control_messages("ingress_routes")
            if any(route["host"] == EXAMPLE_HOST for route in message["payload"]["routes"])
        ),
        None,
    )
    if sent is None:
        raise CheckFailed(f"no ingress_routes message with {EXAMPLE_HOST} in the agent's log")
    revision = json.loads(sent["message"])["payload"]["revision"]
    noted = log.wait_for("Ingress routes sent", 5, lambda line: line["revision"] == revision)
    expect(written.index < min(sent.index, noted.index), "the route was sent before the status was written")
    expect(written.time <= noted.time, f"status written at {written['time']}, route sent at {noted['time']}")
    return f"written {written['time']}, sent {noted['time']}"


def kubectl_shows_gateway_routes(world: World) -> str:
    """kubectl get gatewayroutes prints the columns that people need, by the short name as well."""
    if not world.cluster.kubectl_path:
        return _api_gives_columns(world)
    cluster = world.cluster
    table = cluster.kubectl("get", "gatewayroutes", "-A").splitlines()
    for column in ("NAMESPACE", *(column.upper() for column in COLUMNS)):
        expect(column in table[0], f"column {column} is missing: {table[0]}")
    row = next((line for line in table[1:] if line.split()[:2] == [world.example_namespace, "my-app"]), "")
    expect("Private" in row and EXAMPLE_HOST in row and "True" in row, f"row of my-app: {row!r}")
    expect_equal(
        cluster.kubectl("get", "gwr", "my-app", "-n", world.example_namespace, "-o", "name").strip(),
        "gatewayroute.gateway.pipeops.io/my-app", "kubectl get gwr -o name")
    description = cluster.kubectl("describe", "gwr", "my-app", "-n", world.example_namespace)
    expect("Programmed" in description, "kubectl describe does not show the condition Programmed")
    return " ".join(row.split())


def _api_gives_columns(world: World) -> str:
    """The same without kubectl: it prints what the API server gives as a table, and learns short names from it."""
    columns, rows = world.cluster.table("GatewayRoute", world.example_namespace)
    expect(set(COLUMNS) <= set(columns), f"columns of the table: {columns}")
    row = next((dict(zip(columns, cells)) for cells in rows if cells[columns.index("Name")] == "my-app"), {})
    expect_equal((row.get("Cluster Type"), row.get("Programmed")), ("Private", "True"), "row of my-app")
    expect(EXAMPLE_HOST in str(row["Hosts"]), f"hosts in the row of my-app: {row['Hosts']}")
    expect_equal(int(row["Routes"]), 1, "routes in the row of my-app")
    expect_equal(world.cluster.served("GatewayRoute").get("shortNames"), ["gwr"], "short names")
    return f"from the API, as kubectl is not installed: {', '.join(f'{name} {row[name]}' for name in COLUMNS)}"

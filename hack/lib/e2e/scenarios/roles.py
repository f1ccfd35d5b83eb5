"""What the agents asked of the API server, and what their roles allow."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from demo import leftovers
from demo.cluster import ApiError, Cluster
from demo.logs import Log
from demo.waiting import expect, expect_equal, wait_until
from demo.world import ROOT

from ..api_requests import ApiRequest, requests_in
from ..expectations import answered_by, event, gone, programmed, simple_ingress, with_class, withdrawn
from ..rbac import compare, documents, grants, renamed, rendered_with
from ..world import E2EWorld, Skipped, read_kubeconfig

AGENT = ROOT / "manifests" / "agent"
COMPONENTS = AGENT / "components"
# The agent that has the roles of an installation.
LEAST = "least"
ACCOUNT_KINDS = ("ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding")


def _every_request(world: E2EWorld) -> list[ApiRequest]:
    return [request for log in sorted(world.workspace.logs.glob("agent*.log")) for request in requests_in(Log(log))]


def _rendered(world: E2EWorld) -> str:
    """The manifests of an installation with every component."""
    return rendered_with(world, AGENT, [path.parent for path in sorted(COMPONENTS.glob("*/kustomization.yaml"))])


@contextmanager
def _service_account(world: E2EWorld) -> Iterator[tuple[Path, bool]]:
    """The kubeconfig of a service account with the roles of an installation, and whether that is enforced."""
    config = read_kubeconfig(world.cluster)
    path = world.workspace.directory / "service-account-kubeconfig"
    with world.objects() as objects:
        items = documents(_rendered(world), ACCOUNT_KINDS)
        # A binding is of no use before what it binds.
        for item in sorted(items, key=lambda item: ACCOUNT_KINDS.index(item["kind"])):
            renamed_item = renamed(item, f"-{world.namespace}", world.system_namespace)
            made = objects.create(leftovers.marked(renamed_item))
            if item["kind"] == "ServiceAccount":
                account = made["metadata"]["name"]
        try:
            token = world.cluster.service_account_token(world.system_namespace, account)
        except ApiError as error:
            if error.status not in (404, 405, 501):
                raise
            yield world.cluster.kubeconfig, False
            return
        for entry in config["users"]:
            entry["user"] = {"token": token}
        world.workspace.write_secret(path, json.dumps(config))
        try:
            user = Cluster(path)
            wait_until("the roles are in force", 10, lambda: user.may("list", "networking.k8s.io", "ingresses"))
            yield path, not user.may("create", "", "secrets", "default")
        finally:
            path.unlink()


def roles_suffice(world: E2EWorld) -> str:
    """An agent that has the roles of an installation and nothing else does all that it must, and is never refused.

    What agents ever do is done here, so that `roles_are_exactly_what_is_used` can count what is left over.
    """
    name, host = "least", "least.e2e.example.com"
    item = with_class(simple_ingress(world, name, host, world.blue().service), world.namespace)
    flags = ("--update-ingress-status", "--ingress-class", world.namespace, "--offline-pages")
    with _service_account(world) as (kubeconfig, is_enforced), world.serving(item):
        with world.running_agent(*flags, name=LEAST, elects=True, kubeconfig_path=kubeconfig) as agent:
            programmed(world, name, seconds=30)
            answered_by(world, host, "blue")
            event(world, "Ingress", name, "Programmed")
            # Looked into before it is made again; and what is said of it for the second time is no new Event.
            made = world.gateway_route(world.namespace, name)["metadata"]["uid"]
            world.cluster.delete("GatewayRoute", world.namespace, name)
            wait_until("the GatewayRoute is made again", 10, lambda: _is_made_again(world, name, made))
            programmed(world, name)
            wait_until(
                "an Event is brought up to date", 10,
                lambda: any(request.resource == "events" and request.verb == "patch" for request in agent.requests()))
            # An Ingress that is deleted may take its GatewayRoute with it; from one that opts out the agent takes it.
            opt_out = {"metadata": {"annotations": {"gateway.pipeops.io/expose": "false"}}}
            world.cluster.patch("Ingress", world.namespace, name, opt_out)
            withdrawn(world, host)
            gone(world, name)
        refused = [str(request) for request in agent.requests() if request.code in (401, 403)]
        expect_equal(refused, [], "requests that were refused")
    if not is_enforced:
        raise Skipped("it does, but this API server does not hold it to its roles")
    return f"{len(agent.requests())} requests"


def _is_made_again(world: E2EWorld, name: str, before: str) -> bool:
    return world.gateway_route(world.namespace, name).get("metadata", {}).get("uid", before) != before


def roles_are_exactly_what_is_used(world: E2EWorld) -> str:
    """Every request that an agent made is allowed by its roles, and everything they allow was used."""
    requests = _every_request(world)
    expect(requests, "no agent has logged a request to the API server")
    granted = grants(_rendered(world), {"pipeops-system": world.system_namespace})
    comparison = compare(requests, granted)
    problems = [f"not allowed: {request}" for request in comparison.forbidden]
    # The one agent does all that agents do; but without it, in a part of the suite, nothing follows.
    is_complete = world.is_whole_run or (world.workspace.logs / f"agent-{LEAST}.log").exists()
    if is_complete:
        problems += [f"allowed and not used: {grant}" for grant in comparison.unused]
    expect(not problems, "\n".join(problems))
    partly = "" if is_complete else " (a part of the suite ran: what is allowed and unused does not count)"
    return f"{len(requests)} requests, {len(granted)} grants{partly}"


CHECKS = [roles_suffice, roles_are_exactly_what_is_used]

"""Comparing what was asked of the API server with what roles allow."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Iterator, Optional, Sequence

from demo.kubeconfig import parse_block_yaml

from .api_requests import ApiRequest
from .world import E2EWorld, Skipped


@dataclass(frozen=True)
class Grant:
    """One verb on one resource, the least thing that a rule gives. Without a namespace it holds in all of them."""

    role: str
    group: str
    resource: str
    verb: str
    namespace: Optional[str] = None
    names: tuple[str, ...] = ()

    def allows(self, request: ApiRequest) -> bool:
        resource = request.resource + (f"/{request.subresource}" if request.subresource else "")
        return (
            self.group in ("*", request.group)
            and self.resource in ("*", resource)
            and self.verb in ("*", request.verb)
            and self.namespace in (None, request.namespace)
            # A create has no name that could be compared.
            and (not self.names or (request.verb != "create" and request.name in self.names))
        )

    def __str__(self) -> str:
        group = f".{self.group}" if self.group else ""
        place = f" in {self.namespace}" if self.namespace else ""
        names = f" named {', '.join(self.names)}" if self.names else ""
        return f"{self.verb} {self.resource}{group}{names}{place} ({self.role})"


@dataclass(frozen=True)
class Comparison:
    """What was asked and is not allowed, and what is allowed and was not asked."""

    forbidden: list[ApiRequest]
    unused: list[Grant]


def rendered_with(world: E2EWorld, base: Path, components: Sequence[Path]) -> str:
    """The manifests of an installation with some components."""
    if not world.cluster.kubectl_path:
        raise Skipped("kubectl is not installed, and renders the manifests")
    directory = world.workspace.directory / "roles"
    directory.mkdir(exist_ok=True)
    lines = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization"]
    for section, paths in (("resources", [base]), ("components", components)):
        if paths:
            # Paths must be relative to it.
            lines += [f"{section}:", *(f"- {os.path.relpath(path, directory)}" for path in paths)]
    (directory / "kustomization.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return world.cluster.kubectl("kustomize", str(directory))


def grants(rendered: str, namespaces: dict[str, str]) -> list[Grant]:
    """What the roles of a rendered kustomization give.

    A Role holds in its namespace; `namespaces` says by which one of the run that is played.
    """
    roles = documents(rendered, ("ClusterRole", "Role"))
    return [grant for role in roles for grant in _grants(role, namespaces)]


def documents(rendered: str, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """The objects of some kinds in a rendered kustomization, in the order in which they stand there.

    No other is read: it may have values that are not in block style.
    """
    found = []
    for text in re.split(r"^---\s*$", rendered, flags=re.MULTILINE):
        kind = re.search(r"^kind:\s*(\S+)\s*$", text, flags=re.MULTILINE)
        if kind and kind[1] in kinds:
            found.append(dict(parse_block_yaml(text)))
    return found


def renamed(item: dict[str, Any], suffix: str, namespace: str) -> dict[str, Any]:
    """An object of an installation under another name, in another namespace, so that a real one is not touched."""
    copy = json.loads(json.dumps(item))
    copy["metadata"]["name"] += suffix
    if "namespace" in copy["metadata"]:
        copy["metadata"]["namespace"] = namespace
    if "roleRef" in copy:
        copy["roleRef"]["name"] += suffix
    for subject in copy.get("subjects") or []:
        subject["name"] += suffix
        subject["namespace"] = namespace
    return dict(copy)


def _grants(role: dict[str, Any], namespaces: dict[str, str]) -> Iterator[Grant]:
    metadata = role["metadata"]
    namespace = None
    if role["kind"] == "Role":
        own = str(metadata["namespace"])
        namespace = namespaces.get(own, own)
    for rule in role.get("rules") or []:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield Grant(
                        f"{role['kind']} {metadata['name']}", group, resource, verb, namespace,
                        tuple(rule.get("resourceNames") or ()))


def compare(requests: Iterable[ApiRequest], granted: list[Grant]) -> Comparison:
    """Each request must be allowed, and each grant be used by a request.

    Server-side apply is a patch; where it made the object (201), the server asked for `create` as well. Who watches
    lists as well, although not in this run where the server has streaming lists.
    """
    asked: dict[ApiRequest, None] = {}
    for request in requests:
        asked[_without_code(request, request.verb)] = None
        if request.verb == "patch" and request.code == 201:
            asked[_without_code(request, "create")] = None
        if request.verb == "watch":
            asked[_without_code(request, "list")] = None
    forbidden = [request for request in asked if not any(grant.allows(request) for grant in granted)]
    unused = [grant for grant in granted if not any(grant.allows(request) for request in asked)]
    return Comparison(forbidden, unused)


def _without_code(request: ApiRequest, verb: str) -> ApiRequest:
    return ApiRequest(verb, request.group, request.resource, request.subresource, request.namespace, request.name)

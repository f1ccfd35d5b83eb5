"""Kubernetes objects: builders for those the scenarios make, and the little that must be read of a YAML manifest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Optional, Union

Object = dict[str, Any]


@dataclass(frozen=True)
class Document:
    """One document of a YAML manifest: its text, and what is needed to find its place in the API."""

    text: str
    api_version: str
    kind: str
    name: str
    namespace: Optional[str]


def split_documents(text: str) -> list[Document]:
    """Splits a block-style manifest. An API server parses YAML itself, so nothing more of it needs reading here."""
    documents = []
    for part in re.split(r"^---\s*$", text, flags=re.MULTILINE):
        if re.search(r"^kind:", part, flags=re.MULTILINE):
            documents.append(
                Document(
                    part, _top_level(part, "apiVersion"), _top_level(part, "kind"), _metadata(part, "name") or "",
                    _metadata(part, "namespace"),
                )
            )
    return documents


def _top_level(text: str, key: str) -> str:
    found = re.search(rf"^{key}:\s*(\S+)", text, flags=re.MULTILINE)
    if not found:
        raise ValueError(f"a manifest has no {key}")
    return found[1].strip("\"'")


def _metadata(text: str, key: str) -> Optional[str]:
    block = re.search(r"^metadata:\n((?:[ ]+.*\n|\n)*)", text, flags=re.MULTILINE)
    # The first indentation is that of metadata's own keys; deeper ones belong to labels and annotations.
    found = re.search(rf"^  {key}:\s*(\S+)", block[1], flags=re.MULTILINE) if block else None
    return found[1].strip("\"'") if found else None


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def service(namespace: str, name: str, ports: dict[str, int], service_type: str = "ClusterIP") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "type": service_type,
            "selector": {"app": name},
            "ports": [{"name": port_name, "port": port} for port_name, port in ports.items()],
        },
    }


def path(path: str, service: str, port: Union[int, str], path_type: str = "Prefix") -> Object:
    """A path of a rule; the port is a number, or a name as text."""
    reference = {"number": port} if isinstance(port, int) else {"name": port}
    return {"path": path, "pathType": path_type, "backend": {"service": {"name": service, "port": reference}}}


def rule(host: str, *paths: Object) -> Object:
    return {"host": host, "http": {"paths": list(paths)}}


def ingress(
    namespace: str, name: str, *rules: Object, annotations: Optional[dict[str, str]] = None,
    tls: Optional[list[str]] = None,
) -> Object:
    metadata: Object = {"namespace": namespace, "name": name}
    if annotations:
        metadata["annotations"] = annotations
    spec: Object = {"rules": list(rules)}
    if tls:
        spec["tls"] = [{"hosts": tls, "secretName": f"{name}-tls"}]
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}

"""Control messages (§3): routes, their digest, and the pages of a sync."""

from __future__ import annotations

import json
from typing import Any, Iterable, Iterator, Optional

from .violation import Violation

TEXT_LIMIT = 65_536

Route = dict[str, Any]


def route(host: str, path: str = "/", **more: Any) -> Route:
    """A route to the service `app`, unless told otherwise."""
    basis = {"path_type": "Prefix", "service": "app", "namespace": "default", "port": 8080}
    return {"host": host, "path": path, **basis, **more}


def digest(routes: Iterable[Route]) -> str:
    total = sum(_hash(entry) for entry in routes) & 0xFFFFFFFFFFFFFFFF
    return f"{total:016x}"


def _hash(entry: Route) -> int:
    annotations = entry.get("annotations", {})
    parts = [
        entry["host"].lower(), entry["path"], entry.get("path_type", "Prefix"), entry["service"], entry["namespace"],
        str(entry["port"]), "true" if entry.get("tls", False) else "false",
    ]
    for name in sorted(annotations, key=str.encode):
        parts += [name, annotations[name]]
    value = 0xCBF29CE484222325
    for part in parts:
        for byte in part.encode() + b"\0":
            value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def encode(kind: str, payload: dict[str, Any]) -> str:
    return json.dumps({"type": kind, "payload": payload}, ensure_ascii=False, separators=(",", ":"))


def decode(text: str) -> tuple[str, dict[str, Any]]:
    try:
        message = json.loads(text)
        kind, payload = message["type"], message["payload"]
    except (ValueError, TypeError, KeyError) as error:
        raise Violation("malformed_control", f"not a control message: {error!r}") from error
    if not isinstance(kind, str) or not isinstance(payload, dict):
        raise Violation("malformed_control", "type or payload of another kind")
    return kind, payload


def require(payload: dict[str, Any], *names: tuple[str, type]) -> None:
    for name, kind in names:
        if type(payload.get(name)) is not kind:
            raise Violation("malformed_control", f"the field {name} is missing or no {kind.__name__}")


def ingress_routes(action: str, cluster: str, revision: int, routes: list[Route], page: Optional[dict] = None) -> str:
    payload: dict[str, Any] = {"action": action, "cluster_uuid": cluster, "revision": revision, "routes": routes}
    if page:
        payload["page"] = page
    return encode("ingress_routes", payload)


def sync_pages(cluster: str, revision: int, routes: list[Route]) -> Iterator[str]:
    """A sync, in as many messages as it needs."""
    whole = ingress_routes("sync", cluster, revision, routes)
    if len(whole.encode()) <= TEXT_LIMIT:
        yield whole
        return
    # What a page costs beside its routes, with room for its index.
    room = TEXT_LIMIT - 256 - len(cluster)
    pages: list[list[Route]] = [[]]
    used = 0
    for entry in routes:
        size = len(json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()) + 1
        if used + size > room:
            pages.append([])
            used = 0
        pages[-1].append(entry)
        used += size
    for index, part in enumerate(pages):
        yield ingress_routes("sync", cluster, revision, part, {"index": index, "last": index == len(pages) - 1})

"""What runs that were killed have left in a cluster, and how to tell it from what belongs to a run that goes on."""

from __future__ import annotations

import os
import socket
import time
from datetime import datetime, timezone
from typing import Optional

from .cluster import Cluster
from .manifests import Object
from .waiting import expect

# On every namespace that a run makes, and on what it makes outside of them.
LABEL = "gateway.pipeops.io/made-by-check"
# The machine and the process of the run, as an annotation.
RUN = "gateway.pipeops.io/check-process"
# No run takes as long; one on another machine cannot be looked at, and is taken for ended after this.
LONGEST_RUN_SECONDS = 3600
# In the order in which they are deleted. Everything else is in a namespace.
KINDS = ("Namespace", "ClusterRoleBinding", "ClusterRole")


def marked(item: Object) -> Object:
    """The object as one of this run's."""
    item["metadata"].setdefault("labels", {})[LABEL] = "true"
    item["metadata"].setdefault("annotations", {})[RUN] = f"{socket.gethostname()}/{os.getpid()}"
    return item


def remove(cluster: Cluster) -> None:
    """Removes what killed runs have left; says so where a run is going on instead."""
    found = [
        (kind, item) for kind in KINDS for item in cluster.objects(kind)
        if (item["metadata"].get("labels") or {}).get(LABEL)
    ]
    for kind, item in found:
        expect(
            not goes_on(item),
            f"{kind} {item['metadata']['name']} belongs to a run that is going on in this cluster "
            f"({_run(item)}): wait for its end, or delete it")
    for kind, item in found:
        name = item["metadata"]["name"]
        if kind == "Namespace":
            empty(cluster, name)
            cluster.delete_namespace(name)
            # A name whose deletion is under way cannot be used again.
            cluster.wait_until_gone(kind, None, name, 60)
        else:
            cluster.delete(kind, None, name)


def empty(cluster: Cluster, namespace: str) -> None:
    """Deletes what is in a run's namespace, which a cluster may have nobody else for."""
    for kind in ("Ingress", "Service", "GatewayRoute", "Deployment", "Lease", "RoleBinding", "Role", "Event"):
        for item in _objects(cluster, kind, namespace):
            cluster.delete(kind, namespace, item["metadata"]["name"])


def _objects(cluster: Cluster, kind: str, namespace: str) -> list[Object]:
    # There are no GatewayRoutes where their definition is gone.
    served = kind != "GatewayRoute" or cluster.find(
        "CustomResourceDefinition", None, "gatewayroutes.gateway.pipeops.io")
    return cluster.objects(kind, namespace) if served else []


def goes_on(item: Object, now: Optional[float] = None) -> bool:
    """Whether the run that made an object may still be running."""
    created = datetime.strptime(item["metadata"]["creationTimestamp"], "%Y-%m-%dT%H:%M:%SZ")
    age = (time.time() if now is None else now) - created.replace(tzinfo=timezone.utc).timestamp()
    machine, _, process = _run(item).partition("/")
    if age > LONGEST_RUN_SECONDS or not process.isdecimal():
        return False
    return machine != socket.gethostname() or _is_running(int(process))


def _run(item: Object) -> str:
    return str((item["metadata"].get("annotations") or {}).get(RUN, ""))


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True

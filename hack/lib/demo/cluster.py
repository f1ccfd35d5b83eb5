"""The Kubernetes API, over HTTPS, as far as the scenarios need it; and kubectl where it is installed."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Optional

from . import kubeconfig
from .manifests import Object, split_documents
from .waiting import CheckFailed, expect, wait_until

FIELD_MANAGER = "gateway-demo"
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Resource:
    api_version: str
    plural: str
    namespaced: bool = True


RESOURCES = {
    "Namespace": Resource("v1", "namespaces", namespaced=False),
    "ConfigMap": Resource("v1", "configmaps"),
    "Secret": Resource("v1", "secrets"),
    "Service": Resource("v1", "services"),
    "Deployment": Resource("apps/v1", "deployments"),
    "Ingress": Resource("networking.k8s.io/v1", "ingresses"),
    "Event": Resource("events.k8s.io/v1", "events"),
    "Lease": Resource("coordination.k8s.io/v1", "leases"),
    "GatewayRoute": Resource("gateway.pipeops.io/v1alpha1", "gatewayroutes"),
    "ServiceAccount": Resource("v1", "serviceaccounts"),
    "ClusterRole": Resource("rbac.authorization.k8s.io/v1", "clusterroles", namespaced=False),
    "ClusterRoleBinding": Resource("rbac.authorization.k8s.io/v1", "clusterrolebindings", namespaced=False),
    "Role": Resource("rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": Resource("rbac.authorization.k8s.io/v1", "rolebindings"),
    "CustomResourceDefinition": Resource("apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False),
}


class ApiError(Exception):
    """An answer of the API server other than success."""

    def __init__(self, status: int, request: str, message: str) -> None:
        super().__init__(f"{request}: {status} {message}")
        self.status = status


class Cluster:
    """A client of one API server. Every thread has a connection of its own, which is kept open."""

    def __init__(self, kubeconfig_path: Path) -> None:
        self.kubeconfig = kubeconfig_path
        self.kubectl_path = shutil.which("kubectl")
        self._access = kubeconfig.load(kubeconfig_path, self.kubectl_path)
        self._local = threading.local()

    @property
    def server(self) -> tuple[str, int]:
        """Host and port of the API server."""
        return self._access.host, self._access.port

    # Reading

    def version(self) -> Object:
        """What the API server says about itself."""
        return self._request("GET", "/version")

    def get(self, kind: str, namespace: Optional[str], name: str) -> Object:
        return self._request("GET", self._path(kind, namespace, name))

    def find(self, kind: str, namespace: Optional[str], name: str) -> Optional[Object]:
        try:
            return self.get(kind, namespace, name)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def objects(self, kind: str, namespace: Optional[str] = None) -> list[Object]:
        """The objects of one namespace, or of all."""
        items = self._request("GET", self._path(kind, namespace)).get("items")
        return list(items or [])

    def watch(self, kind: str, namespace: str) -> tuple[http.client.HTTPResponse, http.client.HTTPConnection]:
        """Every change from now on, one JSON object a line, on a connection of its own that waits without limit."""
        version = self._request("GET", self._path(kind, namespace) + "?limit=1")["metadata"]["resourceVersion"]
        path = f"{self._path(kind, namespace)}?watch=true&resourceVersion={version}"
        connection = self._connect()
        connection.connect()
        connection.sock.settimeout(None)
        headers = {"Accept": JSON, "User-Agent": FIELD_MANAGER, **self._access.headers}
        connection.request("GET", self._access.base_path + path, headers=headers)
        response = connection.getresponse()
        if response.status >= 300:
            raise ApiError(response.status, f"GET {path}", response.read().decode(errors="replace"))
        return response, connection

    # Writing

    def create(self, item: Object) -> Object:
        kind, metadata = item["kind"], item["metadata"]
        return self._request("POST", self._path(kind, metadata.get("namespace")), item)

    def service_account_token(self, namespace: str, name: str) -> str:
        """A token that the API server issues for a service account; it lasts for an hour."""
        request = {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600},
        }
        issued = self._request("POST", self._path("ServiceAccount", namespace, name, "token"), request)
        return str(issued["status"]["token"])

    def may(self, verb: str, group: str, resource: str, namespace: str = "") -> bool:
        """Whether this client's user may do something."""
        attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
        review = {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = self._request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return bool(answer.get("status", {}).get("allowed"))

    def patch(
        self, kind: str, namespace: Optional[str], name: str, change: Object, subresource: Optional[str] = None
    ) -> Object:
        """A JSON merge patch."""
        return self._request("PATCH", self._path(kind, namespace, name, subresource), change, MERGE_PATCH)

    def delete(self, kind: str, namespace: Optional[str], name: str) -> None:
        """Deletes what may already be gone."""
        try:
            self._request("DELETE", self._path(kind, namespace, name))
        except ApiError as error:
            if error.status != 404:
                raise

    def delete_all(self, kind: str, namespace: str) -> None:
        """Deletes every object of a kind in a namespace, by one request."""
        self._request("DELETE", self._path(kind, namespace))

    def replace(self, item: Object) -> Object:
        """Puts an object in the place of the one with its name and resource version."""
        metadata = item["metadata"]
        return self._request("PUT", self._path(item["kind"], metadata.get("namespace"), metadata["name"]), item)

    def wait_until_gone(self, kind: str, namespace: Optional[str], name: str, seconds: float) -> None:
        """Waits for the end of a deletion: finalizers may still be at work when the answer to it has come."""
        wait_until(
            f"{kind} {name} is gone", seconds, lambda: self.find(kind, namespace, name) is None, pause=0.05)

    @cached_property
    def deletes_namespaces(self) -> bool:
        """Whether this cluster has a controller-manager, which finishes deletions of namespaces in its own time.

        A sign that it has is the root certificate that one publishes in every namespace.
        """
        return any(self.find("ConfigMap", name, "kube-root-ca.crt") for name in ("kube-system", "default"))

    def delete_namespace(self, name: str) -> None:
        """Deletes a namespace that this run made and emptied, with the last step that nobody else would take."""
        self.delete("Namespace", None, name)
        if not self.deletes_namespaces:
            wait_until(f"namespace {name} is gone", 2, lambda: self._finalize_namespace(name), pause=0.02)

    def _finalize_namespace(self, name: str) -> bool:
        """Whether the namespace is gone; where it is not, takes its finalizers away."""
        left = self.find("Namespace", None, name)
        if not left:
            return True
        left["spec"] = {"finalizers": []}
        try:
            self._request("PUT", self._path("Namespace", None, name, "finalize"), left)
        except ApiError as error:
            # Gone meanwhile, or changed: looked at again.
            if error.status not in (404, 409):
                raise
        return False

    def table(self, kind: str, namespace: Optional[str] = None) -> tuple[list[str], list[list[Any]]]:
        """What `kubectl get` prints: the names of the columns, and the rows."""
        accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        table = self._request("GET", self._path(kind, namespace), accept=accept)
        expect(table.get("kind") == "Table", f"the API server answers with a {table.get('kind')}, not with a Table")
        columns = [column["name"] for column in table["columnDefinitions"]]
        return columns, [row["cells"] for row in table.get("rows") or []]

    def served(self, kind: str) -> Object:
        """What the API server says about a kind to those who look for it: its names, short names and categories."""
        version, plural = self._path(kind, None).rsplit("/", 1)
        found = [entry for entry in self._request("GET", version)["resources"] if entry["name"] == plural]
        expect(found, f"{kind} is not in the API server's discovery")
        return dict(found[0])

    def apply(self, text: str) -> None:
        """Applies a manifest with kubectl where it is installed, otherwise document by document through the API."""
        if self.kubectl_path:
            self.kubectl("apply", "-f", "-", stdin=text)
            return
        for document in split_documents(text):
            resource = RESOURCES[document.kind]
            place = self._path(document.kind, document.namespace if resource.namespaced else None, document.name)
            self._request(
                "PATCH", f"{place}?fieldManager={FIELD_MANAGER}&force=true", document.text.encode(), APPLY_PATCH)

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Runs kubectl and returns what it printed."""
        if not self.kubectl_path:
            raise CheckFailed("kubectl is not installed")
        result = subprocess.run(
            [self.kubectl_path, "--kubeconfig", str(self.kubeconfig), *arguments], input=stdin, capture_output=True,
            text=True, timeout=20, check=False,
        )
        if result.returncode != 0:
            raise CheckFailed(f"kubectl {' '.join(arguments)}: {(result.stderr or result.stdout).strip()}")
        return result.stdout

    # Plumbing

    @staticmethod
    def _path(kind: str, namespace: Optional[str], name: str = "", subresource: Optional[str] = None) -> str:
        resource = RESOURCES[kind]
        root = "/api/" if "/" not in resource.api_version else "/apis/"
        parts = [root + resource.api_version]
        if namespace and resource.namespaced:
            parts += ["namespaces", namespace]
        parts += [part for part in (resource.plural, name, subresource) if part]
        return "/".join(parts)

    def _request(
        self, method: str, path: str, body: Any = None, content_type: str = JSON, accept: str = JSON
    ) -> Object:
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        headers = {"Accept": accept, "User-Agent": FIELD_MANAGER, **self._access.headers}
        if data is not None:
            headers["Content-Type"] = content_type
        status, content = self._exchange(method, self._access.base_path + path, data, headers)
        try:
            answer = json.loads(content) if content else {}
        except ValueError:
            answer = {"message": content.decode(errors="replace")}
        if status >= 300:
            raise ApiError(status, f"{method} {path}", str(answer.get("message", "")))
        return dict(answer)

    def _exchange(
        self, method: str, path: str, data: Optional[bytes], headers: dict[str, str]
    ) -> tuple[int, bytes]:
        kept = getattr(self._local, "connection", None)
        # A connection on which an exchange is broken off, by a signal for example, is of no use any more.
        self._local.connection = None
        connection = kept or self._connect()
        try:
            try:
                connection.request(method, path, data, headers)
                response = connection.getresponse()
            except (http.client.RemoteDisconnected, ConnectionError):
                # A kept connection may have been closed by the server meanwhile; a new one may not.
                if not kept:
                    raise
                connection = self._connect()
                connection.request(method, path, data, headers)
                response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(0, f"{method} {path}", f"no answer from the API server: {error!r}") from error
        self._local.connection = connection
        return response.status, content

    def _connect(self) -> http.client.HTTPConnection:
        access = self._access
        if access.tls:
            return http.client.HTTPSConnection(access.host, access.port, timeout=10, context=access.tls)
        return http.client.HTTPConnection(access.host, access.port, timeout=10)


def condition(item: Object, condition_type: str) -> Object:
    """A condition of an object's status, empty where there is none yet."""
    for entry in item.get("status", {}).get("conditions") or []:
        if entry.get("type") == condition_type:
            return dict(entry)
    return {}

"""The Kubernetes API, over HTTPS, as far as the scenarios need it; and kubectl where it is installed."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from . import kubeconfig
from .manifests import Document, Object, split_documents
from .waiting import CheckFailed, wait_until

FIELD_MANAGER = "gateway-demo"
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
    "Service": Resource("v1", "services"),
    "Deployment": Resource("apps/v1", "deployments"),
    "Ingress": Resource("networking.k8s.io/v1", "ingresses"),
    "Event": Resource("events.k8s.io/v1", "events"),
    "GatewayRoute": Resource("gateway.pipeops.io/v1alpha1", "gatewayroutes"),
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

    # Reading

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

    # Writing

    def create(self, item: Object) -> Object:
        kind, metadata = item["kind"], item["metadata"]
        return self._request("POST", self._path(kind, metadata.get("namespace")), item)

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

    def delete_namespace(self, name: str, seconds: float = 3.0) -> None:
        """Deletes a namespace that this run made and emptied.

        A cluster without a controller-manager never finishes such a deletion: then the last step is taken here. One
        that has published its root certificate in the namespace is left to do it in its own time.
        """
        has_controllers = self.find("ConfigMap", name, "kube-root-ca.crt") is not None
        self.delete("Namespace", None, name)
        if has_controllers:
            return
        try:
            wait_until("namespace deleted", seconds, lambda: self.find("Namespace", None, name) is None, pause=0.05)
        except CheckFailed:
            left = self.find("Namespace", None, name)
            if left:
                left["spec"] = {"finalizers": []}
                self._request("PUT", self._path("Namespace", None, name, "finalize"), left)

    def apply(self, text: str) -> list[Document]:
        """Applies a manifest with kubectl where it is installed, otherwise document by document through the API."""
        documents = split_documents(text)
        if self.kubectl_path:
            self.kubectl("apply", "-f", "-", stdin=text)
            return documents
        for document in documents:
            resource = RESOURCES[document.kind]
            place = self._path(document.kind, document.namespace if resource.namespaced else None, document.name)
            self._request(
                "PATCH", f"{place}?fieldManager={FIELD_MANAGER}&force=true", document.text.encode(), APPLY_PATCH)
        return documents

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

    def _request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Object:
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        headers = {"Accept": "application/json", "User-Agent": FIELD_MANAGER, **self._access.headers}
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
            self._local.connection = None
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

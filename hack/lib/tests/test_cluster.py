"""Deletions, against API servers that finish them at once, later, or not by themselves."""

from __future__ import annotations

import time
import unittest
from typing import Any, Optional
from unittest import mock

from demo import kubeconfig
from demo.cluster import ApiError, Cluster
from demo.manifests import Object
from demo.waiting import CheckFailed

DEFINITION = "gatewayroutes.gateway.pipeops.io"


class ScriptedCluster(Cluster):
    """An API server in memory, as far as deletions go, that notes every request."""

    def __init__(self, controllers: bool, lingers: int = 0) -> None:
        with mock.patch.object(kubeconfig, "load"):
            super().__init__(mock.Mock())
        self.requests: list[str] = []
        # How often a definition that was deleted is still seen.
        self.lingers = lingers
        self.stored: dict[str, Object] = {
            "/api/v1/namespaces/mine": {"metadata": {"name": "mine"}, "spec": {"finalizers": ["kubernetes"]}},
            f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{DEFINITION}": {"metadata": {"name": DEFINITION}},
        }
        if controllers:
            self.stored["/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt"] = {"metadata": {}}

    def _request(
        self, method: str, path: str, body: Any = None, content_type: Optional[str] = None, accept: str = ""
    ) -> Object:
        self.requests.append(f"{method} {path}")
        place = path.removesuffix("/finalize")
        found = self.stored.get(place)
        if not found:
            raise ApiError(404, f"{method} {path}", "not found")
        if method == "DELETE":
            found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        elif method == "PUT" and not body["spec"]["finalizers"]:
            del self.stored[place]
        elif found["metadata"].get("deletionTimestamp") and "customresourcedefinitions" in path:
            self.lingers -= 1
            if self.lingers < 0:
                del self.stored[place]
        return dict(found)


class DeletionTests(unittest.TestCase):
    def test_a_namespace_is_finalized_at_once_where_nobody_else_would(self) -> None:
        cluster = ScriptedCluster(controllers=False)
        started = time.monotonic()
        cluster.delete_namespace("mine")
        self.assertLess(time.monotonic() - started, 1)
        self.assertNotIn("/api/v1/namespaces/mine", cluster.stored)

    def test_a_namespace_is_left_to_the_controller_manager_where_there_is_one(self) -> None:
        cluster = ScriptedCluster(controllers=True)
        cluster.delete_namespace("mine")
        self.assertIn("/api/v1/namespaces/mine", cluster.stored)
        self.assertEqual([line for line in cluster.requests if line.startswith("PUT")], [])

    def test_whether_there_is_a_controller_manager_is_asked_once(self) -> None:
        cluster = ScriptedCluster(controllers=False)
        cluster.delete_namespace("mine")
        asked = [line for line in cluster.requests if "kube-root-ca.crt" in line]
        cluster.delete_namespace("mine")
        self.assertEqual([line for line in cluster.requests if "kube-root-ca.crt" in line], asked)

    def test_the_end_of_a_deletion_is_waited_for(self) -> None:
        cluster = ScriptedCluster(controllers=True, lingers=3)
        cluster.delete("CustomResourceDefinition", None, DEFINITION)
        self.assertIsNotNone(cluster.find("CustomResourceDefinition", None, DEFINITION))
        cluster.wait_until_gone("CustomResourceDefinition", None, DEFINITION, 5)
        self.assertIsNone(cluster.find("CustomResourceDefinition", None, DEFINITION))

    def test_a_deletion_that_does_not_end_is_reported(self) -> None:
        cluster = ScriptedCluster(controllers=True, lingers=1000)
        cluster.delete("CustomResourceDefinition", None, DEFINITION)
        with self.assertRaisesRegex(CheckFailed, DEFINITION):
            cluster.wait_until_gone("CustomResourceDefinition", None, DEFINITION, 0.2)


if __name__ == "__main__":
    unittest.main()

"""Comparing requests with roles."""

from __future__ import annotations

import unittest

from e2e.api_requests import ApiRequest
from e2e.rbac import Grant, compare, grants, renamed

RENDERED = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: not-read
data:
  text: |
    kind: nothing
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  labels:
    app.kubernetes.io/name: pipeops-agent
  name: pipeops-agent
rules:
- apiGroups:
  - networking.k8s.io
  resources:
  - ingresses
  verbs:
  - list
  - watch
- apiGroups:
  - ""
  resourceNames:
  - kube-system
  resources:
  - namespaces
  verbs:
  - get
- apiGroups:
  - gateway.pipeops.io
  resources:
  - gatewayroutes
  verbs:
  - create
  - patch
- apiGroups:
  - gateway.pipeops.io
  resources:
  - gatewayroutes/status
  verbs:
  - patch
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: pipeops-agent
  namespace: pipeops-system
rules:
- apiGroups:
  - coordination.k8s.io
  resources:
  - leases
  verbs:
  - create
"""
GRANTS = grants(RENDERED, {"pipeops-system": "e2e-lease"})
WATCH = ApiRequest("watch", "networking.k8s.io", "ingresses", code=200)
NAMESPACE = ApiRequest("get", "", "namespaces", name="kube-system", code=200)
APPLY = ApiRequest("patch", "gateway.pipeops.io", "gatewayroutes", "", "shop", "web", 201)
STATUS = ApiRequest("patch", "gateway.pipeops.io", "gatewayroutes", "status", "shop", "web", 200)
LEASE = ApiRequest("create", "coordination.k8s.io", "leases", "", "e2e-lease", "", 201)
EVERYTHING = [WATCH, NAMESPACE, APPLY, STATUS, LEASE]


class RoleTests(unittest.TestCase):
    def test_every_verb_of_every_rule_is_a_grant(self) -> None:
        self.assertEqual(len(GRANTS), 7)
        self.assertIn(Grant("ClusterRole pipeops-agent", "", "namespaces", "get", None, ("kube-system",)), GRANTS)
        self.assertIn(
            Grant("Role pipeops-agent", "coordination.k8s.io", "leases", "create", "e2e-lease"), GRANTS)

    def test_exactly_what_is_allowed(self) -> None:
        comparison = compare(EVERYTHING, GRANTS)
        self.assertEqual((comparison.forbidden, comparison.unused), ([], []))

    def test_a_request_that_no_rule_allows_is_found(self) -> None:
        for request in (
            ApiRequest("update", "networking.k8s.io", "ingresses", "status", "shop", "web"),
            ApiRequest("get", "", "namespaces", name="default"),
            ApiRequest("list", "", "namespaces"),
            ApiRequest("list", "extensions", "ingresses"),
            ApiRequest("create", "coordination.k8s.io", "leases", "", "elsewhere"),
            ApiRequest("patch", "networking.k8s.io", "ingresses", "", "shop", "web"),
        ):
            self.assertEqual(compare([*EVERYTHING, request], GRANTS).forbidden, [request], str(request))

    def test_a_verb_that_no_request_needs_is_found(self) -> None:
        for left_out in EVERYTHING:
            rest = [request for request in EVERYTHING if request is not left_out]
            unused = compare(rest, GRANTS).unused
            self.assertIn(left_out.verb, [grant.verb for grant in unused], str(left_out))

    def test_who_watches_must_be_allowed_to_list(self) -> None:
        granted = [grant for grant in GRANTS if grant.verb != "list"]
        self.assertEqual([request.verb for request in compare(EVERYTHING, granted).forbidden], ["list"])

    def test_an_apply_that_made_nothing_needs_no_create(self) -> None:
        changed = ApiRequest("patch", "gateway.pipeops.io", "gatewayroutes", "", "shop", "web", 200)
        rest = [request for request in EVERYTHING if request is not APPLY]
        self.assertEqual([grant.verb for grant in compare([*rest, changed], GRANTS).unused], ["create"])

    def test_a_rule_with_names_does_not_allow_create(self) -> None:
        named = [Grant("Role r", "coordination.k8s.io", "leases", "create", None, ("pipeops-agent",))]
        self.assertEqual(len(compare([LEASE], named).forbidden), 1)


class RenamingTests(unittest.TestCase):
    def test_a_binding_is_renamed_with_what_it_binds(self) -> None:
        binding = {
            "kind": "RoleBinding", "metadata": {"name": "agent", "namespace": "pipeops-system"},
            "roleRef": {"kind": "Role", "name": "agent"},
            "subjects": [{"kind": "ServiceAccount", "name": "agent", "namespace": "pipeops-system"}],
        }
        self.assertEqual(
            renamed(binding, "-x", "mine"),
            {
                "kind": "RoleBinding", "metadata": {"name": "agent-x", "namespace": "mine"},
                "roleRef": {"kind": "Role", "name": "agent-x"},
                "subjects": [{"kind": "ServiceAccount", "name": "agent-x", "namespace": "mine"}],
            })
        self.assertEqual(binding["metadata"]["name"], "agent")

    def test_an_object_of_the_whole_cluster_gets_no_namespace(self) -> None:
        role = {"kind": "ClusterRole", "metadata": {"name": "agent"}, "rules": []}
        self.assertEqual(renamed(role, "-x", "mine")["metadata"], {"name": "agent-x"})


if __name__ == "__main__":
    unittest.main()

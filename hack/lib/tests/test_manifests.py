"""Finding a manifest's place in the API."""

from __future__ import annotations

import unittest

from demo.manifests import split_documents

TWO = """\
# A comment before the first document.
---
apiVersion: v1
kind: Service
metadata:
  labels:
    name: not-this-one
  name: "my-app"
  namespace: default
spec:
  name: nor-this-one
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: gatewayroutes.gateway.pipeops.io
"""


class SplitDocuments(unittest.TestCase):
    def test_kind_name_and_namespace_are_those_of_the_metadata(self) -> None:
        found = [(d.api_version, d.kind, d.namespace, d.name) for d in split_documents(TWO)]
        self.assertEqual(
            found,
            [
                ("v1", "Service", "default", "my-app"),
                (
                    "apiextensions.k8s.io/v1", "CustomResourceDefinition", None,
                    "gatewayroutes.gateway.pipeops.io",
                ),
            ],
        )


if __name__ == "__main__":
    unittest.main()

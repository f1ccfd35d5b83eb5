"""Reading kubeconfigs without kubectl."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from demo import kubeconfig

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: second
preferences: {}
# Lists may stand at their key's indentation, or deeper.
clusters:
- name: one
  cluster:
    server: http://127.0.0.1:1
- cluster:
    server: "http://127.0.0.1:6443/prefix/"
  name: two
contexts:
  - name: second
    context:
      cluster: two
      user: 'some one'
users:
- name: some one
  user:
    token: a:b#c
"""


class BlockYAML(unittest.TestCase):
    def test_mappings_lists_and_scalars_are_read(self) -> None:
        config = kubeconfig.parse_block_yaml(KUBECONFIG)
        self.assertEqual(config["current-context"], "second")
        self.assertEqual([cluster["name"] for cluster in config["clusters"]], ["one", "two"])
        self.assertEqual(config["contexts"][0]["context"], {"cluster": "two", "user": "some one"})
        self.assertEqual(config["preferences"], {})

    def test_what_is_not_understood_is_refused(self) -> None:
        for text in ("users: [a, b]\n", "key: |\n  text\n", "a: 1\n   b: 2\n", "a: 1\nnot a pair\n"):
            with self.subTest(text), self.assertRaises(kubeconfig.KubeconfigError):
                kubeconfig.parse_block_yaml(text)


class Access(unittest.TestCase):
    def test_the_current_context_gives_server_and_token(self) -> None:
        access = self.load(KUBECONFIG)
        self.assertEqual((access.host, access.port, access.base_path), ("127.0.0.1", 6443, "/prefix"))
        self.assertEqual(access.headers, {"Authorization": "Bearer a:b#c"})
        self.assertIsNone(access.tls)

    def test_a_context_that_does_not_exist_is_named(self) -> None:
        with self.assertRaisesRegex(kubeconfig.KubeconfigError, "third"):
            self.load(KUBECONFIG.replace("current-context: second", "current-context: third"))

    def test_a_user_with_a_plugin_is_refused(self) -> None:
        text = KUBECONFIG.replace("    token: a:b#c", "    exec:\n      command: login")
        with self.assertRaisesRegex(kubeconfig.KubeconfigError, "exec"):
            self.load(text)

    def load(self, text: str) -> kubeconfig.Access:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "config"
            path.write_text(text, encoding="utf-8")
            return kubeconfig.load(path, kubectl=None)


if __name__ == "__main__":
    unittest.main()

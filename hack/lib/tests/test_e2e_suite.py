"""Choosing checks, reading requests from logs, leading a kubeconfig through a relay, and the relay itself."""

from __future__ import annotations

import socket
import threading
import unittest
from typing import Any

from demo.logs import Entry
from e2e.api_requests import ApiRequest, parse, writes
from e2e.relay import Relay
from e2e.scenarios import GROUPS
from e2e.suite import matches
from e2e.world import through


class SuiteTests(unittest.TestCase):
    def test_every_check_has_a_name_of_its_own_and_a_title(self) -> None:
        checks = [check for group in GROUPS for check in group.checks()]
        self.assertEqual(len({check.name for check in checks}), len(checks))
        self.assertEqual([check.name for check in checks if not check.title], [])

    def test_a_pattern_is_a_part_of_the_name_or_has_wildcards(self) -> None:
        name = "leadership.one_writes"
        for pattern in (None, "leadership.", "one_writes", "lead*writes", "ship.one"):
            self.assertTrue(matches(name, pattern), pattern)
        for pattern in ("outage", "writes.one", "lead*reads"):
            self.assertFalse(matches(name, pattern), pattern)


class RequestTests(unittest.TestCase):
    def test_a_log_line_is_a_request(self) -> None:
        line = {
            "msg": "Kubernetes request", "verb": "patch", "group": "gateway.pipeops.io", "resource": "gatewayroutes",
            "subresource": "status", "namespace": "shop", "name": "web", "code": "200",
        }
        request = parse(Entry(0, line))
        self.assertEqual(
            request, ApiRequest("patch", "gateway.pipeops.io", "gatewayroutes", "status", "shop", "web", 200))
        self.assertEqual(str(request), "patch gatewayroutes/status.gateway.pipeops.io shop/web (200)")

    def test_what_a_line_does_not_say_is_empty(self) -> None:
        request = parse(Entry(0, {"verb": "list", "resource": "services", "group": ""}))
        self.assertEqual(request, ApiRequest("list", "", "services"))

    def test_writes_are_what_changes_something_but_leases(self) -> None:
        every = [ApiRequest(verb, "", "services") for verb in ("get", "list", "watch", "patch", "delete", "create")]
        every.append(ApiRequest("update", "coordination.k8s.io", "leases"))
        self.assertEqual([request.verb for request in writes(every)], ["patch", "delete", "create"])


def _config(server: str, **more: Any) -> dict[str, Any]:
    return {"clusters": [{"name": "c", "cluster": {"server": server, **more}}]}


class KubeconfigTests(unittest.TestCase):
    def test_a_server_elsewhere_keeps_the_name_in_its_certificate(self) -> None:
        led = through(_config("https://api.example.com:6443"), "api.example.com", 2000)
        self.assertEqual(
            led["clusters"][0]["cluster"], {"server": "https://127.0.0.1:2000", "tls-server-name": "api.example.com"})

    def test_a_server_here_needs_no_name_and_one_that_is_given_stays(self) -> None:
        here = through(_config("https://127.0.0.1:6443"), "127.0.0.1", 2000)
        self.assertEqual(here["clusters"][0]["cluster"], {"server": "https://127.0.0.1:2000"})
        named = through(_config("https://10.0.0.1", **{"tls-server-name": "kubernetes"}), "10.0.0.1", 2000)
        self.assertEqual(named["clusters"][0]["cluster"]["tls-server-name"], "kubernetes")


class RelayTests(unittest.TestCase):
    def setUp(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._echo, daemon=True).start()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.relay = Relay(port, self.server.getsockname()[:2])
        self.relay.open()

    def tearDown(self) -> None:
        self.relay.close()
        self.server.close()

    def _echo(self) -> None:
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    @staticmethod
    def _answer(client: socket.socket) -> None:
        with client:
            while data := client.recv(100):
                client.sendall(data)

    def _exchange(self) -> bytes:
        with socket.create_connection(("127.0.0.1", self.relay.port), timeout=5) as client:
            client.sendall(b"hello")
            return client.recv(100)

    def test_bytes_pass_both_ways(self) -> None:
        self.assertEqual(self._exchange(), b"hello")

    def test_a_cut_ends_connections_and_refuses_new_ones_until_it_is_mended(self) -> None:
        with socket.create_connection(("127.0.0.1", self.relay.port), timeout=5) as client:
            client.sendall(b"hello")
            self.assertEqual(client.recv(100), b"hello")
            self.relay.cut()
            try:
                self.assertEqual(client.recv(100), b"")
            except ConnectionError:
                pass
        for _ in range(3):
            try:
                self.assertEqual(self._exchange(), b"")
            except ConnectionError:
                pass
        self.assertEqual(self.relay.attempts, 3)
        self.relay.restore()
        self.assertEqual(self._exchange(), b"hello")

    def test_a_frozen_one_holds_bytes_back_and_ends_nothing(self) -> None:
        with socket.create_connection(("127.0.0.1", self.relay.port), timeout=0.2) as client:
            self.relay.freeze()
            client.sendall(b"hello")
            with self.assertRaises(socket.timeout):
                client.recv(100)
            self.relay.restore()
            client.settimeout(5)
            self.assertEqual(client.recv(100), b"hello")


if __name__ == "__main__":
    unittest.main()

"""What a killed run left in a cluster: recognised, removed, and told from what a run that goes on has made."""

from __future__ import annotations

import calendar
import os
import socket
import subprocess
import sys
import time
import unittest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Optional

from demo import leftovers, manifests
from demo.manifests import Object
from demo.waiting import CheckFailed, wait_until

CREATED = "2026-01-01T00:00:00Z"
NOW = float(calendar.timegm((2026, 1, 1, 0, 1, 0)))


def made(name: str, run: str) -> Object:
    item = leftovers.marked(manifests.namespace(name))
    item["metadata"].update(creationTimestamp=CREATED, annotations={leftovers.RUN: run})
    return item


def ended_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


class MemoryCluster:
    """As much of a cluster as is asked."""

    def __init__(self, *items: Object) -> None:
        self.stored = {
            (item["kind"], item["metadata"].get("namespace"), item["metadata"]["name"]): item for item in items}

    def objects(self, kind: str, namespace: Optional[str] = None) -> list[Object]:
        return [item for (found, place, _), item in self.stored.items() if (found, place) == (kind, namespace)]

    def find(self, kind: str, namespace: Optional[str], name: str) -> Optional[Object]:
        return self.stored.get((kind, namespace, name))

    def delete(self, kind: str, namespace: Optional[str], name: str) -> None:
        self.stored.pop((kind, namespace, name), None)

    def delete_namespace(self, name: str) -> None:
        left = [key for key in self.stored if key[1] == name]
        assert not left, f"{name} is not empty: {left}"
        self.delete("Namespace", None, name)

    def wait_until_gone(self, kind: str, namespace: Optional[str], name: str, seconds: float) -> None:
        assert not self.find(kind, namespace, name)


def remove(*items: Object) -> list[Any]:
    """What is left after a removal."""
    cluster = MemoryCluster(*items)
    leftovers.remove(cluster)  # type: ignore[arg-type]
    return [name for _, _, name in cluster.stored]


class LeftoverTests(unittest.TestCase):
    def test_a_run_goes_on_while_its_process_does(self) -> None:
        here = socket.gethostname()
        for run, goes_on in (
            (f"{here}/{os.getpid()}", True), (f"{here}/{ended_process()}", False), ("elsewhere/1", True), ("", False),
            (f"{here}/none", False),
        ):
            self.assertEqual(leftovers.goes_on(made("a", run), NOW), goes_on, run)

    def test_no_run_lasts_for_hours(self) -> None:
        for run in ("elsewhere/1", f"{socket.gethostname()}/{os.getpid()}"):
            self.assertFalse(leftovers.goes_on(made("a", run), NOW + 2 * leftovers.LONGEST_RUN_SECONDS), run)

    def test_what_is_marked_is_of_the_run_that_marks_it(self) -> None:
        item = leftovers.marked(manifests.namespace("a"))
        item["metadata"]["creationTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.assertTrue(leftovers.goes_on(item))

    def test_what_a_killed_run_made_is_removed_with_what_is_in_it_and_nothing_else(self) -> None:
        run = f"{socket.gethostname()}/{ended_process()}"
        role: Object = {"kind": "ClusterRole", "metadata": {"name": "agent-x"}}
        role = leftovers.marked(role)
        role["metadata"].update(creationTimestamp=CREATED, annotations={leftovers.RUN: run})
        self.assertEqual(
            remove(
                made("ingress-nginx", run),
                manifests.service("ingress-nginx", "ingress-nginx-controller", {"http": 80}),
                manifests.namespace("default"), manifests.service("default", "theirs", {"http": 80}), role,
                {"kind": "ClusterRole", "metadata": {"name": "admin"}}),
            ["default", "theirs", "admin"])

    def test_nothing_is_removed_while_a_run_goes_on(self) -> None:
        item = made("ingress-nginx", f"{socket.gethostname()}/{os.getpid()}")
        item["metadata"]["creationTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with self.assertRaisesRegex(CheckFailed, "ingress-nginx belongs to a run that is going on"):
            remove(made("old", ""), item)

    @unittest.skipUnless(sys.platform == "linux", "only Linux tells programs that their parent is gone")
    def test_programs_end_with_a_run_that_is_killed(self) -> None:
        with TemporaryDirectory() as directory:
            script = (
                "import os, signal, sys; from pathlib import Path; from demo.processes import Program\n"
                "program = Program('sleep', ['sleep', '60'], Path(sys.argv[1]) / 'log')\n"
                "print(program.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)")
            ran = subprocess.run(
                [sys.executable, "-c", script, directory], capture_output=True, text=True, check=False, timeout=20)
            process = int(ran.stdout)
            # Nobody may have waited for it: a zombie has ended, too.
            wait_until("the program has ended", 5, lambda: not _runs(process))


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    unittest.main()

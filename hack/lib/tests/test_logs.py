"""Reading logs while they are written."""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path

from demo.logs import Log
from demo.waiting import CheckFailed


class Reading(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "program.log"
        self.log = Log(self.path)

    def append(self, text: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)

    def test_a_line_counts_when_it_is_complete(self) -> None:
        line = json.dumps({"msg": "Tunnel connected", "time": "2026-01-02T03:04:05.678Z"})
        self.append(line[:10])
        self.assertEqual(self.log.entries("Tunnel connected"), [])
        self.append(line[10:] + "\n")
        self.assertEqual(self.log.entries("Tunnel connected")[0].time.microsecond, 678_000)

    def test_a_line_that_is_not_json_is_kept_as_its_text(self) -> None:
        self.append("Fatal error: oh\n")
        self.assertEqual(self.log.entries("Fatal error: oh")[0].index, 0)

    def test_only_lines_after_the_mark_are_found(self) -> None:
        self.append('{"msg":"a","n":1}\n')
        mark = self.log.mark()
        self.assertEqual(self.log.entries("a", after=mark), [])
        self.append('{"msg":"a","n":2}\n')
        self.assertEqual([entry["n"] for entry in self.log.entries("a", after=mark)], [2])

    def test_waiting_has_a_bound(self) -> None:
        with self.assertRaisesRegex(CheckFailed, "never"):
            self.log.wait_for("never", 0.05)

    def test_control_messages_are_found_by_type(self) -> None:
        message = json.dumps({"type": "heartbeat", "payload": {}})
        self.append(json.dumps({"msg": "Control message sent", "message": message}) + "\n")
        self.assertEqual([found for _, found in self.log.control_messages("heartbeat")], [json.loads(message)])
        self.assertEqual(self.log.control_messages("hello"), [])


if __name__ == "__main__":
    unittest.main()

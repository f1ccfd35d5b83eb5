"""Counting and writing down what the WebSocket cases said."""

from __future__ import annotations

import unittest

from conformance.results import Result, counts, page, summary

RESULTS = [
    Result("1.1.1", "OK", "OK"), Result("1.2.10", "NON-STRICT", "OK", "Slow."),
    Result("1.2.9", "INFORMATIONAL", "INFORMATIONAL"), Result("7.1.1", "OK", "WRONG CODE", "Not 1000."),
    Result("7.1.2", "FAILED", "OK"),
]


class Counting(unittest.TestCase):
    def test_the_worse_of_two_verdicts_counts(self) -> None:
        self.assertEqual(counts(RESULTS), {"passed": 1, "informational": 1, "non-strict": 1, "failed": 2})
        self.assertEqual(
            summary("gateway", RESULTS), "gateway: 5 cases, 1 passed, 1 informational, 1 non-strict, 2 failed")

    def test_the_page_has_a_row_for_each_group_and_end_and_names_what_is_not_passed(self) -> None:
        text = page({"gateway": RESULTS, "agent": RESULTS[:1]}, "kosoku 0")
        self.assertIn("| 1 Framing | gateway | 3 | 1 | 1 | 1 | 0 |", text)
        self.assertIn("| 7 Closing handshake | gateway | 2 | 0 | 0 | 0 | 2 |", text)
        self.assertIn("| 7 Closing handshake | agent | 0 | 0 | 0 | 0 | 0 |", text)
        self.assertIn("| **All** | agent | 1 | 1 | 0 | 0 | 0 |", text)
        listed = [line for line in text.splitlines() if line.startswith("- ")]
        self.assertEqual(
            listed,
            ["- 1.2.9, gateway: informational.", "- 1.2.10, gateway: non-strict. Slow.",
             "- 7.1.1, gateway: failed. Not 1000.", "- 7.1.2, gateway: failed."])

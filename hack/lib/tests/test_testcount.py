"""Counting what the Swift test runner reported."""

from __future__ import annotations

import re
import tempfile
import unittest
from pathlib import Path

import testcount

REPORT = """\
<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="TestResults" errors="0" tests="4" failures="1" skipped="1" time="0.1">
    <testcase classname="RoutingTests.Table" name="one" time="0.1" />
    <testcase classname="RoutingTests.Table" name="two" time="0.1"></testcase>
    <testcase classname="RoutingTests.Table" name="three" time="0.1"><failure message="no" /></testcase>
    <testcase classname="RoutingTests.Table" name="four" time="0.1"><skipped /></testcase>
  </testsuite>
</testsuites>
"""


class ReadReport(unittest.TestCase):
    def test_every_case_is_counted_once(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "tests.xml"
            path.write_text(REPORT, encoding="utf-8")
            self.assertEqual(testcount.read_report(path), testcount.Count(passed=2, failed=1, skipped=1))


class Runs(unittest.TestCase):
    def test_each_test_is_in_one_run_and_no_run_of_the_crowded_target_has_too_many(self) -> None:
        names = [f"EndToEndTests.Suite{suite}/test{test}()" for suite in range(12) for test in range(25)]
        names += ["RoutingTests.Table/one()", "RoutingTests.Table/two()", "EndToEndTestsMore.Suite1/one()"]
        patterns = testcount.runs(names)
        for name in names:
            self.assertEqual(sum(bool(re.search(pattern, name)) for pattern in patterns), 1, name)
        for pattern in patterns:
            self.assertLessEqual(sum(bool(re.search(pattern, name)) for name in names), testcount.MOST_AT_ONCE)
        self.assertEqual(len(patterns), 8)


if __name__ == "__main__":
    unittest.main()

"""docs/field-complaints.md: every test that it names exists."""

from __future__ import annotations

import re
import unittest
from pathlib import Path

from bench.__main__ import BENCHMARKS
from conformance.through import autobahn, browser, curl, loads, sockets
from e2e.scenarios import GROUPS as E2E_GROUPS

try:
    from conformance.wire.groups import GROUPS
except ImportError as missing:
    raise unittest.SkipTest(f"the Python package {missing.name} is not installed") from missing

ROOT = Path(__file__).resolve().parents[3]
ROWS = [
    line.split(" | ") for line in (ROOT / "docs" / "field-complaints.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| Complaint")
]
CASES = {case.name for cases in GROUPS.values() for case in cases} | {
    case.name for module in (autobahn, browser, curl, loads, sockets) for case in module.CASES}


class FieldComplaints(unittest.TestCase):
    def test_every_complaint_has_a_test(self) -> None:
        self.assertGreater(len(ROWS), 15)
        for row in ROWS:
            self.assertRegex(row[-1], "`", row[0])

    def test_every_test_that_is_named_exists(self) -> None:
        scenarios = {check.name for group in E2E_GROUPS for check in group.checks()}
        for row in ROWS:
            file = ""
            for code, quoted in re.findall(r'`([^`]+)`|"([^"]+)"', row[-1]):
                if quoted:
                    self.assertIn(f'"{quoted}"', (ROOT / "Tests" / f"{file}.swift").read_text(encoding="utf-8"), row[0])
                elif "/" in code and " " not in code:
                    file = code
                elif code.startswith("hack/bench "):
                    name, measure = re.fullmatch(r"hack/bench (\S+) --only (\S+)", code).groups()  # type: ignore[union-attr]
                    self.assertIn(measure, BENCHMARKS[name].measures, row[0])
                elif "." in code:
                    self.assertIn(code, scenarios, row[0])
                else:
                    self.assertIn(code, CASES, row[0])


if __name__ == "__main__":
    unittest.main()

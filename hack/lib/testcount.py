"""Runs every test (Swift's, those of the Python modules beside this one, and those of the tunnel's second
implementation) and ends with a plain count."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / ".build" / "tests.xml"
# Where XCTest has tests too, Swift Testing writes a report of its own beside the one asked for.
REPORTS = (REPORT, REPORT.with_name("tests-swift-testing.xml"))


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other: Count) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def read_report(path: Path) -> Count:
    """Counts the test cases of a JUnit-style report."""
    count = Count()
    for case in ElementTree.parse(path).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            count.failed += 1
        elif case.find("skipped") is not None:
            count.skipped += 1
        else:
            count.passed += 1
    return count


# More than these are no accident of a busy machine.
MOST_RUN_AGAIN = 5

# Swift Testing begins every test at once. A thousand of them, most with servers and clients of their own, starve each
# other past the bounds of their waits; a few for each core keep the machine as busy and end as soon. The option is
# Swift Testing's own and marked as experimental there.
TESTS_AT_ONCE = 4 * (os.cpu_count() or 2)
SWIFT_TEST = [
    "swift", "test", "--skip-build", "--disable-xctest",
    "--experimental-maximum-parallelization-width", str(TESTS_AT_ONCE),
]


def failed_suites(path: Path) -> list[str]:
    """The suites of the failed test cases of a JUnit-style report, one for each case."""
    return [
        case.get("classname", "").split(".")[-1]
        for case in ElementTree.parse(path).iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]


def run_failed_again() -> bool:
    """Runs the suites of failed tests by themselves: beside a thousand others a test that waits for a condition with a
    bound may fail for want of processor time. Says which, and returns whether all of them passed."""
    suites = [suite for report in REPORTS if report.exists() for suite in failed_suites(report)]
    if not 0 < len(suites) <= MOST_RUN_AGAIN or not all(suites):
        return False
    names = sorted(set(suites))
    print(f"== Failed beside all others, run again by themselves: {', '.join(names)}", flush=True)
    command = [*SWIFT_TEST, "--filter", "|".join(names)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def run_swift_tests() -> Count:
    for report in REPORTS:
        report.unlink(missing_ok=True)
    command = [*SWIFT_TEST, "--xunit-output", str(REPORT)]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    count = Count()
    for report in REPORTS:
        if report.exists():
            count.add(read_report(report))
    if count.failed and run_failed_again():
        return Count(count.passed + count.failed, 0, count.skipped)
    if status != 0 and count.failed == 0:
        # The runner crashed, or reported an issue outside any test: that is a failure however many tests passed.
        count.failed = 1
    if status == 0 and count.passed == 0:
        print("error: swift test ran no test", file=sys.stderr)
        count.failed += 1
    return count


def run_python_tests() -> Count:
    suite = unittest.TestSuite()
    for top, tests in ((ROOT / "hack" / "lib", "tests"), (ROOT / "Tests", "Interoperability")):
        suite.addTests(unittest.TestLoader().discover(str(top / tests), top_level_dir=str(top)))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=1).run(suite)
    failed = len(result.failures) + len(result.errors)
    return Count(result.testsRun - failed - len(result.skipped), failed, len(result.skipped))


def main() -> int:
    total = run_python_tests()
    sys.stdout.flush()
    total.add(run_swift_tests())
    skipped = f", {total.skipped} skipped" if total.skipped else ""
    print(f"{total.passed} passed, {total.failed} failed{skipped}", flush=True)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())

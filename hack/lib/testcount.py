"""Runs every test (Swift's, those of the Python modules beside this one, and those of the tunnel's second
implementation) and ends with a plain count."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import unittest
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable

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


def cases(path: Path) -> list[ElementTree.Element]:
    """The test cases of a JUnit-style report; none of one that is not whole, as a crash leaves it."""
    try:
        return list(ElementTree.parse(path).iter("testcase"))
    except ElementTree.ParseError:
        return []


def read_report(path: Path) -> Count:
    """Counts the test cases of a JUnit-style report."""
    count = Count()
    for case in cases(path):
        if case.find("failure") is not None or case.find("error") is not None:
            count.failed += 1
        elif case.find("skipped") is not None:
            count.skipped += 1
        else:
            count.passed += 1
    return count


# More than these are no accident of a busy machine.
MOST_RUN_AGAIN = 5

SWIFT_TEST = ["swift", "test", "--skip-build", "--disable-xctest"]
# A run that takes longer hangs; the longest takes about a minute.
SECONDS = 900
# Swift Testing begins every test of a run at once. Tests that have servers and clients of their own starve each other past
# the bounds of their waits when there are hundreds of them.
MOST_AT_ONCE = 60
CROWDED = "EndToEndTests"


def failed_suites(path: Path) -> list[str]:
    """The suites of the failed test cases of a JUnit-style report, one for each case."""
    return [
        case.get("classname", "").split(".")[-1]
        for case in cases(path)
        if case.find("failure") is not None or case.find("error") is not None
    ]


def runs(names: Iterable[str]) -> list[str]:
    """Patterns that divide tests, named as in `Target.Suite/test()`, among runs: a target each, and of the crowded one as
    many suites as may run at once."""
    targets: dict[str, Counter[str]] = {}
    for name in names:
        target, _, rest = name.partition(".")
        targets.setdefault(target, Counter())[rest.partition("/")[0]] += 1
    patterns: list[str] = []
    for target, suites in sorted(targets.items()):
        if target != CROWDED:
            patterns.append(f"^{target}\\.")
            continue
        group: list[str] = []
        size = 0
        for suite, count in sorted(suites.items()):
            if group and size + count > MOST_AT_ONCE:
                patterns.append(f"^{target}\\.({'|'.join(group)})/")
                group, size = [], 0
            group.append(re.escape(suite))
            size += count
        patterns.append(f"^{target}\\.({'|'.join(group)})/")
    return patterns


def run_bounded(command: list[str]) -> int:
    """Runs a command to its end, or ends it and all it has started when it takes too long."""
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as process:
        try:
            return process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            print(f"error: not done after {SECONDS} s: {' '.join(command)}", file=sys.stderr)
            os.killpg(process.pid, signal.SIGKILL)
            return process.wait()


def run_failed_again(suites: list[str]) -> bool:
    """Runs the suites of failed tests by themselves: beside others a test that waits for a condition with a bound may fail
    for want of processor time. Says which, and returns whether all of them passed."""
    if not 0 < len(suites) <= MOST_RUN_AGAIN or not all(suites):
        return False
    names = sorted(set(suites))
    print(f"== Failed beside others, run again by themselves: {', '.join(names)}", flush=True)
    return run_bounded([*SWIFT_TEST, "--filter", "|".join(names)]) == 0


def run_swift_tests() -> Count:
    listed = subprocess.run(
        ["swift", "test", "list", "--skip-build", "--disable-xctest"], cwd=ROOT, check=True, capture_output=True,
        text=True).stdout
    total = Count()
    again: list[str] = []
    for pattern in runs(line for line in listed.splitlines() if "/" in line):
        print(f"== {pattern}", flush=True)
        for report in REPORTS:
            report.unlink(missing_ok=True)
        status = run_bounded([*SWIFT_TEST, "--xunit-output", str(REPORT), "--filter", pattern])
        count = Count()
        for report in REPORTS:
            if report.exists():
                count.add(read_report(report))
                again += failed_suites(report)
        if status != 0 and count.failed == 0:
            # The runner crashed, hung, or reported an issue outside any test: a failure however many tests passed.
            again.append("")
            count.failed = 1
        if status == 0 and count.passed + count.skipped == 0:
            print(f"error: swift test ran no test of {pattern}", file=sys.stderr)
            again.append("")
            count.failed += 1
        total.add(count)
    if total.failed and run_failed_again(again):
        return Count(total.passed + total.failed, 0, total.skipped)
    return total


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

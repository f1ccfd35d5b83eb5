"""What the benchmarks make of what they measure."""

import contextlib
import io
import json
import os
import subprocess
import time
import unittest

from bench import usage
from bench.churn import Change
from bench.figures import Figures, percentile
from bench.proxy import Sample, ratios
from bench.syscalls import parse_perf, parse_strace


class PercentileTests(unittest.TestCase):
    def test_is_a_value_that_was_measured(self):
        values = list(range(100, 0, -1))
        self.assertEqual([percentile(values, share) for share in (0.5, 0.99, 1.0)], [50, 99, 100])

    def test_of_one_value(self):
        self.assertEqual(percentile([7.0], 0.99), 7.0)


class FiguresTests(unittest.TestCase):
    def collect(self, *figures, problem=None):
        collected = Figures("test")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            for figure in figures:
                collected.add(*figure)
            collected.print({"objects": 1}, problem)
        return collected, json.loads(printed.getvalue().splitlines()[-1])

    def test_a_bound_is_kept_by_the_value_that_equals_it(self):
        collected, document = self.collect(("a", 2, "s", "A", 2))
        self.assertEqual(collected.missed, [])
        self.assertTrue(document["passed"])

    def test_a_missed_bound_is_told(self):
        collected, document = self.collect(("a", 3, "s", "A", 2), ("b", 97, "1/s", "B", 98, True), ("c", 1, "", "C"))
        self.assertEqual([figure.name for figure in collected.missed], ["a", "b"])
        self.assertFalse(document["passed"])
        self.assertEqual(
            document["figures"]["b"],
            {"value": 97, "unit": "1/s", "bound": 98, "bound_is": "minimum", "holds": False, "spread": None})
        self.assertIsNone(document["figures"]["c"]["holds"])

    def test_of_rounds_the_median_counts_and_the_spread_is_told(self):
        collected = Figures("test")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            collected.add_rounds("a", [1.0, 9.0, 2.0], "s", "A", bound=2)
            collected.print({}, None)
        self.assertEqual(collected.missed, [])
        self.assertIn("(1 to 9)", printed.getvalue())
        figure = json.loads(printed.getvalue().splitlines()[-1])["figures"]["a"]
        self.assertEqual((figure["value"], figure["spread"]), (2.0, [1.0, 9.0]))

    def test_what_could_not_be_measured_has_not_passed(self):
        _, document = self.collect(("a", 1, "s", "A", 2), problem="the agent ended")
        self.assertFalse(document["passed"])

    def test_the_machine_is_named(self):
        _, document = self.collect()
        self.assertLessEqual({"cpu", "cores", "memory_mib", "kernel", "commit"}, set(document["machine"]))


class CostTests(unittest.TestCase):
    def test_is_that_of_all_parts_for_one_unit(self):
        sample = Sample(units=4, seconds=2.0, cpu={"gateway": 1.0, "agent": 3.0})
        self.assertEqual((sample.cost, sample.rate), (1.0, 2.0))

    def test_is_compared_round_by_round(self):
        ours = [Sample(1, 1.0, {"gateway": cost}) for cost in (1.0, 3.0)]
        theirs = [Sample(2, 1.0, {"nginx": cost}) for cost in (4.0, 2.0)]
        self.assertEqual(ratios(ours, theirs), [0.5, 3.0])


class UsageTests(unittest.TestCase):
    def test_processor_time_grows_with_work(self):
        before = usage.precise_cpu_seconds([os.getpid()])
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
        self.assertAlmostEqual(usage.precise_cpu_seconds([os.getpid()]) - before, 0.1, delta=0.05)

    def test_a_family_is_a_process_and_its_descendants(self):
        child = subprocess.Popen(["sleep", "30"])
        try:
            family = usage.family(os.getpid())
            self.assertEqual(family[0], os.getpid())
            self.assertIn(child.pid, family)
        finally:
            child.kill()
            child.wait()


class SystemCallsTests(unittest.TestCase):
    def test_the_count_of_perf_is_read(self):
        report = "# started on Thu Jan  1 00:00:00 1970\n\n334753,,raw_syscalls:sys_enter,298936295,100.00,,\n"
        self.assertEqual(parse_perf(report), 334753)

    def test_perf_that_may_not_count_has_counted_nothing(self):
        for text in ("<not counted>", "<not supported>"):
            self.assertIsNone(parse_perf(f"{text},,raw_syscalls:sys_enter,0,100.00,,\n"))

    def test_the_sum_of_strace_is_read(self):
        rows = ["% time     seconds  usecs/call     calls    errors syscall",
                " 58.94    0.079677           3     22050           read",
                "  0.01    0.000015           5         3         3 openat",
                "------ ----------- ----------- --------- --------- ----------------"]
        for total in ("100.00    0.135181           3     22053         3 total",
                      "100.00    0.135181           3     22053           total",
                      "100.00    0.135181                 22053           total"):
            self.assertEqual(parse_strace("\n".join([*rows, total])), 22053)
        self.assertIsNone(parse_strace("strace: attach: ptrace(PTRACE_SEIZE, 1): Operation not permitted\n"))


class ChangeTests(unittest.TestCase):
    def test_is_shown_by_the_status_that_lists_its_path_and_its_service(self):
        change = Change(1, "/v1", "app-2", due=0)
        for path, service, is_shown in (("/v1", "app-2", True), ("/v0", "app-2", False), ("/v1", "app-1", False)):
            item = {"status": {"routes": [{"path": path, "service": service}]}}
            self.assertEqual(change.is_shown_by(item), is_shown)
        self.assertFalse(change.is_shown_by({}))


if __name__ == "__main__":
    unittest.main()

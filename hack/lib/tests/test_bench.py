"""What the benchmarks make of what they measure."""

import contextlib
import io
import json
import unittest

from bench.churn import Change
from bench.figures import Figures, percentile


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


class ChangeTests(unittest.TestCase):
    def test_is_shown_by_the_status_that_lists_its_path_and_its_service(self):
        change = Change(1, "/v1", "app-2", due=0)
        for path, service, is_shown in (("/v1", "app-2", True), ("/v0", "app-2", False), ("/v1", "app-1", False)):
            item = {"status": {"routes": [{"path": path, "service": service}]}}
            self.assertEqual(change.is_shown_by(item), is_shown)
        self.assertFalse(change.is_shown_by({}))


if __name__ == "__main__":
    unittest.main()

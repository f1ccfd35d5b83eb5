"""What `hack/bench routing` makes of what its program prints."""

import contextlib
import io
import unittest

from bench.figures import Figures
from bench.routing import BOUND, Sample, show

LINE = (
    '{"batchMean":900.5,"batchP99":1500,"batchSize":50,"changedHosts":0,"clock":40,"hosts":10,"lookups":1000,'
    '"most":50000,"p50":800,"p99":%d,"p999":9000}\n')


class RoutingTests(unittest.TestCase):
    def show(self, name, samples):
        figures = Figures("routing")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            show(figures, name, samples)
        return figures, printed.getvalue()

    def test_nanoseconds_are_read_as_microseconds(self):
        sample = Sample.parse(LINE % 2000)
        self.assertEqual((sample.p50, sample.p99, sample.p999, sample.most, sample.clock), (0.8, 2.0, 9.0, 50.0, 0.04))
        self.assertEqual((sample.batch_mean, sample.batch_p99, sample.changed_hosts), (0.9005, 1.5, 0))

    def test_p99_is_bounded_at_the_largest_size_and_nowhere_else(self):
        slow, quick = [Sample.parse(LINE % (1000 * BOUND + 1))], [Sample.parse(LINE % (1000 * BOUND))]
        self.assertEqual(self.show("mixed", {100: slow, 1000: quick})[0].missed, [])
        missed = self.show("mixed", {100: quick, 1000: slow})[0].missed
        self.assertEqual([figure.name for figure in missed], ["mixed_1000_p99_us"])
        self.assertEqual(self.show("resync", {100: quick, 1000: slow})[0].missed, [])

    def test_every_size_has_a_row_and_growth_is_told(self):
        _, printed = self.show("hosts", {100: [Sample.parse(LINE % 1)], 1000: [Sample.parse(LINE % 1)]})
        for text in ("p99, 100 routes", "p99, 1000 routes", "mean, 100 routes", "mean, 1000 over 100 routes"):
            self.assertIn(f"Exact hosts: {text}", printed)


if __name__ == "__main__":
    unittest.main()

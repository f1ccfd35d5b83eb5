"""What is made of the moments at which a gateway accepted tunnels."""

import unittest

from bench.swarm import histogram, most_within


class HistogramTests(unittest.TestCase):
    def test_counts_by_second_and_tells_empty_ones(self):
        self.assertEqual(histogram([0.1, 0.9, 3.0, 1.0]), [2, 1, 0, 1])

    def test_of_nothing(self):
        self.assertEqual(histogram([]), [])


class MostWithinTests(unittest.TestCase):
    def test_finds_a_crowd_that_two_seconds_share(self):
        moments = [0.1, 0.9, 0.95, 1.05, 1.8]
        self.assertEqual(max(histogram(moments)), 3)
        self.assertEqual(most_within(moments, 1.0), 4)

    def test_the_end_of_the_span_is_not_within(self):
        self.assertEqual(most_within([0.0, 1.0, 2.0], 1.0), 1)

    def test_of_nothing(self):
        self.assertEqual(most_within([], 1.0), 0)

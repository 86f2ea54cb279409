"""Tests the learner in plain Python: `python3 -m unittest`."""

import unittest

from plugin import Perceptron
from potstill_sdk import Box, InvalidOptions, LearnerShape
from potstill_sdk.testing import trace_learner

SHAPE = LearnerShape(Box([3, 2], -1, 1), outputs=4)


class PerceptronTest(unittest.TestCase):
    def test_declares_its_parameters(self):
        traced = trace_learner(Perceptron, SHAPE, least=8, most=8)
        expected = {"hidden.weight": [6, 8], "hidden.bias": [8], "output.weight": [8, 4], "output.bias": [4]}
        self.assertEqual({p.name: p.shape for p in traced.parameters}, expected)
        self.assertEqual((traced.name, traced.output), ("8 wide", [5, 4]))

    def test_the_seed_determines_the_width(self):
        names = [trace_learner(Perceptron, SHAPE, seed=seed).name for seed in range(1, 9)]
        self.assertEqual(trace_learner(Perceptron, SHAPE, seed=1).name, names[0])
        self.assertGreater(len(set(names)), 1)

    def test_rejects_an_empty_range_of_widths(self):
        with self.assertRaisesRegex(InvalidOptions, "`least` is 9, above `most`, 8"):
            trace_learner(Perceptron, SHAPE, least=9, most=8)


if __name__ == "__main__":
    unittest.main()

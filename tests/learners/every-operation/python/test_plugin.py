import unittest

from plugin import EveryOperation
from potstill_sdk import Image, LearnerShape
from potstill_sdk.testing import trace_learner


class EveryOperationTest(unittest.TestCase):
    def test_its_shapes_fit(self):
        self.assertEqual(trace_learner(EveryOperation, LearnerShape(Image([2, 6, 6]), 3)).output, [5, 3])

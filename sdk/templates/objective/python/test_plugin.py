"""Tests the objective in plain Python: `python3 -m unittest`."""

import unittest

from plugin import ActorCritic
from potstill_sdk import Box, Discrete, Task
from potstill_sdk.testing import trace_objective


class ActorCriticTest(unittest.TestCase):
    def test_traces_a_scalar_loss_through_the_inner_step(self):
        task = Task(observation=Box([4], -1, 1), action=Discrete(2), instances=3, outputs=2)
        traced = trace_objective(ActorCritic, task, parameters=[[4, 8], [8, 2]])
        self.assertEqual(traced.theta, {"x": [3, 4], "y": [3, 2], "inner_lr": []})
        self.assertEqual(traced.metrics, ["policy_loss", "entropy"])


if __name__ == "__main__":
    unittest.main()

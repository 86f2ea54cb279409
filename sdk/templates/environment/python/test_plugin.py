"""Tests the environment in plain Python: `python3 -m unittest`."""

import unittest

from plugin import Corridor
from potstill_sdk import Vectorised


class CorridorTest(unittest.TestCase):
    def test_seeds_determine_where_it_starts(self):
        first = Vectorised(Corridor, 100).reset(range(100))
        self.assertEqual(Vectorised(Corridor, 100).reset(range(100)), first)
        self.assertTrue(all(0.1 <= x <= 0.9 for x in first))
        self.assertGreater(len(set(first)), 1)

    def test_the_right_end_pays_and_ends_the_episode(self):
        corridor = Vectorised(Corridor, 1)
        before = corridor.reset([7])
        for _ in range(10):
            out = corridor.step([1])
            if out.terminated[0]:
                break
            self.assertEqual(out.rewards, [0.0])
            self.assertGreater(out.observations, before)
            before = out.observations
        self.assertEqual((out.rewards, list(out.terminated), out.final_observations), ([1.0], [1], [1.0]))

    def test_restores_a_snapshot(self):
        corridor = Vectorised(Corridor, 2)
        corridor.reset([1, 2])
        state = corridor.snapshot()

        def play():
            seen = [corridor.step([i // 3 % 2, 1]) for i in range(50)]
            corridor.restore(state)
            return seen

        self.assertEqual(play(), play())


if __name__ == "__main__":
    unittest.main()

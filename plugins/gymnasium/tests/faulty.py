"""Environments that misbehave in a chosen way, and some with unusual spaces."""
import os
import signal
import sys

import gymnasium
import numpy as np
from gymnasium import spaces


class Faulty(gymnasium.Env):
    """Counts its steps, and misbehaves in the one with the number `at`, 0 standing for `make`."""

    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, how="", at=3, render_mode=None):
        self.how, self.at, self.render_mode = how, at, render_mode
        self.observation_space = spaces.Box(-10, 10, (1,), np.float64)
        self.action_space = spaces.Discrete(2, start=-1)
        self.count = 0
        self.misbehave()

    def misbehave(self):
        if self.count != self.at:
            return
        if self.how == "raise":
            raise ZeroDivisionError("division\x1b[2J by\nzero")
        if self.how == "dependency":
            raise gymnasium.error.DependencyNotInstalled("Moon is not installed, run `pip install moon`")
        if self.how == "exit":
            os._exit(3)
        if self.how == "kill":
            print("last words", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "flood":
            print("x" * 300_000, file=sys.stderr)
        while self.how == "hang":
            pass

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1), {}

    def step(self, action):
        print("what an environment prints is not an answer")
        self.count += 1
        self.misbehave()
        observation = np.full(2 if self.how == "shape" else 1, self.count, float)
        ended = self.count == 4
        return observation, float(action), ended and self.how == "both", ended, {}

    def render(self):
        return np.full((2, 3, 4 if self.how == "shape" else 3), 7, np.uint8)


class Spaces(gymnasium.Env):
    """Its spaces are those that Python's text `observation` and `action` say. It shows the action that it was given."""

    def __init__(self, observation, action):
        names = {"np": np, **vars(spaces)}
        self.observation_space, self.action_space = eval(observation, names), eval(action, names)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), (action, type(action))
        return self.observation_space.sample(), float(np.sum(action)), False, False, {}


gymnasium.register("Faulty-v0", Faulty)
gymnasium.register("Spaces-v0", Spaces)

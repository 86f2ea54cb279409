"""Plays in Gymnasium's own wrappers, for the tests to compare the host's with.

    python tests/python/wrappers.py '{"wrappers": {"action_repeat": 4, "max_pool": true}, "clip": false, "box": false,
                                      "seeds": [1, 2], "steps": 100}'

The game has the rules of tests/pixels/lives.c. The action of copy i in step t is (t * t // 3 + i) % 2. Prints a list of one
record a step and copy, as JSON: the observation (of the next episode, if one ended), the reward, terminated, truncated,
and the final observation or null. Needs gymnasium alone.
"""

import json
import sys

import gymnasium
import numpy as np
from gymnasium.wrappers import FrameStackObservation, MaxAndSkipObservation, TimeLimit, TransformReward

ROWS, COLUMNS, LIVES, LIMIT = 5, 7, 3, 40


class Lives(gymnasium.Env):
    def __init__(self, box):
        self.dtype = np.float32 if box else np.uint8
        self.observation_space = gymnasium.spaces.Box(0, 255, (ROWS, COLUMNS), self.dtype)
        self.action_space = gymnasium.spaces.Discrete(2)

    def observe(self):
        i = np.arange(ROWS * COLUMNS)
        picture = ((self.state >> 16) ^ (i * 37 + self.t * 11)) & 255
        return picture.reshape(ROWS, COLUMNS).astype(self.dtype)

    def reset(self, *, seed=None, options=None):
        # Gymnasium's `reset` without a seed goes on with the random stream.
        if seed is not None:
            self.state = seed * 2654435761 % 2**32
        self.t, self.lives = 0, LIVES
        return self.observe(), {"lives": self.lives}

    def step(self, action):
        self.state = (self.state * 1664525 + 1013904223 + action) % 2**32
        self.t += 1
        reward = (self.state >> 20) % 7 - 3
        if (self.state >> 24) % 6 == 0:
            self.lives -= 1
        terminated = self.lives == 0
        truncated = not terminated and self.t == LIMIT
        return self.observe(), float(reward), terminated, truncated, {"lives": self.lives}


class Repeat(gymnasium.Wrapper):
    """MaxAndSkipObservation without its maximum, which Gymnasium does not have apart."""

    def __init__(self, env, repeat):
        super().__init__(env)
        self.repeat = repeat

    def step(self, action):
        total = 0.0
        for _ in range(self.repeat):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += reward
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info


class EpisodicLife(gymnasium.Wrapper):
    """Stable-Baselines3's EpisodicLifeEnv, but for the step that it takes after a life is lost."""

    over = True

    def reset(self, **options):
        if self.over:
            self.observation, info = self.env.reset(**options)
            self.lives = info["lives"]
        return self.observation, {}

    def step(self, action):
        self.observation, reward, terminated, truncated, info = self.env.step(action)
        self.over = terminated or truncated
        # A life that is lost as the time is up does not make the end terminal here.
        lost, self.lives = not self.over and info["lives"] < self.lives, info["lives"]
        return self.observation, reward, terminated or lost, truncated, info


def wrapped(asked):
    wrappers = asked["wrappers"]
    env = Lives(asked["box"])
    if "max_episode_steps" in wrappers:
        env = TimeLimit(env, wrappers["max_episode_steps"])
    if "action_repeat" in wrappers:
        repeat = MaxAndSkipObservation if wrappers.get("max_pool") else Repeat
        env = repeat(env, wrappers["action_repeat"])
    if wrappers.get("episodic_life"):
        env = EpisodicLife(env)
    if asked["clip"]:
        env = TransformReward(env, np.sign)
    if "frame_stack" in wrappers:
        env = FrameStackObservation(env, wrappers["frame_stack"])
    return env


def main():
    asked = json.loads(sys.argv[1])
    flat = lambda observation: np.asarray(observation).ravel().tolist()
    envs = [wrapped(asked) for _ in asked["seeds"]]
    first = [flat(env.reset(seed=seed)[0]) for env, seed in zip(envs, asked["seeds"])]
    steps = []
    for t in range(asked["steps"]):
        for i, env in enumerate(envs):
            observation, reward, terminated, truncated, _ = env.step((t * t // 3 + i) % 2)
            final = None
            if terminated or truncated:
                final = flat(observation)
                observation, _ = env.reset()
            steps.append([flat(observation), float(reward), bool(terminated), bool(truncated), final])
    json.dump({"first": first, "steps": steps}, sys.stdout)


if __name__ == "__main__":
    main()

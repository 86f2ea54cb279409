"""Reads and makes Minari datasets by Minari's own functions, which know nothing of Potstill.

minari_sets.py read NAME                one line of JSON for each episode
minari_sets.py make NAME KIND FORMAT    a dataset of two short episodes of a kind, see `KINDS`
"""

import hashlib
import json
import sys
import warnings

import gymnasium as gym
import minari
import numpy as np
from minari.data_collector.episode_buffer import EpisodeBuffer

warnings.simplefilter("ignore")

CART = gym.spaces.Box(-np.inf, np.inf, (4,), np.float64)
PICTURE = gym.spaces.Box(0, 255, (32, 32, 3), np.uint8)
TWO = gym.spaces.Discrete(2)


def read(name):
    for episode in minari.load_dataset(name):
        observations = np.asarray(episode.observations)
        print(
            json.dumps(
                {
                    "steps": len(episode.rewards),
                    "observations": [str(observations.dtype), *observations.shape],
                    "sha256": hashlib.sha256(np.ascontiguousarray(observations).tobytes()).hexdigest(),
                    "actions": np.asarray(episode.actions).astype(float).ravel().tolist(),
                    "rewards": np.asarray(episode.rewards).astype(float).tolist(),
                    "terminated": np.flatnonzero(episode.terminations).tolist(),
                    "truncated": np.flatnonzero(episode.truncations).tolist(),
                }
            )
        )


def episode(steps, observation=CART, action=TWO, **changes):
    """An episode of `steps` steps that terminates."""
    if isinstance(observation, gym.spaces.Dict):
        observations = {key: np.zeros((steps + 1, *space.shape)) for key, space in observation.items()}
    else:
        observations = np.arange(steps + 1, dtype=observation.dtype).reshape(-1, *[1] * len(observation.shape))
        observations = np.broadcast_to(observations, (steps + 1, *observation.shape)).copy()
    actions = np.array([action.sample() for _ in range(steps)])
    columns = {
        "observations": observations,
        "actions": actions,
        "rewards": np.ones(steps),
        "terminations": np.arange(steps) == steps - 1,
        "truncations": np.zeros(steps, bool),
        "infos": {},
    }
    return EpisodeBuffer(**{**columns, **changes})


NESTED = gym.spaces.Dict({"position": CART})
SHIFTED = gym.spaces.Discrete(2, start=-1)
KINDS = {
    "plain": (CART, TWO, lambda: [episode(3), episode(5)]),
    "single": (CART, TWO, lambda: [episode(3)]),
    "shifted": (CART, SHIFTED, lambda: [episode(3, actions=np.array([-1, 0, 0]), action=SHIFTED)]),
    "unfinished": (CART, TWO, lambda: [episode(3), episode(5, terminations=np.zeros(5, bool))]),
    "nan": (CART, TWO, lambda: [episode(3), episode(5, rewards=np.array([1, 1, np.nan, 1, 1]))]),
    "goes-on": (CART, TWO, lambda: [episode(5, terminations=np.array([0, 1, 0, 0, 1], bool))]),
    "nested": (NESTED, TWO, lambda: [episode(3, observation=NESTED)]),
    "several": (CART, gym.spaces.MultiDiscrete([2, 2]), lambda: [episode(3, action=gym.spaces.MultiDiscrete([2, 2]))]),
    "jpeg": (PICTURE, TWO, lambda: [episode(3, observation=PICTURE)]),
}


def make(name, kind, data_format):
    observation, action, episodes = KINDS[kind]
    action.seed(0)
    minari.create_dataset_from_buffers(
        name, episodes(), observation_space=observation, action_space=action, data_format=data_format
    )


{"read": read, "make": make}[sys.argv[1]](*sys.argv[2:])

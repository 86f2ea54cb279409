"""trajectories.py ID SEEDS STEPS FILE KWARGS: writes what Gymnasium's environment ID shows under random actions.

FILE contains for each of the comma-separated SEEDS: the first observation; then for each step the action, the reward (float32),
terminated and truncated (a byte each), the observation after the step, and the first one of the next episode if it ended this
one. Numbers are float32, choices uint32, and pictures bytes `[3, height, width]`. KWARGS are arguments of `make`, in JSON.
"""
import json
import sys

import gymnasium
import numpy as np

name, seeds, steps, file = sys.argv[1], sys.argv[2].split(","), int(sys.argv[3]), sys.argv[4]
module, _, name = name.rpartition(":")
if module:
    __import__(module)


def seen(space, observation):
    """An observation in bytes."""
    if isinstance(space, gymnasium.spaces.Dict):
        space, observation = space["image"], observation["image"]
    if isinstance(space, gymnasium.spaces.Discrete):
        return np.eye(space.n, dtype="<f4")[observation].tobytes()
    if isinstance(space, gymnasium.spaces.Tuple):
        return b"".join(seen(*part) for part in zip(space, observation))
    if observation.shape == (96, 96, 3):
        return np.moveaxis(observation, 2, 0).tobytes()
    return observation.astype("<f4").tobytes()


with open(file, "wb") as out:
    for seed in map(int, seeds):
        environment = gymnasium.make(name, **json.loads(sys.argv[5]))
        space, actions = environment.observation_space, environment.action_space
        actions.seed(seed)
        observation, _ = environment.reset(seed=(seed ^ seed >> 32) & 0x7FFFFFFF)
        out.write(seen(space, observation))
        for _ in range(steps):
            action = actions.sample()
            observation, reward, terminated, truncated, _ = environment.step(action)
            kind = "<f4" if isinstance(actions, gymnasium.spaces.Box) else "<u4"
            out.write(np.asarray(action).astype(kind).tobytes() + np.float32(reward).tobytes())
            out.write(bytes([terminated, truncated and not terminated]) + seen(space, observation))
            if terminated or truncated:
                out.write(seen(space, environment.reset()[0]))

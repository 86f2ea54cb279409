"""trajectories.py GAME SEED STEPS FILE ARGUMENTS: writes what Procgen's Python package shows of GAME under random actions. The
package gets ARGUMENTS, in JSON.

The first observation, then for each step: action, reward (float32), whether it ended an episode, the level's number (int32),
and the observation after it. An observation is bytes `[64, 64, 3]`.
"""
import json
import sys

import numpy as np
from procgen import ProcgenGym3Env

game, seed, steps, file = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
environment = ProcgenGym3Env(num=1, env_name=game, rand_seed=seed, num_threads=0, **json.loads(sys.argv[5]))
random = np.random.default_rng(seed)
with open(file, "wb") as out:
    out.write(environment.observe()[1]["rgb"].tobytes())
    for _ in range(steps):
        action = random.integers(15, size=1)
        environment.act(action)
        reward, observation, first = environment.observe()
        level = environment.get_info()[0]["level_seed"]
        out.write(bytes([int(action[0])]) + np.float32(reward[0]).tobytes() + bytes([first[0]]))
        out.write(np.int32(level).tobytes() + observation["rgb"].tobytes())

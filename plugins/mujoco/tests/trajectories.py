"""trajectories.py ID SEEDS STEPS FILE: writes trajectories of Gymnasium's environment ID under random actions.

FILE contains float64s. Each step is 1, then qpos, qvel and first observation, if an episode starts here, or else 0; then
action, observation, reward, terminated and truncated.
"""
import sys

import gymnasium
import numpy as np

name, seeds, steps, file = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
with open(file, "wb") as out:
    write = lambda *values: out.write(np.concatenate([np.atleast_1d(v) for v in values]).astype("<f8").tobytes())
    for seed in range(seeds):
        environment = gymnasium.make(name)
        environment.action_space.seed(seed)
        # Records the state that reset sets, not the one it leaves: MuJoCo normalizes quaternions in place, and normalizing
        # twice may change the last bit.
        state, set_state = [], environment.unwrapped.set_state
        environment.unwrapped.set_state = lambda *s: (state.__setitem__(slice(None), map(np.copy, s)), set_state(*s))
        ended = True
        for step in range(steps):
            if ended:
                observation, _ = environment.reset(seed=seed if step == 0 else None)
                write(1, *state, observation)
            else:
                write(0)
            action = environment.action_space.sample()
            observation, reward, terminated, truncated, _ = environment.step(action)
            write(action, observation, reward, terminated, truncated)
            ended = terminated or truncated

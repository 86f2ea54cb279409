"""trajectories.py GAME SEEDS STEPS FILE ARGUMENTS: writes what Gymnasium's preprocessing shows of GAME under random actions. Its
wrapper gets ARGUMENTS, in JSON.

For each step: 1, the number of frames without action and the stack, if an episode starts here, or else 0; then action, stack,
reward (float32), terminated, truncated, lives, and the 128 bytes of the memory. Everything else is bytes. A stack is
`[frames, channels, height, width]`.
"""
import json
import sys

import ale_py
import gymnasium
import numpy as np
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

game, seeds, steps, file = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
arguments = json.loads(sys.argv[5])
gymnasium.register_envs(ale_py)


class Count(gymnasium.Wrapper):
    """Counts the frames since the last reset that was asked for."""

    frames = 0

    def step(self, action):
        self.frames += 1
        return self.env.step(action)


def pixels(stack):
    stack = np.asarray(stack)
    return (np.moveaxis(stack, -1, 1) if stack.ndim == 4 else stack).tobytes()


name = "".join(word.title() for word in game.split("_"))
with open(file, "wb") as out:
    for seed in range(seeds):
        base = gymnasium.make(f"ALE/{name}-v5", frameskip=1, repeat_action_probability=0.0).unwrapped
        count = Count(base)
        environment = FrameStackObservation(AtariPreprocessing(count, noop_max=30, **arguments), 4)
        environment.action_space.seed(seed)
        ended = True
        for step in range(steps):
            if ended:
                count.frames = 0
                # A seed inserts the cartridge anew. Without it, an episode depends on the one before in a few pixels.
                stack, _ = environment.reset(seed=1000 * seed + step)
                out.write(bytes([1, count.frames]) + pixels(stack))
            else:
                out.write(bytes([0]))
            action = environment.action_space.sample()
            stack, reward, terminated, truncated, info = environment.step(action)
            out.write(bytes([int(action)]) + pixels(stack) + np.float32(reward).tobytes())
            out.write(bytes([terminated, truncated, info["lives"]]) + base.ale.getRAM().tobytes())
            ended = terminated or truncated

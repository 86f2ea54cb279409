"""pictures.py ID EPISODES STEPS FILE: writes pictures of Gymnasium's environment ID after random actions, 320 × 240 pixels.

FILE contains for each episode: the initial qpos and qvel and STEPS actions as float64s; then the pixels of the state
after them as bytes. Gymnasium aims its free camera by the state of its first picture, which is the model's initial state
here.
"""
import ctypes
import sys

import gymnasium
import mujoco
import numpy as np

name, episodes, steps, file = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
environment = gymnasium.make(name, render_mode="rgb_array", width=320, height=240)
bare = environment.unwrapped
environment.reset()
mujoco.mj_resetData(bare.model, bare.data)
mujoco.mj_forward(bare.model, bare.data)
bare.render()
# As Gymnasium does; but on NumPy 2, MuJoCo 2.3.7 writes all three numbers of a camera's vector into the first.
renderer = bare.mujoco_renderer
lookat = (renderer.default_cam_config or {}).get("lookat", np.median(bare.data.geom_xpos, axis=0))
address = renderer.viewer.cam.lookat.__array_interface__["data"][0]
ctypes.memmove(address, np.asarray(lookat, "f8").tobytes(), 24)
environment.action_space.seed(1)
# Records the state that reset sets, as in trajectories.py.
state, set_state = [], bare.set_state
bare.set_state = lambda *s: (state.__setitem__(slice(None), map(np.copy, s)), set_state(*s))
with open(file, "wb") as out:
    for seed in range(episodes):
        environment.reset(seed=seed)
        actions = [environment.action_space.sample() for _ in range(steps)]
        for action in actions:
            bare.step(action)
        for values in state + actions:
            out.write(values.astype("<f8").tobytes())
        picture = bare.render()
        assert picture.shape == (240, 320, 3) and picture.dtype == np.uint8
        out.write(picture.tobytes())

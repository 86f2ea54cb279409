"""Compares the plugin with Gymnasium's own vector environments, in steps per second by the wall clock.

    target/gymnasium-python/bin/python plugins/gymnasium/bench/peers.py POTSTILL [COPIES]

POTSTILL is the program; the plugin is what `cargo build --release` built. There are COPIES (16) copies with random actions. In turn:
the plugin (`potstill bench`), AsyncVectorEnv with shared memory, which has a process per copy, and SyncVectorEnv. Prints medians of
ROUNDS rounds, and the medians of the rounds' ratios.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

SECONDS, ROUNDS = 2, 5
ENVIRONMENTS = {
    "cart-pole": "CartPole-v1",
    "acrobot": "Acrobot-v1",
    "mountain-car-continuous": "MountainCarContinuous-v0",
    "lunar-lander": "LunarLander-v3",
    "mini-grid-empty-5x5": "MiniGrid-Empty-5x5-v0",
}
LIBRARY = pathlib.Path(__file__).resolve().parents[3] / "target/release/libpotstill_gymnasium.so"


def make(name):
    import gymnasium

    if not name.startswith("MiniGrid"):
        return gymnasium.make(name)
    import minigrid.wrappers

    return minigrid.wrappers.ImgObsWrapper(gymnasium.make(name))


def vector(kind, name, copies):
    from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

    makers = [lambda: make(name)] * copies
    # As Potstill's: an episode starts in the step that ends the one before.
    same = {"autoreset_mode": AutoresetMode.SAME_STEP}
    envs = AsyncVectorEnv(makers, **same) if kind == "async" else SyncVectorEnv(makers, **same)
    envs.reset(seed=0)
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(64)]
    for action in actions[:8]:
        envs.step(action)
    since, steps = time.perf_counter(), 0
    while time.perf_counter() - since < SECONDS:
        envs.step(actions[steps % 64])
        steps += 1
    return steps * copies / (time.perf_counter() - since)


def rate(command):
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "check": True}
    environment = {**os.environ, "POTSTILL_PYTHON": sys.executable}
    return json.loads(subprocess.run(command, env=environment, **quiet).stdout)


def main(potstill, copies="16"):
    for id, name in ENVIRONMENTS.items():
        own = [potstill, "--plugin", str(LIBRARY), "bench", f"gym/{id}", "--copies", copies, "--json"]
        peer = lambda kind: lambda: rate([sys.executable, "-W", "ignore", __file__, kind, name, copies])
        runs = {"plugin": lambda: rate(own)[0]["per_second"], "async": peer("async"), "sync": peer("sync")}
        rounds = [{kind: run() for kind, run in runs.items()} for _ in range(ROUNDS)]
        middle = lambda of: statistics.median(map(of, rounds))
        rates = ", ".join(f"{kind} {middle(lambda r: r[kind]):.0f}" for kind in runs)
        ratios = ", ".join(f"{middle(lambda r: r['plugin'] / r[kind]):.2f} of {kind}" for kind in ("async", "sync"))
        print(f"{name}, {copies} copies: {rates}; {ratios}", flush=True)


if __name__ == "__main__":
    if sys.argv[1] in ("async", "sync"):
        print(json.dumps(vector(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
    else:
        main(*sys.argv[1:])

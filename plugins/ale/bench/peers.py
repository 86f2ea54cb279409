"""Compares the plugin with its peers, in steps of the agent (four frames each) per second of one core.

    target/ale-python/bin/python plugins/ale/bench/peers.py POTSTILL [ENVPOOL_PYTHON]

POTSTILL is the program; the plugin is what `cargo build --release` in plugins/ale built. In turn: the plugin with its
preprocessing (`potstill bench`), ALE's bare `act`, four for each step, without any preprocessing, ale_py's own vector
environment, and, given the path of a Python that has it, EnvPool. There are 16 copies on one thread, and random actions.
Prints medians of ROUNDS rounds, and the medians of the rounds' ratios.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

COPIES, SECONDS, ROUNDS = 16, 2, 5
GAMES = ["pong", "centipede", "space_invaders", "ms_pacman"]
HERE = pathlib.Path(__file__).resolve().parent.parent


def timed(step, count):
    import numpy as np

    actions = np.random.default_rng(0).integers(0, count, (64, COPIES))
    for action in actions[:8]:
        step(action)
    since, cpu, steps = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - since < SECONDS:
        step(actions[steps // COPIES % 64])
        steps += COPIES
    return steps / (time.process_time() - cpu)


def bare(game):
    import ale_py

    machines = []
    for seed in range(COPIES):
        machine = ale_py.ALEInterface()
        machine.setInt("random_seed", seed)
        machine.setFloat("repeat_action_probability", 0)
        machine.loadROM(ale_py.roms.get_rom_path(game))
        machines.append(machine)
    legal = machines[0].getMinimalActionSet()

    def step(actions):
        for machine, action in zip(machines, actions):
            for _ in range(4):
                machine.act(legal[action])
            if machine.game_over():
                machine.reset_game()

    return timed(step, len(legal))


def vector(game):
    from ale_py.vector_env import AtariVectorEnv

    envs = AtariVectorEnv(game, COPIES, num_threads=1, noop_max=30, repeat_action_probability=0.0)
    envs.reset(seed=0)
    return timed(envs.step, envs.single_action_space.n)


def envpool(game):
    import envpool

    task = "".join(word.capitalize() for word in game.split("_")) + "-v5"
    envs = envpool.make(task, "gymnasium", num_envs=COPIES, num_threads=1, noop_max=30, repeat_action_probability=0.0)
    envs.reset()
    return timed(envs.step, envs.action_space.n)


def rate(command):
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "check": True}
    return json.loads(subprocess.run(command, env=ENVIRONMENT, **quiet).stdout)


def main(potstill, envpool_python=None):
    library = HERE / "target/release/libpotstill_ale.so"
    for game in GAMES:
        own = [potstill, "--plugin", str(library), "bench", f"ale/{game.replace('_', '-')}", "--set", "threads=1"]
        own += ["--copies", str(COPIES), "--json"]
        peer = lambda python, name: lambda: rate([python, "-W", "ignore", __file__, name, game])
        runs = {
            "plugin": lambda: rate(own)[0]["per_second"],
            "bare": peer(sys.executable, "bare"),
            "vector": peer(sys.executable, "vector"),
        }
        if envpool_python:
            runs["envpool"] = peer(envpool_python, "envpool")
        rounds = [{name: run() for name, run in runs.items()} for _ in range(ROUNDS)]
        middle = lambda of: statistics.median(map(of, rounds))
        rates = ", ".join(f"{name} {middle(lambda r: r[name]):.0f}" for name in runs)
        ratios = ", ".join(f"{middle(lambda r: r['plugin'] / r[name]):.2f} of {name}" for name in runs if name != "plugin")
        print(f"{game}: {rates}; {ratios}", flush=True)


if __name__ == "__main__":
    if sys.argv[1] in ("bare", "vector", "envpool"):
        print(json.dumps(globals()[sys.argv[1]](sys.argv[2])))
    else:
        ENVIRONMENT = {**os.environ, "POTSTILL_PYTHON": sys.executable}
        main(*sys.argv[1:])

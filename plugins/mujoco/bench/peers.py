"""Compares the plugin with Gymnasium's SyncVectorEnv and EnvPool, in environment steps per second.

    target/mujoco-python/v4/bin/python plugins/mujoco/bench/peers.py [ENVPOOL_PYTHON]

runs in turn the plugin (`cargo bench -p potstill-mujoco`, with the same MuJoCo 2.3.7 as Gymnasium), Gymnasium on one
thread, and, given the path of a Python that has it, EnvPool on all threads. There are 16 copies, and random actions are
drawn in advance. Prints medians of ROUNDS rounds, and the medians of the rounds' ratios.
"""
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import time

COPIES, SECONDS, ROUNDS = 16, 2, 3
TASKS = {
    "hopper": "Hopper-v4", "half-cheetah": "HalfCheetah-v4", "walker2d": "Walker2d-v4",
    "inverted-double-pendulum": "InvertedDoublePendulum-v4", "reacher": "Reacher-v4", "ant": "Ant-v4",
    "humanoid": "Humanoid-v4", "humanoid-standup": "HumanoidStandup-v4",
}


def measure(step, space):
    import numpy as np

    bounds = space.low.flat[0], space.high.flat[0]
    rng = np.random.default_rng(0)
    actions = rng.uniform(*bounds, (64, COPIES, space.shape[-1])).astype(np.float32)
    for action in actions[:20]:
        step(action)
    since, cpu, steps = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - since < SECONDS:
        step(actions[steps // COPIES % 64])
        steps += COPIES
    wall, cpu = time.perf_counter() - since, time.process_time() - cpu
    print(json.dumps({"wall": steps / wall, "cpu": steps / cpu}))


def gymnasium(task):
    import gymnasium

    envs = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(task)] * COPIES)
    envs.reset(seed=0)
    measure(envs.step, envs.single_action_space)


def envpool(task):
    import envpool
    import numpy as np

    options = {"use_contact_force": False} if task == "Ant-v4" else {}
    threads = len(os.sched_getaffinity(0))
    envs = envpool.make(task, "gymnasium", num_envs=COPIES, num_threads=threads, seed=0, **options)
    envs.reset()
    measure(lambda action: envs.step(action.astype(np.float64)), envs.action_space)


def plugin(name, threads):
    command = ["cargo", "bench", "-q", "-p", "potstill-mujoco", "--bench", "steps", "--"]
    return command + [name, str(COPIES), str(threads), str(SECONDS)]


def rate(command):
    environment = {**os.environ, "MUJOCO_PATH": sysconfig.get_path("purelib")}
    answer = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def main(envpool_python=None):
    for name, task in TASKS.items():
        commands = {
            "plugin": (plugin(name, 1), "cpu"),
            "gymnasium": ([sys.executable, "-W", "ignore", __file__, "gymnasium", task], "cpu"),
            "plugin, all threads": (plugin(name, 0), "wall"),
        }
        if envpool_python:
            commands["envpool, all threads"] = ([envpool_python, __file__, "envpool", task], "wall")
        rounds = [{key: rate(command)[of] for key, (command, of) in commands.items()} for _ in range(ROUNDS)]
        middle = lambda of: statistics.median(map(of, rounds))
        rates = ", ".join(f"{key} {middle(lambda r: r[key]):.0f}" for key in commands)
        ratios = f"{middle(lambda r: r['plugin'] / r['gymnasium']):.2f} of gymnasium a core"
        if envpool_python:
            ratios += f", {middle(lambda r: r['plugin, all threads'] / r['envpool, all threads']):.2f} of envpool"
        print(f"{name}: {rates}; {ratios}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["gymnasium"]:
        gymnasium(sys.argv[2])
    elif sys.argv[1:2] == ["envpool"]:
        envpool(sys.argv[2])
    else:
        main(*sys.argv[1:])

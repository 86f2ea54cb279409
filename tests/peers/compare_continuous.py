"""Environment steps a second of whole PPO: CleanRL's (`torch_ppo_continuous.py`) and Potstill's, in turn, as ratios.

`compare_continuous.py POTSTILL PLUGIN [ROUNDS [THREADS]]`, PLUGIN being the library of plugins/mujoco; the Python that
runs this has what the peer needs, and its MuJoCo is the one that both step. Both have THREADS (2), of which the peer
takes as many as make it fastest, found anew in each pair. Everything counts but validation: the time between the lines
of Potstill's `metrics.jsonl`, the peer's iterations, without the first of either. A ratio is that of a pair.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import sysconfig
import tempfile

PEER = pathlib.Path(__file__).parent / "torch_ppo_continuous.py"
TASKS = {"mujoco/hopper-v4": "Hopper-v4", "mujoco/half-cheetah-v4": "HalfCheetah-v4"}
UNVALIDATED = """
[evaluation]
every = 0
validation_learners = 1
validation_episodes = 1
learners = 1
episodes = 1
"""
# The same work as the peer's: the same number of updates of the same number of rows, with the same networks.
DIRECT = pathlib.Path(__file__).parents[2] / "host/experiments/mujoco/direct.toml"
AS_PEER = DIRECT.read_text().partition("[evaluation]")[0]
# The name of each measurement, its command, its configuration, and its meta-epochs (of 2048 or 4096 steps).
OURS = [
    ("`rl`, the peer's hyperparameters", "rl", AS_PEER, 14),
    ("`rl`", "rl", "", 14),
    ("`distill`", "distill", "", 14),
]


def answer(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    return done.stdout


def theirs(task, iterations, threads, seed):
    command = [sys.executable, "-W", "ignore", PEER, task, *map(str, [iterations, threads, seed])]
    return json.loads(answer(command))["steps_a_second"]


def ours(potstill, plugin, task, command, config, meta_epochs, threads, seed):
    with tempfile.TemporaryDirectory() as folder:
        file, run = pathlib.Path(folder, "config.toml"), pathlib.Path(folder, "run")
        file.write_text(config + UNVALIDATED)
        run_it = [potstill, "--plugin", plugin, command, task, "--config", file, "--out", run]
        run_it += ["--threads", str(threads), "--set", f"threads={threads}"]
        run_it += ["--meta-epochs", str(meta_epochs), "--seed", str(seed)]
        answer(run_it, env={**os.environ, "MUJOCO_PATH": sysconfig.get_path("purelib")})
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    # The last line waits for a validation.
    first, last = lines[0], lines[-2]
    return (last["environment_steps"] - first["environment_steps"]) / (last["wall_time"] - first["wall_time"])


def spread(values, digits):
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def main(potstill, plugin, rounds=5, threads=2):
    rounds, threads = int(rounds), int(threads)
    print("| Task | Potstill's | peer, steps/s | Potstill, steps/s | times faster |\n|---|---|---|---|---|")
    for task, name in TASKS.items():
        pairs = {what: [] for what, *_ in OURS}
        for seed in range(rounds):
            for what, command, config, meta_epochs in OURS:
                # With minibatches of 64, more threads are slower if other programs use the processor.
                peer = max(theirs(name, 5, taken, seed) for taken in range(1, threads + 1))
                own = ours(potstill, plugin, task, command, config, meta_epochs, threads, seed)
                pairs[what].append((peer, own))
        for what, rates in pairs.items():
            peers, own = zip(*rates)
            ratios = [mine / peer for peer, mine in rates]
            rates = f"{spread(peers, 0)} | {spread(own, 0)}"
            print(f"| {name} | {what} | {rates} | {spread(ratios, 1)} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Runs EnvPool's CartPole-v1 with 64 environments on one thread and prints one JSON line. Needs `envpool`."""

import json
import statistics
import sys
import time

import envpool
import numpy as np

N = 64


def main():
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    envs = envpool.make("CartPole-v1", env_type="gymnasium", num_envs=N, batch_size=N, num_threads=1)
    envs.reset()
    actions = [np.random.randint(0, 2, N).astype(np.int32) for _ in range(16)]
    times = []
    for _ in range(repetitions):
        started = time.perf_counter()
        for i in range(1000):
            envs.step(actions[i % 16])
        times.append((time.perf_counter() - started) / 1000)
    print(json.dumps({"name": "envpool step, 64 copies", "seconds": statistics.median(times)}))


if __name__ == "__main__":
    main()

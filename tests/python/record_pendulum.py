"""Prints full episodes of Gymnasium's own Pendulum-v1, for the tests to play again on examples/pendulum.

    python tests/python/record_pendulum.py

Each episode holds the initial state (float64), the torques, and what every step gave. Half of them follow random torques,
beyond the bounds too; the others push along with the swing, which reaches the top. Needs gymnasium alone.
"""

import json
import random

import gymnasium
import numpy


def swing(observation):
    _, _, speed = observation
    return 2.0 if speed > 0.0 else -2.0


def episode(env, seed, policy):
    observation, _ = env.reset(seed=seed)
    record = {
        "state": [float(value) for value in env.unwrapped.state],
        "torques": [],
        "observations": [],
        "rewards": [],
    }
    truncated = False
    while not truncated:
        action = numpy.array([policy(observation)], dtype=numpy.float32)
        observation, reward, terminated, truncated, _ = env.step(action)
        assert not terminated
        record["torques"].append(float(action[0]))
        record["observations"].append([float(value) for value in observation])
        record["rewards"].append(float(reward))
    return record


def main():
    env = gymnasium.make("Pendulum-v1")
    chance = random.Random(2024)
    episodes = [episode(env, seed, lambda _: chance.uniform(-3.0, 3.0)) for seed in range(5)]
    episodes += [episode(env, seed, swing) for seed in range(5, 10)]
    print(json.dumps(episodes))


if __name__ == "__main__":
    main()

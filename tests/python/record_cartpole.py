"""Records full episodes of Gymnasium's own CartPole-v1, for the tests to play again on nd-cartpole-v1.

    python tests/python/record_cartpole.py > tests/fixtures/cartpole-v1.json

Each episode holds the initial state (float64), the actions, and what every step gave. Half the episodes follow random
actions and fall soon; the others follow a rule that balances, to reach the time limit. Needs gymnasium alone.
"""

import json
import random
import sys

import gymnasium


def balance(observation):
    _, velocity, angle, angular_velocity = observation
    return int(angle + 0.25 * angular_velocity + 0.05 * velocity > 0.0)


def episode(env, seed, policy):
    observation, _ = env.reset(seed=seed)
    record = {
        "seed": seed,
        "initial_state": [float(value) for value in env.unwrapped.state],
        "first_observation": [float(value) for value in observation],
        "actions": [],
        "observations": [],
        "rewards": [],
    }
    while True:
        action = policy(observation)
        observation, reward, terminated, truncated, _ = env.step(action)
        record["actions"].append(action)
        record["observations"].append([float(value) for value in observation])
        record["rewards"].append(float(reward))
        if terminated or truncated:
            return record | {"terminated": terminated, "truncated": truncated}


def main():
    env = gymnasium.make("CartPole-v1")
    chance = random.Random(2024)
    episodes = [episode(env, seed, lambda _: chance.randrange(2)) for seed in range(8)]
    episodes += [episode(env, seed, balance) for seed in range(8, 11)]
    # The comparison ignores this: it records which release made the file.
    json.dump({"gymnasium": gymnasium.__version__, "episodes": episodes}, sys.stdout)
    print()


if __name__ == "__main__":
    main()

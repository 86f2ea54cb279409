"""PPO for continuous actions as CleanRL's `ppo_continuous_action` does it, in PyTorch. Prints one JSON line.

    torch_ppo_continuous.py TASK [ITERATIONS [THREADS [SEED]]]         # e.g. Hopper-v4 6 2 0

TASK is one of Gymnasium's; an iteration is a rollout of 2048 steps of one environment and ten epochs of 32 minibatches
on it. `seconds` is the wall-clock time of one environment step, everything included, after the first iteration;
`returns` are the mean returns of the episodes that ended in each iteration (null: none did), `steps_a_second` counts
from the second on. Written anew after CleanRL's documentation (docs/rl-algorithms/ppo.md), with Gymnasium's own
wrappers; it logs nothing and saves nothing, which CleanRL does. Needs `torch` and, for the same simulator as
Potstill's, `mujoco==2.3.7 gymnasium==0.29.1 imageio`.
"""

import json
import sys
import time

import gymnasium
import numpy as np
import torch
from gymnasium import wrappers
from torch import nn
from torch.distributions import Normal

STEPS, EPOCHS, MINIBATCHES = 2048, 10, 32
GAMMA, LAMBDA, CLIP, VALUE_WEIGHT, ENTROPY_WEIGHT, MAX_NORM, LR = 0.99, 0.95, 0.2, 0.5, 0.0, 0.5, 3e-4


def environment(task):
    env = wrappers.FlattenObservation(gymnasium.make(task))
    env = wrappers.ClipAction(wrappers.RecordEpisodeStatistics(env))
    env = wrappers.TransformObservation(wrappers.NormalizeObservation(env), lambda seen: np.clip(seen, -10, 10))
    return wrappers.TransformReward(wrappers.NormalizeReward(env, gamma=GAMMA), lambda reward: np.clip(reward, -10, 10))


def network(inputs, outputs, gain):
    def layer(rows, columns, gain):
        linear = nn.Linear(rows, columns)
        nn.init.orthogonal_(linear.weight, gain)
        nn.init.zeros_(linear.bias)
        return linear

    hidden = [layer(inputs, 64, 2**0.5), nn.Tanh(), layer(64, 64, 2**0.5), nn.Tanh()]
    return nn.Sequential(*hidden, layer(64, outputs, gain))


class Agent(nn.Module):
    def __init__(self, observations, actions):
        super().__init__()
        self.critic, self.mean = network(observations, 1, 1.0), network(observations, actions, 0.01)
        self.log_std = nn.Parameter(torch.zeros(1, actions))

    def policy(self, states):
        mean = self.mean(states)
        return Normal(mean, self.log_std.expand_as(mean).exp())


class Ppo:
    def __init__(self, task, iterations, seed):
        self.envs = gymnasium.vector.SyncVectorEnv([lambda: environment(task)])
        observations, actions = (int(np.prod(space.shape)) for space in (
            self.envs.single_observation_space, self.envs.single_action_space))
        self.agent = Agent(observations, actions)
        self.optimizer = torch.optim.Adam(self.agent.parameters(), lr=LR, eps=1e-5)
        self.annealed = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda done: 1 - done / iterations)
        widths = {"state": (observations,), "action": (actions,)}
        columns = ["state", "action", "log_prob", "reward", "done", "value", "advantage"]
        self.rows = {name: torch.zeros(STEPS, 1, *widths.get(name, ())) for name in columns}
        self.state = torch.Tensor(self.envs.reset(seed=seed)[0])
        self.done = torch.zeros(1)

    def iteration(self):
        """Returns the mean return of the episodes that ended."""
        ended = self.rollout()
        self.advantages()
        self.learn()
        self.annealed.step()
        return float(np.mean(ended)) if ended else None

    @torch.no_grad()
    def rollout(self):
        rows, ended = self.rows, []
        for t in range(STEPS):
            rows["state"][t], rows["done"][t] = self.state, self.done
            policy = self.agent.policy(self.state)
            action = policy.sample()
            rows["action"][t], rows["log_prob"][t] = action, policy.log_prob(action).sum(1)
            rows["value"][t] = self.agent.critic(self.state).squeeze(1)
            state, reward, terminated, truncated, info = self.envs.step(action.numpy())
            rows["reward"][t] = torch.as_tensor(reward)
            self.state = torch.Tensor(state)
            self.done = torch.Tensor(np.logical_or(terminated, truncated))
            ended += [float(last["episode"]["r"][0]) for last in info.get("final_info", []) if last]
        return ended

    @torch.no_grad()
    def advantages(self):
        rows, carry = self.rows, 0.0
        following, alive = self.agent.critic(self.state).squeeze(1), 1.0 - self.done
        for t in reversed(range(STEPS)):
            delta = rows["reward"][t] + GAMMA * following * alive - rows["value"][t]
            carry = rows["advantage"][t] = delta + GAMMA * LAMBDA * alive * carry
            following, alive = rows["value"][t], 1.0 - rows["done"][t]

    def learn(self):
        flat = {name: column.flatten(0, 1) for name, column in self.rows.items()}
        order = np.arange(STEPS)
        for _ in range(EPOCHS):
            np.random.shuffle(order)
            for of in np.split(order, MINIBATCHES):
                self.update({name: column[of] for name, column in flat.items()})

    def update(self, batch):
        policy = self.agent.policy(batch["state"])
        ratio = (policy.log_prob(batch["action"]).sum(1) - batch["log_prob"]).exp()
        advantage = batch["advantage"]
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        policy_loss = torch.max(-advantage * ratio, -advantage * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
        value, old = self.agent.critic(batch["state"]).flatten(), batch["value"]
        target = old + batch["advantage"]
        clipped = old + (value - old).clamp(-CLIP, CLIP)
        value_loss = 0.5 * torch.max((value - target) ** 2, (clipped - target) ** 2).mean()
        entropy = policy.entropy().sum(1).mean()
        self.optimizer.zero_grad()
        (policy_loss - ENTROPY_WEIGHT * entropy + VALUE_WEIGHT * value_loss).backward()
        nn.utils.clip_grad_norm_(self.agent.parameters(), MAX_NORM)
        self.optimizer.step()


def main(task, iterations=6, threads=2, seed=0):
    torch.set_num_threads(int(threads))
    torch.manual_seed(int(seed))
    np.random.seed(int(seed))
    iterations = int(iterations)
    ppo = Ppo(task, iterations, int(seed))
    returns = [ppo.iteration()]
    since = time.perf_counter()
    returns += [ppo.iteration() for _ in range(iterations - 1)]
    seconds = (time.perf_counter() - since) / (STEPS * (iterations - 1))
    versions = {"torch": torch.__version__, "gymnasium": gymnasium.__version__}
    answer = {"name": f"torch PPO, {task}", "seconds": seconds, "steps_a_second": 1 / seconds}
    print(json.dumps({**answer, "returns": returns, "versions": versions}))


if __name__ == "__main__":
    main(*sys.argv[1:])

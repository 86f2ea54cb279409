"""The published loop's shape in eager PyTorch with Gymnasium environments. Prints one JSON line.

1D cart-pole, k = 2, 10 environments x 200 steps, 4 policy epochs of minibatches of 512 (the last of 464), one
thread: a tape is built and differentiated through the inner step for every update. As published, minibatches come
from a `DataLoader` over a `Dataset` that picks one transition at a time; `lean` as second argument slices tensors
instead. Needs `torch`, `gymnasium`.
"""

import json
import statistics
import sys
import time

import gymnasium
import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(1)
torch.manual_seed(0)
ENVS, STEPS, K, GAMMA, LAMBDA = 10, 200, 2, 0.99, 0.95


class Transitions(torch.utils.data.Dataset):
    """One transition at a time, as the published code reads its rollouts."""

    def __init__(self, columns):
        self.columns = columns

    def __len__(self):
        return ENVS * STEPS

    def __getitem__(self, index):
        return [column[index // ENVS][index % ENVS] for column in self.columns]


def minibatches(data, lean):
    if lean:
        return ([d[index] for d in data] for index in torch.randperm(ENVS * STEPS).split(512))
    columns = [d.reshape(STEPS, ENVS, *d.shape[1:]) for d in data]
    return torch.utils.data.DataLoader(Transitions(columns), batch_size=512, shuffle=True)


def network(outputs, gain):
    parameters = []
    for i, o, g in [(4, 64, 2**0.5), (64, 64, 2**0.5), (64, outputs, gain)]:
        weight = torch.empty(o, i)
        torch.nn.init.orthogonal_(weight, g)
        parameters += [weight.requires_grad_(), torch.zeros(o, requires_grad=True)]
    return parameters


def forward(p, x):
    x = torch.tanh(F.linear(x, p[0], p[1]))
    x = torch.tanh(F.linear(x, p[2], p[3]))
    return F.linear(x, p[4], p[5])


def inner(fresh, x, y, lr):
    loss = F.mse_loss(forward(fresh, x), y)
    return [p - lr * g for p, g in zip(fresh, torch.autograd.grad(loss, fresh, create_graph=True))]


def main():
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    lean = sys.argv[2:] == ["lean"]
    envs = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * ENVS)
    x, y = torch.randn(K, 4, requires_grad=True), torch.randn(K, 2, requires_grad=True)
    lr = torch.tensor(0.02, requires_grad=True)
    critic = network(1, 1.0)
    theta = [x, y, lr]
    outer = torch.optim.Adam(theta, lr=2.5e-4, eps=1e-5)
    of_critic = torch.optim.Adam(critic, lr=2.5e-4, eps=1e-5)
    observation, _ = envs.reset(seed=0)
    times = []
    for _ in range(repetitions + 1):
        started = time.perf_counter()
        fresh = network(2, 0.01)
        policy = [p.detach() for p in inner(fresh, x, y, lr)]
        rows = {name: [] for name in ["s", "a", "log_prob", "r", "done", "v", "entropy"]}
        for _ in range(STEPS):
            with torch.no_grad():
                s = torch.from_numpy(observation)
                distribution = torch.distributions.Categorical(logits=forward(policy, s))
                a = distribution.sample()
                rows["v"].append(forward(critic, s)[:, 0])
            observation, reward, terminated, truncated, _ = envs.step(a.numpy())
            rows["s"].append(s)
            rows["a"].append(a)
            rows["log_prob"].append(distribution.log_prob(a))
            rows["entropy"].append(distribution.entropy())
            rows["r"].append(torch.from_numpy(reward.astype(np.float32)))
            rows["done"].append(torch.from_numpy((terminated | truncated).astype(np.float32)))
        with torch.no_grad():
            following = forward(critic, torch.from_numpy(observation))[:, 0]
        advantages, carry = [None] * STEPS, torch.zeros(ENVS)
        for t in reversed(range(STEPS)):
            alive = 1 - rows["done"][t]
            carry = rows["r"][t] + GAMMA * following * alive - rows["v"][t] + GAMMA * LAMBDA * alive * carry
            advantages[t], following = carry, rows["v"][t]
        data = [torch.cat(rows[n]) for n in ["s", "a", "log_prob"]] + [torch.cat(advantages)]
        data.append(data[3] + torch.cat(rows["v"]))
        # The published rollout carries nine columns through the loader; the loss reads five.
        data += [torch.cat(rows[n]) for n in ["r", "done", "v", "entropy"]] if not lean else []
        for _ in range(4):
            for s, a, old, advantage, returns, *_ in minibatches(data, lean):
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                log_policy = F.log_softmax(forward(inner(fresh, x, y, lr), s), -1)
                ratio = (log_policy.gather(1, a[:, None])[:, 0] - old).exp()
                policy_loss = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
                entropy = -(log_policy.exp() * log_policy).sum(-1).mean()
                value_loss = 0.5 * F.mse_loss(forward(critic, s)[:, 0], returns)
                outer.zero_grad()
                of_critic.zero_grad()
                (policy_loss + 0.5 * value_loss - 0.01 * entropy).backward()
                torch.nn.utils.clip_grad_norm_(theta + critic, 0.5)
                outer.step()
                of_critic.step()
        times.append(time.perf_counter() - started)
    print(json.dumps({"name": "torch meta-epoch", "seconds": statistics.median(times[1:])}))


if __name__ == "__main__":
    main()

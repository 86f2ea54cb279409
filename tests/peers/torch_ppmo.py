"""The published loop in eager PyTorch with Gymnasium environments. Prints one JSON line.

1D cart-pole, k = 2, 10 environments x 200 steps, 4 policy epochs of minibatches of 512 (the last of 464), one
thread. Written anew after the published code (repository wconnorr/RL-to-SL_Distillation, its
`distill/ppo_ndcartpole_distill.py`) to do the same work: the inner step by `higher` for every update, rollouts by the
module that `higher` patched, rows written into columns kept on the device, episode statistics, and a `DataLoader`
over single transitions of nine columns. `lean` as second argument is the same algorithm as one would write it for
speed: functional layers, one teaching step per rollout, slices of tensors. Needs `torch`, `gymnasium`, `higher`; the
published versions are 2.3.1, 1.1.1, 0.2.1.
"""

import copy
import json
import statistics
import sys
import time

import gymnasium
import higher
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions.categorical import Categorical

torch.set_num_threads(1)
torch.manual_seed(0)
ENVS, STEPS, K, GAMMA, LAMBDA, BATCH = 10, 200, 2, 0.99, 0.95, 512


def layer(inputs, outputs, gain=2**0.5):
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.zeros_(linear.bias)
    return linear


def network(outputs, gain):
    return nn.Sequential(layer(4, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, outputs, gain))


class Theta(nn.Module):
    def __init__(self):
        super().__init__()
        self.x, self.y = nn.Parameter(torch.randn(K, 4)), nn.Parameter(torch.randn(K, 2))
        self.inner_lr = nn.Parameter(torch.tensor(0.02))


class Transitions(torch.utils.data.Dataset):
    """A data set that reads one transition at a time, as the published code does."""

    def __init__(self, columns):
        self.columns = columns

    def __len__(self):
        return ENVS * STEPS

    def __getitem__(self, index):
        return [column[index // ENVS][index % ENVS] for column in self.columns]


class AsPublished:
    def __init__(self, theta, critic):
        self.theta, self.critic = theta, critic
        shapes = dict.fromkeys(["action", "log_prob", "reward", "done", "value", "return", "advantage", "entropy"], ())
        self.rows = {name: torch.zeros(STEPS, ENVS, *shape) for name, shape in {"state": (4,), **shapes}.items()}
        self.envs = gymnasium.vector.SyncVectorEnv(
            [lambda: gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("CartPole-v1"))] * ENVS
        )
        self.state = torch.from_numpy(self.envs.reset(seed=0)[0])

    def new_learner(self):
        self.actor = network(2, 0.01)
        self.initial = copy.deepcopy(self.actor.state_dict())

    def learn(self):
        """Takes the inner step. The parameters of the patched module are functions of theta."""
        self.theta.inner_lr.data.clamp_(min=1e-6).item()
        self.actor.load_state_dict(self.initial)
        inner = torch.optim.SGD(self.actor.parameters(), lr=self.theta.inner_lr.item())
        with higher.innerloop_ctx(self.actor, inner) as (learner, optimizer):
            for group in optimizer.param_groups:
                group["lr"] = self.theta.inner_lr
            loss = F.mse_loss(learner(self.theta.x), self.theta.y)
            optimizer.step(loss)
            loss.item()
        return learner

    def rollout(self, learner):
        rows, ended = self.rows, []
        with torch.no_grad():
            for t in range(STEPS):
                value = self.critic(self.state)
                distribution = Categorical(logits=learner(self.state))
                action = distribution.sample()
                following, reward, done, _, info = self.envs.step(action.numpy())
                rows["state"][t] = self.state
                rows["action"][t] = action
                rows["log_prob"][t] = distribution.log_prob(action)
                rows["reward"][t] = torch.from_numpy(reward)
                rows["done"][t] = torch.from_numpy(done)
                rows["value"][t] = value.squeeze(1)
                rows["entropy"][t] = distribution.entropy()
                self.state = torch.from_numpy(following)
                if "episode" in info:
                    ended.extend(info["episode"]["r"][info["_episode"]])
            following, alive, carry = self.critic(self.state)[:, 0], torch.from_numpy(1.0 - done).float(), 0
            for t in reversed(range(STEPS)):
                delta = rows["reward"][t] + GAMMA * following * alive - rows["value"][t]
                carry = rows["advantage"][t] = delta + GAMMA * LAMBDA * alive * carry
                following, alive = rows["value"][t], 1.0 - rows["done"][t]
            rows["return"] = rows["advantage"] + rows["value"]

    def minibatches(self):
        return torch.utils.data.DataLoader(Transitions(list(self.rows.values())), batch_size=BATCH, shuffle=True)

    def scores(self, learner, states, actions):
        """Returns the numerator of the published ratio: the raw logit of the action, which is a bug in the published code."""
        return learner(states)[F.one_hot(actions.long(), 2).bool()]

    def report(self, losses):
        return [loss.item() for loss in losses]


class Lean(AsPublished):
    """The same loop without the overhead of `higher`, modules and the data loader."""

    def learn(self):
        parameters = [p.detach().requires_grad_() for p in self.initial.values()]
        loss = F.mse_loss(self.forward(parameters, self.theta.x), self.theta.y)
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        taught = [p - self.theta.inner_lr * g for p, g in zip(parameters, gradients)]
        return lambda states: self.forward(taught, states)

    @staticmethod
    def forward(p, x):
        return F.linear(torch.tanh(F.linear(torch.tanh(F.linear(x, p[0], p[1])), p[2], p[3])), p[4], p[5])

    def minibatches(self):
        flat = [column.flatten(0, 1) for column in self.rows.values()]
        return ([column[index] for column in flat] for index in torch.randperm(ENVS * STEPS).split(BATCH))

    def report(self, losses):
        return losses


def main():
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    theta, critic = Theta(), network(1, 1.0)
    loop = (Lean if sys.argv[2:] == ["lean"] else AsPublished)(theta, critic)
    outer = torch.optim.Adam(theta.parameters(), lr=2.5e-4, eps=1e-5)
    of_critic = torch.optim.Adam(critic.parameters(), lr=2.5e-4, eps=1e-5)
    trained = [*theta.parameters(), *critic.parameters()]
    times = []
    for _ in range(repetitions + 1):
        started = time.perf_counter()
        loop.new_learner()
        loop.rollout(loop.learn())
        for _ in range(4):
            for state, action, log_prob, _, _, _, returns, advantage, entropy in loop.minibatches():
                outer.zero_grad()
                ratio = (loop.scores(loop.learn(), state, action) - log_prob).exp()
                advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                policy_loss = -torch.min(advantage * ratio, advantage * ratio.clamp(0.8, 1.2)).mean()
                value_loss = F.mse_loss(critic(state).squeeze(), returns)
                (policy_loss + 0.5 * value_loss - 0.01 * entropy.mean()).backward()
                nn.utils.clip_grad_norm_(trained, 0.5)
                outer.step()
                of_critic.step()
                of_critic.zero_grad()
                loop.report([policy_loss, value_loss, entropy.mean()])
        times.append(time.perf_counter() - started)
    versions = {"torch": torch.__version__, "gymnasium": gymnasium.__version__}
    print(json.dumps({"name": "torch meta-epoch", "seconds": statistics.median(times[1:]), "versions": versions}))


if __name__ == "__main__":
    main()

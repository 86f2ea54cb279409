"""Convolutional networks in PyTorch: the peer of the rows of `potstill bench` on pictures.

The outer update of PPMO (k = 6; the inner step, the loss behind it, gradients through both, the clipped norm and Adam), the
update of direct PPO, and acting; 256 observations, nine actions; the Nature CNN on 4 x 84 x 84, IMPALA on 3 x 64 x 64.
Prints a JSON list of rows with the names that `potstill bench --json` gives them.
`torch_pictures.py [--device DEVICE] [--threads N] [--repetitions N] [--only TEXT]`
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

ROWS, K, ACTIONS = 256, 6, 9


def nature(outputs):
    return nn.Sequential(
        nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, outputs),
    )  # fmt: skip


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.second(F.relu(self.first(F.relu(x))))


def impala(outputs):
    layers, before = [], 3
    for channels in (16, 32, 32):
        layers += [nn.Conv2d(before, channels, 3, padding=1), nn.MaxPool2d(3, 2, 1), Block(channels), Block(channels)]
        before = channels
    head = [nn.ReLU(), nn.Flatten(), nn.Linear(2048, 256), nn.ReLU(), nn.Linear(256, outputs)]
    return nn.Sequential(*layers, *head)


NETWORKS = [("Nature CNN", nature, (4, 84, 84)), ("IMPALA", impala, (3, 64, 64))]


def pictures(rows, shape):
    """The bytes of random pictures."""
    return torch.randint(256, (rows, *shape), dtype=torch.uint8)


def updates(make, shape, device, direct):
    """An update of a minibatch that is in the host's memory, as after a rollout."""
    learner, critic = make(ACTIONS).to(device), make(1).to(device)
    fresh = {name: p.detach() for name, p in learner.named_parameters()}
    x = torch.randn(K, *shape, device=device, requires_grad=True)
    y = torch.randn(K, ACTIONS, device=device, requires_grad=True)
    rate = torch.tensor(-3.9, device=device, requires_grad=True)
    trained = list(learner.parameters()) if direct else [x, y, rate]
    adam = torch.optim.Adam([*trained, *critic.parameters()], lr=2.5e-4, eps=1e-5)
    batch = [
        pictures(ROWS, shape), torch.randint(ACTIONS, (ROWS, 1)),
        torch.full((ROWS, 1), -2.0), torch.randn(ROWS, 1), torch.randn(ROWS, 1),
    ]  # fmt: skip

    def taught():
        phi = {name: p.clone().requires_grad_() for name, p in fresh.items()}
        inner = F.mse_loss(functional_call(learner, phi, (x,)), y)
        gradients = torch.autograd.grad(inner, list(phi.values()), create_graph=True)
        return {name: p - rate.exp() * g for (name, p), g in zip(phi.items(), gradients)}

    def update():
        observations, actions, log_probs, advantages, returns = (tensor.to(device) for tensor in batch)
        observations = observations.float() / 255
        outputs = learner(observations) if direct else functional_call(learner, taught(), (observations,))
        policy = F.log_softmax(outputs, dim=-1)
        ratio = (policy.gather(1, actions) - log_probs).exp()
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        surrogate = torch.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()
        entropy = -(policy.exp() * policy).sum(-1).mean()
        value_loss = 0.5 * F.mse_loss(critic(observations), returns)
        adam.zero_grad()
        (value_loss * 0.5 - surrogate - 0.01 * entropy).backward()
        nn.utils.clip_grad_norm_(trained, 0.5)
        nn.utils.clip_grad_norm_(critic.parameters(), 0.5)
        adam.step()
        return value_loss.item()

    return update


def acting(make, shape, device, rows):
    """The outputs for a step of environments whose observations are in the host's memory."""
    learner, observations = make(ACTIONS).to(device), pictures(rows, shape)

    @torch.inference_mode()
    def act():
        return F.log_softmax(learner(observations.to(device).float() / 255), dim=-1).cpu()

    return act


def seconds(work, repetitions):
    times = []
    for _ in range(repetitions + 2):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    # Be as precise as the CPU: by default, convolutions on a GPU round to ten bits of mantissa.
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    rows = []
    for name, make, shape in NETWORKS:
        size = " × ".join(map(str, shape))
        works = [
            (f"outer update, k={K}, {name}, {ROWS} × {size}", lambda: updates(make, shape, device, False), 5),
            (f"direct PPO update, {name}, {ROWS} × {size}", lambda: updates(make, shape, device, True), 5),
        ]
        for count in (8, 32, 128):
            works.append((f"acting, {name}, {count} × {size}", lambda count=count: acting(make, shape, device, count), 20))
        for what, prepare, most in works:
            if arguments.only in what:
                rows.append({"name": what, "seconds": seconds(prepare(), min(arguments.repetitions, most))})
    print(json.dumps(rows, ensure_ascii=False))


if __name__ == "__main__":
    main()

"""One outer update of PPMO through convolutional networks in PyTorch: the peer of a row of `potstill bench`.

Nature CNN for learner and critic, k = 6, 256 observations of 4 x 84 x 84, nine actions; the inner step, the loss behind
it, gradients through both, the clipped norm and Adam. Prints one JSON line. `torch_pictures.py [DEVICE] [REPETITIONS]`
"""

import json
import statistics
import sys
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


def main():
    device = torch.device(sys.argv[1] if len(sys.argv) > 1 else "cpu")
    repetitions = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    # Be as precise as the CPU: by default, convolutions on a GPU round to ten bits of mantissa.
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    learner, critic = nature(ACTIONS).to(device), nature(1).to(device)
    fresh = {name: p.detach() for name, p in learner.named_parameters()}
    x = torch.randn(K, 4, 84, 84, device=device, requires_grad=True)
    y = torch.randn(K, ACTIONS, device=device, requires_grad=True)
    rate = torch.tensor(-3.9, device=device, requires_grad=True)
    theta = [x, y, rate]
    adam = torch.optim.Adam([*theta, *critic.parameters()], lr=2.5e-4, eps=1e-5)
    # The batch is in the host's memory, as after a rollout.
    batch = [
        torch.rand(ROWS, 4, 84, 84), torch.randint(ACTIONS, (ROWS, 1)),
        torch.full((ROWS, 1), -2.0), torch.randn(ROWS, 1), torch.randn(ROWS, 1),
    ]  # fmt: skip

    def update():
        observations, actions, log_probs, advantages, returns = (tensor.to(device) for tensor in batch)
        phi = {name: p.clone().requires_grad_() for name, p in fresh.items()}
        inner = F.mse_loss(functional_call(learner, phi, (x,)), y)
        gradients = torch.autograd.grad(inner, list(phi.values()), create_graph=True)
        taught = {name: p - rate.exp() * g for (name, p), g in zip(phi.items(), gradients)}
        policy = F.log_softmax(functional_call(learner, taught, (observations,)), dim=-1)
        ratio = (policy.gather(1, actions) - log_probs).exp()
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        surrogate = torch.min(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()
        entropy = -(policy.exp() * policy).sum(-1).mean()
        value_loss = 0.5 * F.mse_loss(critic(observations), returns)
        adam.zero_grad()
        (value_loss * 0.5 - surrogate - 0.01 * entropy).backward()
        nn.utils.clip_grad_norm_(theta, 0.5)
        nn.utils.clip_grad_norm_(critic.parameters(), 0.5)
        adam.step()
        return value_loss.item()

    times = []
    for _ in range(repetitions + 3):
        started = time.perf_counter()
        update()
        times.append(time.perf_counter() - started)
    print(json.dumps({"name": f"torch, {device}, outer update, Nature CNN", "seconds": statistics.median(times[3:])}))


if __name__ == "__main__":
    main()

"""Losses and inner update rules that several objectives share."""

from __future__ import annotations

from typing import List, Sequence

from . import objective  # The module and not its names, because it imports this one.
from .graph import Tensor, grad


def normalized(advantages: Tensor) -> Tensor:
    """Normalizes advantages to mean 0 and standard deviation 1 over the batch."""
    centered = advantages - advantages.mean()
    return centered / (centered.square().mean().sqrt() + 1e-8)


def clipped_surrogate(
    outer: objective.Outer, advantages: Tensor, clip: float, entropy_weight: float
) -> objective.Outcome:
    """Computes PPO's clipped surrogate loss (Schulman et al. 2017, equation 7) of the taught learner, with an entropy
    bonus. It uses `advantages` `[b, 1]` as they are, without normalizing them, and reads the columns `observations`,
    `actions` and `log_probs`."""
    outputs = outer.outputs()
    log_ratio = outer.network.log_prob(outputs, outer.batch["actions"]) - outer.batch["log_probs"]
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip, 1 + clip) * advantages
    policy_loss = -(ratio * advantages).min(clipped).mean()
    entropy = outer.network.entropy(outputs).mean()
    clip_fraction = ((ratio - 1).abs() > clip).mean()
    return objective.Outcome(
        loss=policy_loss - entropy * entropy_weight,
        metrics={
            "policy_loss": policy_loss,
            "entropy": entropy,
            # Schulman's low-variance estimator: E[(r − 1) − log r].
            "approx_kl": ((ratio - 1) - log_ratio).mean(),
            "clip_fraction": clip_fraction,
        },
    )


def inner_step(
    theta: objective.Theta, network: objective.Network, fresh: Sequence[Tensor]
) -> List[Tensor]:
    """Takes one step of gradient descent on the mean squared error between the learner's raw outputs and the labels:
    `φ′ = φ − η ∇φ mse(f(φ, X), Y)`."""
    loss = (network.apply(fresh, theta.x) - theta.y).square().mean()
    return [p - theta.inner_lr * g for p, g in zip(fresh, grad(loss, fresh))]


def cross_entropy(outputs: Tensor, labels: Tensor) -> Tensor:
    """Computes the cross-entropy `[b, 1]` of each row of logits `[b, n]` with labels `[b, n]` that sum to 1."""
    return -(outputs.log_softmax(-1) * labels).sum_keep([-1])

"""CISPO (MiniMax-M1, arXiv 2506.13585, equation 4) as a meta-objective: clips the importance weight, not the update.

Once the ratio has left its bounds in the direction of the advantage, PPO's clipped loss has no gradient for that
transition. CISPO weights the plain policy gradient by the ratio, clipped and held constant, so that every transition keeps
its gradient.
"""

from potstill_sdk import Number, Objective, Option, Outcome, export_objective, loss


class Cispo(Objective):
    ID = "examples/cispo-v1"
    VERSION = "0.1.0"
    SUMMARY = "Policy gradient with clipped importance weights: CISPO (MiniMax 2025) as the outer loss."
    OPTIONS = [
        Option("clip-high", "How far above 1 an importance weight may be.", Number(0, 100), 0.28),
        Option("entropy", "Weight of the entropy bonus.", Number(0, 1e3), 0.01),
    ]

    def __init__(self, task, clip_high, entropy):
        self.largest = 1 + clip_high
        self.entropy = entropy

    def columns(self):
        return ["observations", "actions", "log_probs", "advantages"]

    def outer(self, outer):
        outputs = outer.outputs()
        log_prob = outer.network.log_prob(outputs, outer.batch["actions"])
        ratio = (log_prob - outer.batch["log_probs"]).exp()
        weight = ratio.min(self.largest).stop_gradient()
        policy_loss = -(weight * loss.normalized(outer.batch["advantages"]) * log_prob).mean()
        entropy = outer.network.entropy(outputs).mean()
        return Outcome(
            loss=policy_loss - self.entropy * entropy,
            metrics={
                "policy_loss": policy_loss,
                "entropy": entropy,
                "clip_fraction": (ratio > self.largest).mean(),
            },
        )


export_objective(Cispo)

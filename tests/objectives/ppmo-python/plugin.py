"""PPMO (Wilhelm & Ventura 2025) in Python. The tests compare it with `plugins/ppmo` in Rust."""

from potstill_sdk import Boolean, Number, Objective, Option, export_objective, loss


class Ppmo(Objective):
    ID = "test/ppmo-python-v1"
    VERSION = "0.1.0"
    SUMMARY = "PPMO in Python, to compare with the built-in one."
    OPTIONS = [
        Option("clip", "How far the ratio may leave 1 and still be followed.", Number(0, 1), 0.2),
        Option("entropy", "Weight of the entropy bonus.", Number(0, 1e3), 0.01),
        Option("normalize-advantages", "To mean 0 and deviation 1 in each minibatch.", Boolean(), True),
    ]

    def __init__(self, task, clip, entropy, normalize_advantages):
        self.clip = clip
        self.entropy = entropy
        self.normalize_advantages = normalize_advantages

    def columns(self):
        return ["observations", "actions", "log_probs", "advantages"]

    def outer(self, outer):
        advantages = outer.batch["advantages"]
        if self.normalize_advantages:
            advantages = loss.normalized(advantages)
        return loss.clipped_surrogate(outer, advantages, self.clip, self.entropy)


export_objective(Ppmo)

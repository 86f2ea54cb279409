"""Advantage actor-critic (Mnih et al. 2016) as the outer loss. Replace it with your loss or your inner rule."""

from potstill_sdk import Number, Objective, Option, Outcome, export_objective, loss


class ActorCritic(Objective):
    """The objective with its hyperparameters."""

    ID = "{{id}}"
    VERSION = "0.1.0"
    SUMMARY = "Advantage actor-critic as the outer loss."
    OPTIONS = [Option("entropy", "Weight of the entropy bonus.", Number(0, 1000), 0.01)]

    def __init__(self, task, entropy):
        self.entropy = entropy

    def columns(self):
        """The columns that `outer` reads. The host computes only these."""
        return ["observations", "actions", "advantages"]

    def outer(self, outer):
        outputs = outer.outputs()
        advantages = loss.normalized(outer.batch["advantages"])
        log_prob = outer.network.log_prob(outputs, outer.batch["actions"])
        policy_loss = -(log_prob * advantages).mean()
        entropy = outer.network.entropy(outputs).mean()
        return Outcome(
            loss=policy_loss - entropy * self.entropy,
            metrics={"policy_loss": policy_loss, "entropy": entropy},
        )


export_objective(ActorCritic)

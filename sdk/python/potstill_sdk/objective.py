"""The objective role: the rule that teaches a learner from θ, and the loss that judges the taught one.

An exception ends the plugin, and its message reaches the user. What a user can cause is an `InvalidOptions`.
"""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Dict, List, Sequence, Union

from . import loss
from .graph import Tensor, learners
from .options import Option
from .spaces import Box, Discrete, Image, MultiDiscrete


@dataclass(frozen=True)
class Task:
    """What an objective is told about the task."""

    observation: Union[Box, Image]
    """Space of one observation."""
    action: Union[Discrete, MultiDiscrete, Box]
    """Space of one action."""
    instances: int
    """k: synthetic instances to learn."""
    outputs: int
    """Outputs of the policy for each observation."""


@dataclass(frozen=True)
class MetaInit:
    """How a part of θ starts."""

    kind: str
    value: float = 0.0

    @staticmethod
    def constant(value: float) -> "MetaInit":
        """All this value."""
        return MetaInit("constant", value)

    @staticmethod
    def normal(deviation: float) -> "MetaInit":
        """Mean 0 and this standard deviation."""
        return MetaInit("normal", deviation)

    @staticmethod
    def labels() -> "MetaInit":
        """`[k, classes]`: row i is 1 at class i modulo the number of classes, else 0."""
        return MetaInit("labels")


@dataclass(frozen=True)
class MetaParameter:
    """A part of θ, the dataset that is learned."""

    name: str
    """Its key in the dataset."""
    shape: Sequence[int]
    init: MetaInit
    is_learned: bool = True
    is_positive: bool = False

    def fixed(self) -> "MetaParameter":
        """One that stays as it starts."""
        return replace(self, is_learned=False)

    def positive(self) -> "MetaParameter":
        """One that is above 0, and learned as its logarithm."""
        return replace(self, is_positive=True)


class Data(Enum):
    """Where the transitions that a loss is computed on come from."""

    ROLLOUTS = 0
    """The taught learner's own rollouts, with the advantages that the host estimates."""
    OFFLINE = 1
    """A fixed set of transitions."""


class _Named:
    """Tensors by name."""

    def __init__(self, what, names, tensors):
        self._what = what
        self._tensors = dict(zip(names, tensors))

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise LookupError(f"the objective reads `{name}` of {self._what}")
        return self._tensors[name]


class Theta(_Named):
    """θ: its parts by name, `theta["momentum"]`."""

    def __init__(self, names: Sequence[str], tensors: Sequence[Tensor]):
        super().__init__("theta, which it does not declare", names, tensors)

    @property
    def x(self) -> Tensor:
        """X, `[k, …observation]`."""
        return self["x"]

    @property
    def y(self) -> Tensor:
        """Y, `[k, outputs]`."""
        return self["y"]

    @property
    def inner_lr(self) -> Tensor:
        """η, the inner learning rate, a scalar."""
        return self["inner_lr"]


class Batch(_Named):
    """The columns that the objective asked for, by name: `batch["advantages"]`. One row for each of b transitions."""

    def __init__(self, names: Sequence[str], tensors: Sequence[Tensor]):
        super().__init__("the batch, which it does not ask for in `columns`", names, tensors)


class Network:
    """The learner as a function of its parameters, and its policy as a distribution of actions. It cannot be looked
    into, so that every objective works with every learner."""

    def apply(self, parameters: Sequence[Tensor], x: Tensor) -> Tensor:
        """`[batch, outputs]` on `x` with `parameters`."""
        return Tensor(learners().apply([p.number for p in parameters], x.number))

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Tensor:
        """`[batch, 1]`: the log-probability of `actions` under the policy that `outputs` describes."""
        return Tensor(learners().log_probability(outputs.number, actions.number))

    def entropy(self, outputs: Tensor) -> Tensor:
        """`[batch, 1]`: the entropy of the policy that `outputs` describes."""
        return Tensor(learners().entropy(outputs.number))

    def divergence(self, p: Tensor, q: Tensor) -> Tensor:
        """`[batch, 1]`: the Kullback-Leibler divergence of policy `q` from policy `p`, `E_p[log p − log q]`."""
        return Tensor(learners().divergence(p.number, q.number))


@dataclass(frozen=True)
class Outer:
    """What `outer` judges."""

    theta: Theta
    network: Network
    """The learner as a function."""
    fresh: Sequence[Tensor]
    """Its parameters before the inner rule."""
    taught: Sequence[Tensor]
    """And after it."""
    batch: Batch

    def outputs(self) -> Tensor:
        """The taught learner's outputs for the batch's observations, `[b, outputs]`."""
        return self.network.apply(self.taught, self.batch["observations"])


@dataclass(frozen=True)
class Outcome:
    """A loss with what to log."""

    loss: Tensor
    """A scalar, to be made small."""
    metrics: Dict[str, Tensor] = field(default_factory=dict)
    """Scalars by name."""


class Objective:
    """A meta-objective: override `__init__`, `columns` and `outer`, and what else is to be other than the default."""

    ID: str
    """`name-vN` or `namespace/name-vN`; a change of what is computed is a new `N`."""
    VERSION: str
    """As in plugin.toml."""
    SUMMARY: str
    """One sentence."""
    OPTIONS: Sequence[Option] = ()

    def __init__(self, task: Task, **options):
        """Makes the objective for one task."""

    def data(self) -> Data:
        """What it learns from."""
        return Data.ROLLOUTS

    def theta(self, task: Task) -> List[MetaParameter]:
        """θ. It has `x` `[k, …observation]`, `y` `[k, outputs]` and `inner_lr` `[]`; what else there is, the objective
        decides. The default is the published one: X, Y ~ N(0, 1), a learned rate that starts at 1 unless the user sets
        another."""
        return default_theta(task)

    def columns(self) -> List[str]:
        """What of the batch `outer` reads; the host computes no more. `observations` `[b, …]`, `actions` `[b, 1]`
        (indices) or `[b, size]`; of rollouts also `log_probs` `[b, 1]` and `outputs` `[b, outputs]` of the policy that
        acted, `advantages` `[b, 1]`, not normalised, `returns` `[b, 1]`, `values` `[b, 1]`. Besides, `progress` `[1, 1]`: the
        share of the run that is done, in `[0, 1)`."""
        raise NotImplementedError

    def inner(self, theta: Theta, network: Network, fresh: Sequence[Tensor]) -> List[Tensor]:
        """φ → φ′: the parameters after learning from θ, as many as `fresh` and shaped alike."""
        return loss.inner_step(theta, network, fresh)

    def outer(self, outer: Outer) -> Outcome:
        """The loss of the taught learner on a batch."""
        raise NotImplementedError


def default_theta(task: Task) -> List[MetaParameter]:
    """X, Y ~ N(0, 1) and a learned inner learning rate."""
    return [
        MetaParameter("x", [task.instances, *task.observation.shape], MetaInit.normal(1)),
        MetaParameter("y", [task.instances, task.outputs], MetaInit.normal(1)),
        MetaParameter("inner_lr", [], MetaInit.constant(1)).positive(),
    ]

"""The objective role: the inner rule that trains a learner on θ, and the outer loss that evaluates the trained learner.

An exception stops the plugin, and its message reaches the user. Raise `InvalidOptions` for what a user can cause.
"""

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Dict, List, Sequence, Union

from . import loss
from .graph import Tensor, learners, number_of, returned
from .options import Option
from .spaces import Box, Discrete, Image, MultiDiscrete


@dataclass(frozen=True)
class Task:
    """The task that an objective is made for."""

    observation: Union[Box, Image]
    """The space of one observation."""
    action: Union[Discrete, MultiDiscrete, Box]
    """The space of one action."""
    instances: int
    """The number k of synthetic instances to learn."""
    outputs: int
    """The number of outputs of the policy per observation."""


@dataclass(frozen=True)
class MetaInit:
    """How a part of θ is initialized."""

    kind: str
    value: float = 0.0

    @staticmethod
    def constant(value: float) -> "MetaInit":
        """Every element has this value."""
        return MetaInit("constant", value)

    @staticmethod
    def normal(deviation: float) -> "MetaInit":
        """Elements are normal with mean 0 and this standard deviation."""
        return MetaInit("normal", deviation)

    @staticmethod
    def labels() -> "MetaInit":
        """One-hot rows `[k, classes]`: row i is 1 at class i modulo the number of classes, else 0."""
        return MetaInit("labels")


@dataclass(frozen=True)
class MetaParameter:
    """A part of the meta-parameters θ, which are the learned dataset."""

    name: str
    """The name, which is its key in the dataset."""
    shape: Sequence[int]
    init: MetaInit
    is_learned: bool = True
    is_positive: bool = False

    def fixed(self) -> "MetaParameter":
        """Makes the part keep its initial value."""
        return replace(self, is_learned=False)

    def positive(self) -> "MetaParameter":
        """Keeps the part positive, by learning its logarithm."""
        return replace(self, is_positive=True)


class Data(Enum):
    """The source of the transitions that an outer loss is computed on."""

    ROLLOUTS = 0
    """Rollouts of the taught learner, with advantages that the host estimates."""
    OFFLINE = 1
    """A fixed dataset of transitions."""


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
    """The meta-parameters θ, which are the learned dataset: tensors by name, `theta["momentum"]`."""

    def __init__(self, names: Sequence[str], tensors: Sequence[Tensor]):
        super().__init__("theta, which it does not declare", names, tensors)

    @property
    def x(self) -> Tensor:
        """The synthetic observations X, `[k, …observation]`."""
        return self["x"]

    @property
    def y(self) -> Tensor:
        """The synthetic labels Y, `[k, outputs]`."""
        return self["y"]

    @property
    def inner_lr(self) -> Tensor:
        """The inner learning rate η, a scalar."""
        return self["inner_lr"]


class Batch(_Named):
    """The columns that the objective requested, by name: `batch["advantages"]`. Except for `progress`, each has one row
    for each of b transitions."""

    def __init__(self, names: Sequence[str], tensors: Sequence[Tensor]):
        super().__init__("the batch, which it does not request in `columns`", names, tensors)


class Network:
    """The learner as a function of its parameters, and its policy as a distribution over actions. Its architecture is
    hidden, so that every objective works with every learner."""

    def apply(self, parameters: Sequence[Tensor], x: Tensor) -> Tensor:
        """Computes the learner's outputs `[batch, outputs]` for observations `x` `[batch, …]` and `parameters`."""
        return Tensor(learners().apply([number_of(p) for p in parameters], number_of(x)))

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Tensor:
        """Computes the log-probability `[batch, 1]` of `actions` under the policy with these `outputs` `[batch, outputs]`."""
        return Tensor(learners().log_probability(number_of(outputs), number_of(actions)))

    def entropy(self, outputs: Tensor) -> Tensor:
        """Computes the entropy `[batch, 1]` of the policy with these `outputs` `[batch, outputs]`."""
        return Tensor(learners().entropy(number_of(outputs)))

    def divergence(self, p: Tensor, q: Tensor) -> Tensor:
        """Computes the Kullback-Leibler divergence `E_p[log p − log q]`, `[batch, 1]`, between the policies with outputs
        `p` and `q`, both `[batch, outputs]`."""
        return Tensor(learners().divergence(number_of(p), number_of(q)))


@dataclass(frozen=True)
class Outer:
    """The inputs of `outer`."""

    theta: Theta
    network: Network
    """The learner as a function of its parameters."""
    fresh: Sequence[Tensor]
    """The learner's parameters before the inner rule, φ."""
    taught: Sequence[Tensor]
    """The learner's parameters after the inner rule, φ′."""
    batch: Batch

    def outputs(self) -> Tensor:
        """Computes the outputs `[b, outputs]` of the taught learner for the observations of the batch."""
        return self.network.apply(self.taught, self.batch["observations"])


@dataclass(frozen=True)
class Outcome:
    """A loss, with metrics to log."""

    loss: Tensor
    """The loss, a scalar to minimize."""
    metrics: Dict[str, Tensor] = field(default_factory=dict)
    """The metrics: scalars by name."""


class Objective:
    """A meta-objective: override `__init__`, `columns` and `outer`, and any other method whose default does not fit."""

    ID: str
    """The id: `name-vN` or `namespace/name-vN`. Increase `N` when the results change."""
    VERSION: str
    """The release of the plugin, as in plugin.toml."""
    SUMMARY: str
    """A description of the objective in one sentence."""
    OPTIONS: Sequence[Option] = ()

    def __init__(self, task: Task, **options):
        """Makes the objective for one task."""

    def data(self) -> Data:
        """Returns the source of the transitions that the outer loss is computed on."""
        return Data.ROLLOUTS

    def theta(self, task: Task) -> List[MetaParameter]:
        """Returns the parts of θ. They must include `x` `[k, …observation]`, `y` `[k, outputs]` and `inner_lr` `[]`; an
        objective may add others. The default follows the paper: X, Y ~ N(0, 1), and a learned inner learning rate that
        starts at 1 unless the user sets another value."""
        return default_theta(task)

    def columns(self) -> List[str]:
        """Returns the names of the columns of the batch that `outer` reads. The host computes only these.

        There are `observations` `[b, …]` and `actions`, which are indices `[b, 1]` or values `[b, size]`. Rollouts also
        have `log_probs` `[b, 1]` and `outputs` `[b, outputs]` of the policy that acted, `advantages` `[b, 1]` (not
        normalized), `returns` `[b, 1]`, `values` `[b, 1]`, and `teacher` `[b, outputs]`, the outputs of the agent that the
        user names as the teacher: log-probabilities of all actions, or means and log standard deviations. `progress`
        `[1, 1]` is the fraction of the run that is done, in `[0, 1)`."""
        raise NotImplementedError

    def inner(self, theta: Theta, network: Network, fresh: Sequence[Tensor]) -> List[Tensor]:
        """The inner rule φ → φ′: returns the learner's parameters after training on θ, with the same number and shapes as
        `fresh`."""
        return loss.inner_step(theta, network, fresh)

    def outer(self, outer: Outer) -> Outcome:
        """Returns the outer loss of the taught learner on a batch."""
        raise NotImplementedError


def trace_inner(objective: Objective, theta: Theta, network: Network, fresh: Sequence[Tensor]) -> List[Tensor]:
    """Calls `inner`, and checks that it returns tensors."""
    taught = objective.inner(theta, network, fresh)
    return [returned(objective.inner, Tensor, p, " as a parameter") for p in taught]


def trace_outer(objective: Objective, outer: Outer) -> Outcome:
    """Calls `outer`, and checks that it returns a loss and metrics that are tensors."""
    outcome = returned(objective.outer, Outcome, objective.outer(outer))
    returned(objective.outer, Tensor, outcome.loss, " as the loss")
    for name, value in outcome.metrics.items():
        returned(objective.outer, Tensor, value, f" as the metric `{name}`")
    return outcome


def default_theta(task: Task) -> List[MetaParameter]:
    """The default parts of θ: X, Y ~ N(0, 1) and a learned inner learning rate that starts at 1."""
    return [
        MetaParameter("x", [task.instances, *task.observation.shape], MetaInit.normal(1)),
        MetaParameter("y", [task.instances, task.outputs], MetaInit.normal(1)),
        MetaParameter("inner_lr", [], MetaInit.constant(1)).positive(),
    ]

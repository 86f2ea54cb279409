"""The learner role: a distribution Λ of networks. A learner describes a network as a graph; the host computes it.

Rules:
- Draw an architecture with random numbers only from the `Rng` that you are given; the host draws the values of
  parameters.
- `forward` must request the same parameters in the same order in every call, and must keep no tensor.
- An exception stops the plugin, and its message reaches the user. Raise `InvalidOptions` for what a user can cause.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Sequence, Union

from .graph import Tensor, returned
from .options import Option
from .rng import Rng
from .spaces import Box, Image


@dataclass(frozen=True)
class Init:
    """How the host initializes a parameter of a fresh learner."""

    kind: str
    value: float

    @staticmethod
    def constant(value: float) -> "Init":
        """Every element has this value."""
        return Init("constant", value)

    @staticmethod
    def uniform(bound: float) -> "Init":
        """Elements are uniform within ± this bound."""
        return Init("uniform", bound)

    @staticmethod
    def normal(deviation: float) -> "Init":
        """Elements are normal with mean 0 and this standard deviation."""
        return Init("normal", deviation)

    @staticmethod
    def orthogonal(gain: float) -> "Init":
        """The matrix is orthogonal times this gain (Saxe et al. 2014), as `torch.nn.init.orthogonal_` makes it."""
        return Init("orthogonal", gain)

    @staticmethod
    def xavier_normal(gain: float, inputs: int, outputs: int) -> "Init":
        """A normal initialization with standard deviation `gain·√(2/(inputs + outputs))` (Glorot & Bengio 2010)."""
        return Init.normal(gain * sqrt(2 / (inputs + outputs)))

    @staticmethod
    def xavier_uniform(gain: float, inputs: int, outputs: int) -> "Init":
        """A uniform initialization with the same standard deviation as `xavier_normal`."""
        return Init.uniform(gain * sqrt(6 / (inputs + outputs)))


@dataclass(frozen=True)
class LearnerShape:
    """The inputs and outputs that a learner must have."""

    observation: Union[Box, Image]
    """The space of one observation. Pixels arrive as numbers from 0 to 1."""
    outputs: int
    """The number of outputs per observation: logits, means, or a critic's value."""


@dataclass(frozen=True)
class Parameter:
    """A parameter that a learner declared by requesting it."""

    name: str
    shape: Sequence[int]
    init: Init
    layer: int


class Parameters:
    """The parameters of a learner. `forward` declares a parameter by requesting it."""

    def __init__(self, declared=None, values=None):
        self.declared = declared or []
        self.values = values
        self.next = 0

    def get(self, name: str, shape: Sequence[int], init: Init, layer: int) -> Tensor:
        """Returns the parameter `name` of `shape`. Layers are counted from the input, from 0. With encoder rollback at
        layer l, the layers before l are meta-learned and the inner step trains the others."""
        asked = Parameter(name, list(shape), init, layer)
        if self.values is None:
            self.declared.append(asked)
            return Tensor.full(0, shape)
        position, self.next = self.next, self.next + 1
        if self.declared[position : position + 1] != [asked]:
            raise ValueError(f"parameter {position} is `{name}` {list(shape)}, but it was declared differently")
        return self.values[position]

    def linear(self, name: str, x: Tensor, outputs: int, init: Init, layer: int) -> Tensor:
        """Applies a linear layer to `x` `[…, inputs]`. Its weight `{name}.weight` `[inputs, outputs]` is drawn by `init`, and
        its bias `{name}.bias` `[outputs]` starts at 0."""
        inputs = (x.shape or [1])[-1]
        weight = self.get(f"{name}.weight", [inputs, outputs], init, layer)
        bias = self.get(f"{name}.bias", [outputs], Init.constant(0), layer)
        return x @ weight + bias

    def conv2d(
        self, name: str, x: Tensor, channels: int, kernel: int, stride: int, padding: int, init: Init, layer: int
    ) -> Tensor:
        """Applies a convolution with square kernels to `x` `[batch, inputs, height, width]`. Its weight `{name}.weight`
        `[channels, inputs, kernel, kernel]` is drawn by `init`, and its bias `{name}.bias` `[channels]` starts at 0."""
        inputs = (x.shape + [1, 1])[1]
        weight = self.get(f"{name}.weight", [channels, inputs, kernel, kernel], init, layer)
        bias = self.get(f"{name}.bias", [channels], Init.constant(0), layer)
        return x.conv2d(weight, stride, padding) + bias.reshape([1, channels, 1, 1])


class Learner:
    """One network architecture, drawn from the distribution of learners that the plugin defines: override `__init__`,
    `name` and `forward`."""

    ID: str
    """The id: `name-vN` or `namespace/name-vN`. Increase `N` when the results change."""
    VERSION: str
    """The release of the plugin, as in plugin.toml."""
    SUMMARY: str
    """A description of the learner in one sentence."""
    OPTIONS: Sequence[Option] = ()

    def __init__(self, shape: LearnerShape, rng: Rng, **options):
        """Draws an architecture for `shape`. It does not draw the values of parameters: the host draws them as their `Init`
        says."""

    def name(self) -> str:
        """Returns the name of this architecture. Architectures with equal names must trace equal graphs."""
        raise NotImplementedError

    def forward(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Traces the network on `observations` `[batch, …]` and returns its outputs `[batch, outputs]`. Every call must
        request the same parameters in the same order."""
        raise NotImplementedError


def trace_forward(learner: Learner, parameters: Parameters, observations: Tensor) -> Tensor:
    """Calls `forward`, and checks that it returns a tensor."""
    return returned(learner.forward, Tensor, learner.forward(parameters, observations))


def declare(learner: Learner, shape: LearnerShape) -> Sequence[Parameter]:
    """Returns the parameters that `forward` requests, found by tracing it on a batch of one observation."""
    parameters = Parameters()
    trace_forward(learner, parameters, Tensor.full(0, [1, *shape.observation.shape]))
    return parameters.declared

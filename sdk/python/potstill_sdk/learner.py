"""The learner role: a distribution Λ of networks that are described, not computed.

Rules:
- Draw an architecture from the `Rng` you are handed and from nothing else; the host draws the values of parameters.
- `forward` asks for the same parameters in the same order each time, and keeps no tensor.
- An exception ends the plugin, and its message reaches the user. What a user can cause is an `InvalidOptions`.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Sequence, Union

from .graph import Tensor
from .options import Option
from .rng import Rng
from .spaces import Box, Image


@dataclass(frozen=True)
class Init:
    """How a parameter starts in a fresh learner. The host draws it."""

    kind: str
    value: float

    @staticmethod
    def constant(value: float) -> "Init":
        """All this value."""
        return Init("constant", value)

    @staticmethod
    def uniform(bound: float) -> "Init":
        """Within ± the bound."""
        return Init("uniform", bound)

    @staticmethod
    def normal(deviation: float) -> "Init":
        """Mean 0 and this standard deviation."""
        return Init("normal", deviation)

    @staticmethod
    def orthogonal(gain: float) -> "Init":
        """Orthonormal rows or columns times the gain (Saxe et al. 2014), as `torch.nn.init.orthogonal_`."""
        return Init("orthogonal", gain)

    @staticmethod
    def xavier_normal(gain: float, inputs: int, outputs: int) -> "Init":
        """Normal with standard deviation `gain·√(2/(inputs + outputs))` (Glorot & Bengio 2010)."""
        return Init.normal(gain * sqrt(2 / (inputs + outputs)))

    @staticmethod
    def xavier_uniform(gain: float, inputs: int, outputs: int) -> "Init":
        """Uniform with the same standard deviation."""
        return Init.uniform(gain * sqrt(6 / (inputs + outputs)))


@dataclass(frozen=True)
class LearnerShape:
    """What a learner has to read and to give."""

    observation: Union[Box, Image]
    """Space of one observation. Pixels arrive as numbers from 0 to 1."""
    outputs: int
    """Numbers for each observation: logits, means, or a critic's value."""


@dataclass(frozen=True)
class Parameter:
    """A parameter that a learner declared by asking for it."""

    name: str
    shape: Sequence[int]
    init: Init
    layer: int


class Parameters:
    """Where `forward` gets its parameters from: asking for one declares it."""

    def __init__(self, declared=None, values=None):
        self.declared = declared or []
        self.values = values
        self.next = 0

    def get(self, name: str, shape: Sequence[int], init: Init, layer: int) -> Tensor:
        """The parameter `name` of `shape`, in a layer counted from the input: encoder rollback meta-learns the layers
        before l and lets the inner step teach the others."""
        asked = Parameter(name, list(shape), init, layer)
        if self.values is None:
            self.declared.append(asked)
            return Tensor.full(0, shape)
        position, self.next = self.next, self.next + 1
        if self.declared[position : position + 1] != [asked]:
            raise ValueError(f"parameter {position} is `{name}` {list(shape)}, which was not declared so")
        return self.values[position]

    def linear(self, name: str, x: Tensor, outputs: int, init: Init, layer: int) -> Tensor:
        """A linear layer: weight `{name}.weight` `[inputs, outputs]`, drawn by `init`, and bias `{name}.bias`, 0."""
        inputs = (x.shape or [1])[-1]
        weight = self.get(f"{name}.weight", [inputs, outputs], init, layer)
        bias = self.get(f"{name}.bias", [outputs], Init.constant(0), layer)
        return x @ weight + bias

    def conv2d(
        self, name: str, x: Tensor, channels: int, kernel: int, stride: int, padding: int, init: Init, layer: int
    ) -> Tensor:
        """A convolution of square kernels: weight `{name}.weight` `[channels, inputs, kernel, kernel]`, drawn by `init`,
        and bias `{name}.bias`, 0."""
        inputs = (x.shape + [1, 1])[1]
        weight = self.get(f"{name}.weight", [channels, inputs, kernel, kernel], init, layer)
        bias = self.get(f"{name}.bias", [channels], Init.constant(0), layer)
        return x.conv2d(weight, stride, padding) + bias.reshape([1, channels, 1, 1])


class Learner:
    """A network, drawn from the distribution that the plugin is: override `__init__`, `name` and `forward`."""

    ID: str
    """`name-vN` or `namespace/name-vN`; a change of what is computed is a new `N`."""
    VERSION: str
    """As in plugin.toml."""
    SUMMARY: str
    """One sentence."""
    OPTIONS: Sequence[Option] = ()

    def __init__(self, shape: LearnerShape, rng: Rng, **options):
        """Draws an architecture for `shape`. Values of parameters are not drawn here: `Init` says how the host does."""

    def name(self) -> str:
        """What tells it from the distribution's other architectures: equal names trace equal graphs."""
        raise NotImplementedError

    def forward(self, parameters: Parameters, observations: Tensor) -> Tensor:
        """Traces the network on `observations` `[batch, …]`, giving `[batch, outputs]`. Asks for the same parameters in
        the same order each time."""
        raise NotImplementedError


def declare(learner: Learner, shape: LearnerShape) -> Sequence[Parameter]:
    """The parameters that `forward` asks for, found out on one observation."""
    parameters = Parameters()
    learner.forward(parameters, Tensor.full(0, [1, *shape.observation.shape]))
    return parameters.declared

"""What is seen and what is done: Gymnasium's spaces."""

from dataclasses import dataclass
from typing import Sequence, Union


@dataclass(frozen=True)
class Box:
    """Real numbers. Bounds: one for all elements, or one per element; infinite where there is none."""

    shape: Sequence[int]
    low: Union[float, Sequence[float]]
    high: Union[float, Sequence[float]]


@dataclass(frozen=True)
class Discrete:
    """An integer in `0..n`."""

    n: int


@dataclass(frozen=True)
class MultiDiscrete:
    """One integer in `0..n` for every entry."""

    nvec: Sequence[int]


@dataclass(frozen=True)
class Image:
    """Bytes, e.g. of shape `(4, 84, 84)`."""

    shape: Sequence[int]


Space = Union[Box, Discrete, MultiDiscrete, Image]

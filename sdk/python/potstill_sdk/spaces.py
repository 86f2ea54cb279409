"""The spaces of observations and actions, as in Gymnasium."""

from dataclasses import dataclass
from typing import Sequence, Union


@dataclass(frozen=True)
class Box:
    """An array of real numbers. A bound is one number for all elements or one per element, and may be infinite."""

    shape: Sequence[int]
    low: Union[float, Sequence[float]]
    high: Union[float, Sequence[float]]


@dataclass(frozen=True)
class Discrete:
    """An integer in `0..n`."""

    n: int


@dataclass(frozen=True)
class MultiDiscrete:
    """One integer in `0..n` for every entry `n` of `nvec`."""

    nvec: Sequence[int]


@dataclass(frozen=True)
class Image:
    """An array of bytes, such as pixels of shape `(4, 84, 84)`."""

    shape: Sequence[int]


Space = Union[Box, Discrete, MultiDiscrete, Image]

"""The options of a plugin, which the user may set."""

from dataclasses import dataclass
from typing import Sequence, Union


@dataclass(frozen=True)
class Integer:
    """A whole number with inclusive limits."""

    min: int
    max: int


@dataclass(frozen=True)
class Number:
    """A finite number with inclusive limits."""

    min: float
    max: float


@dataclass(frozen=True)
class Boolean:
    """Either `true` or `false`."""


@dataclass(frozen=True)
class Text:
    """One of `choices`, or any text if there are none."""

    choices: Sequence[str] = ()


@dataclass(frozen=True)
class Option:
    """One option that the plugin accepts: `--set NAME=VALUE`. The host checks the value against `kind`."""

    name: str
    """The name, in lower-case letters, digits and dashes. `__init__` receives it as a keyword, with `_` for `-`."""
    help: str
    """A description in one sentence."""
    kind: Union[Integer, Number, Boolean, Text]
    default: Union[int, float, bool, str]


class InvalidOptions(Exception):
    """The exception that `__init__` raises if the options contradict each other, or if a learner or an objective does not
    support the task. Each option by itself has already been checked. The message is shown to the user."""


def as_keywords(plugin, settings):
    """Returns the keyword arguments for `__init__` of `plugin`: its options from `settings`, or else their defaults."""
    values = {option.name: option.default for option in plugin.OPTIONS} | settings
    return {name.replace("-", "_"): value for name, value in values.items()}

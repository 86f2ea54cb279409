"""What the user may set."""

from dataclasses import dataclass
from typing import Sequence, Union


@dataclass(frozen=True)
class Integer:
    """A whole number, limits inclusive."""

    min: int
    max: int


@dataclass(frozen=True)
class Number:
    """A finite number, limits inclusive."""

    min: float
    max: float


@dataclass(frozen=True)
class Boolean:
    """`true` or `false`."""


@dataclass(frozen=True)
class Text:
    """One of `choices`, or any text when there are none."""

    choices: Sequence[str] = ()


@dataclass(frozen=True)
class Option:
    """One option that the plugin accepts: `--set NAME=VALUE`. The host checks the value against `kind`."""

    name: str
    """Lower case, digits and dashes. Reaches `__init__` as a keyword, with `_` for `-`."""
    help: str
    """One sentence."""
    kind: Union[Integer, Number, Boolean, Text]
    default: Union[int, float, bool, str]


class InvalidOptions(Exception):
    """Raised by `__init__`: the options do not go together (each by itself has been checked), or a learner or an objective
    is not for this task; in words for the user."""


def as_keywords(plugin, settings):
    """What `__init__` of `plugin` gets: its options, from `settings` and otherwise the defaults."""
    values = {option.name: option.default for option in plugin.OPTIONS} | settings
    return {name.replace("-", "_"): value for name, value in values.items()}

"""The environment role. An author writes *one* environment: how it starts, what a step does. The SDK makes N copies of
it, gives each its own random stream, resets those whose episode ended in the same step (keeping the final observation),
enforces the time limit and speaks the contract. It behaves as the Rust SDK does.

Rules:
- Draw random numbers from the `Rng` you are handed and from nowhere else: equal seeds must give equal episodes, and the
  state of Python's `random` is frozen into the component when it is built.
- Observations and rewards are finite; the host ends a plugin that gives a NaN.
- An exception ends the plugin, and its message reaches the user. What a user can cause is an `InvalidOptions`.
- Sizes and kinds are checked here, in the words of the author's own code.
"""

import struct
from dataclasses import dataclass
from math import prod
from typing import NamedTuple, Optional, Sequence, Union

from .options import Option, as_keywords
from .rng import Rng
from .spaces import Box, Discrete, Image, MultiDiscrete


@dataclass(frozen=True)
class Spec:
    """What one copy is, once its options are set."""

    observation: Union[Box, Image]
    action: Union[Discrete, MultiDiscrete, Box]
    max_episode_steps: Optional[int] = None
    """Steps after which the SDK truncates an episode, when there is a limit."""
    reward_threshold: Optional[float] = None
    """The return that counts as solved, when the field has agreed on one."""
    max_return: Optional[float] = None
    """The return no episode exceeds, when there is one: a run whose validations all reach it is done."""


class Step(NamedTuple):
    """What one step gave. `observation` is the one after the step, also where the episode ends."""

    observation: Union[Sequence[float], bytes]
    reward: float
    terminated: bool = False
    """The episode reached a terminal state."""
    truncated: bool = False
    """The episode was cut short without reaching one. Leave `max_episode_steps` to the SDK."""


@dataclass(frozen=True)
class Picture:
    """Three bytes a pixel, row by row from the top left."""

    width: int
    height: int
    pixels: bytes


class Environment:
    """One environment, as its author writes it: override `__init__`, `spec`, `reset` and `step`."""

    ID: str
    """`name-vN` or `namespace/name-vN`; a change of dynamics, rewards or defaults is a new `N`."""
    VERSION: str
    """As in plugin.toml."""
    SUMMARY: str
    """One sentence."""
    OPTIONS: Sequence[Option] = ()

    def __init__(self, **options):
        """Makes one copy from the options, which waits for its first `reset`."""

    def spec(self) -> Spec:
        """What the copy is."""
        raise NotImplementedError

    def reset(self, rng: Rng) -> Union[Sequence[float], bytes]:
        """Starts an episode and gives its first observation: numbers of a `Box`, row by row, or bytes of an `Image`."""
        raise NotImplementedError

    def step(self, action, rng: Rng) -> Step:
        """Takes one step. `action` is an int of a `Discrete` space, else a sequence; the host has checked it."""
        raise NotImplementedError

    def render(self, mode: str) -> Union[Picture, str, None]:
        """Draws the copy as it is now: a `Picture` for `"rgb"`, lines for `"text"`, None where it cannot."""
        return None

    def snapshot(self) -> Optional[bytes]:
        """The copy's state, without its random stream and step count, which the SDK adds; None for no snapshots."""
        return None

    def restore(self, state: bytes) -> None:
        """Goes back to a state of `snapshot`; raises ValueError where `state` is not one."""
        raise ValueError("this environment has no snapshots")


# ---- N copies: what the component is made of, and what tests step ------------------------------------------------


class Transition(NamedTuple):
    """What a step of all copies gave, row by row."""

    observations: Union[list, bytes]
    rewards: list
    terminated: bytes
    truncated: bytes
    final_observations: Union[list, bytes]
    """Of the episodes that ended in this step, and only those."""


_MAGIC = b"PSTILL\0\x01"
_COPY = struct.Struct("<QII")


class Vectorised:
    """N copies of an environment, with `settings` and otherwise the default options."""

    def __init__(self, environment, num_envs, settings=None):
        keywords = as_keywords(environment, settings or {})
        self.copies = [environment(**keywords) for _ in range(num_envs)]
        self.spec = self.copies[0].spec()
        self.rngs = [Rng(0) for _ in self.copies]
        self.steps = [0] * num_envs
        self.image = isinstance(self.spec.observation, Image)
        self.size = prod(self.spec.observation.shape)

    def _row(self, observation, function):
        if len(observation) != self.size:
            raise ValueError(f"{function} gave {len(observation)} observation values, the space has {self.size}")
        return observation

    def _join(self, rows):
        return b"".join(rows) if self.image else [value for row in rows for value in row]

    def _start(self, i):
        self.steps[i] = 0
        return self._row(self.copies[i].reset(self.rngs[i]), "reset")

    def reset(self, seeds):
        """Starts an episode in every copy with its own seed; gives the first observations."""
        if len(seeds) != len(self.copies):
            raise ValueError(f"{len(seeds)} seeds for {len(self.copies)} environments")
        self.rngs = [Rng(seed) for seed in seeds]
        return self._join([self._start(i) for i in range(len(self.copies))])

    def step(self, actions):
        """Takes a step in every copy: `actions` holds one value, or one per component, for each of them."""
        n, space = len(self.copies), self.spec.action
        if not isinstance(space, Discrete):
            size = len(space.nvec) if isinstance(space, MultiDiscrete) else prod(space.shape)
            actions = [actions[i : i + size] for i in range(0, len(actions), size)]
        if len(actions) != n:
            raise ValueError(f"{len(actions)} actions for {n} environments")
        limit = self.spec.max_episode_steps or float("inf")
        rows, rewards, finals = [], [], []
        terminated, truncated = bytearray(n), bytearray(n)
        for i, (copy, rng, action) in enumerate(zip(self.copies, self.rngs, actions)):
            row, reward, ended, cut = copy.step(action, rng)
            self._row(row, "step")
            self.steps[i] += 1
            cut = not ended and (cut or self.steps[i] >= limit)
            if ended or cut:
                terminated[i], truncated[i] = bool(ended), bool(cut)
                finals.append(row)
                row = self._start(i)
            rows.append(row)
            rewards.append(reward)
        return Transition(self._join(rows), rewards, bytes(terminated), bytes(truncated), self._join(finals))

    def snapshot(self):
        """The whole state, laid out as by the Rust SDK: magic, u64 copies; then for each copy u64 random state, u32
        steps, u32 length, and as many bytes of its own. None where the environment has no snapshots."""
        out = [_MAGIC, struct.pack("<Q", len(self.copies))]
        for copy, rng, steps in zip(self.copies, self.rngs, self.steps):
            own = copy.snapshot()
            if own is None:
                return None
            out += [_COPY.pack(rng.state, steps, len(own)), own]
        return b"".join(out)

    def restore(self, state):
        """Goes back to a state of `snapshot`; raises ValueError where `state` is not one."""
        n = len(self.copies)
        if state[:16] != _MAGIC + struct.pack("<Q", n):
            raise ValueError(f"this is not a snapshot of {n} environments")
        at = 16
        for i, copy in enumerate(self.copies):
            if at + _COPY.size > len(state):
                raise ValueError("the snapshot is cut short")
            self.rngs[i].state, self.steps[i], length = _COPY.unpack_from(state, at)
            at += _COPY.size + length
            if at > len(state):
                raise ValueError("the snapshot is cut short")
            copy.restore(bytes(state[at - length : at]))
        if at != len(state):
            raise ValueError(f"the snapshot has {len(state) - at} bytes too many")

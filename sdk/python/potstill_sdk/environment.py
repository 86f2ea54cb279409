"""The environment role. An author writes *one* environment: how an episode starts and what a step does. The SDK makes N
copies of it, gives each its own random stream, resets a copy in the same step in which its episode ends (keeping the
final observation), enforces the time limit and implements the plugin contract. It behaves like the Rust SDK.

Rules:
- Draw random numbers only from the `Rng` that you are given: equal seeds must give equal episodes, and the state of
  Python's `random` is frozen into the component when it is built.
- Observations and rewards must be finite; the host stops a plugin that returns a NaN.
- An exception stops the plugin, and its message reaches the user. Raise `InvalidOptions` for what a user can cause.
- The SDK checks the sizes of observations and the numbers of seeds and actions.
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
    """The specification of one copy, once its options are set."""

    observation: Union[Box, Image]
    action: Union[Discrete, MultiDiscrete, Box]
    max_episode_steps: Optional[int] = None
    """Number of steps after which the SDK truncates an episode, or None for no limit."""
    reward_threshold: Optional[float] = None
    """The return at which the environment counts as solved, if there is an agreed one."""
    max_return: Optional[float] = None
    """The highest possible return of an episode, if there is one. A run stops early once all its validations reach it."""


class Step(NamedTuple):
    """The result of one step. `observation` is the one after the step, even if the step ends the episode."""

    observation: Union[Sequence[float], bytes]
    reward: float
    terminated: bool = False
    """Whether the episode reached a terminal state."""
    truncated: bool = False
    """Whether the episode was cut short without reaching a terminal state. The SDK itself enforces `max_episode_steps`."""


@dataclass(frozen=True)
class Picture:
    """An image with three bytes (RGB) per pixel, in row-major order from the top left."""

    width: int
    height: int
    pixels: bytes


class Environment:
    """One environment, as its author writes it: override `__init__`, `spec`, `reset` and `step`."""

    ID: str
    """The id: `name-vN` or `namespace/name-vN`. Increase `N` when dynamics, rewards or defaults change."""
    VERSION: str
    """The release of the plugin, as in plugin.toml."""
    SUMMARY: str
    """A description of the environment in one sentence."""
    OPTIONS: Sequence[Option] = ()

    def __init__(self, **options):
        """Makes one copy from the options. `reset` is called before its first step."""

    def spec(self) -> Spec:
        """Returns the specification of the copy."""
        raise NotImplementedError

    def reset(self, rng: Rng) -> Union[Sequence[float], bytes]:
        """Starts an episode and returns its first observation in row-major order: numbers for a `Box`, bytes for an
        `Image`."""
        raise NotImplementedError

    def step(self, action, rng: Rng) -> Step:
        """Takes one step. `action` is an int for a `Discrete` space, else a sequence; the host has checked it."""
        raise NotImplementedError

    def render(self, mode: str) -> Union[Picture, str, None]:
        """Renders the current state of the copy: a `Picture` for `"rgb"`, lines of text for `"text"`, or None if the mode
        is not supported."""
        return None

    def snapshot(self) -> Optional[bytes]:
        """Returns the state of the copy, or None if snapshots are not supported. The SDK itself saves the random stream and
        the step count."""
        return None

    def restore(self, state: bytes) -> None:
        """Restores a state that `snapshot` returned. Raises ValueError if `state` is not such a state."""
        raise ValueError("this environment has no snapshots")


# ---- N copies, which the component and tests step -----------------------------------------------------------------


class Transition(NamedTuple):
    """The result of one step of all copies, in row-major order."""

    observations: Union[list, bytes]
    rewards: list
    terminated: bytes
    truncated: bytes
    final_observations: Union[list, bytes]
    """The last observations of the episodes that ended in this step, in the order of their copies."""


_MAGIC = b"PSTILL\0\x01"
_COPY = struct.Struct("<QII")


class Vectorised:
    """N copies of an environment. Options that are not in `settings` have their defaults."""

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
        """Starts an episode in every copy, each with its own seed, and returns the first observations."""
        if len(seeds) != len(self.copies):
            raise ValueError(f"{len(seeds)} seeds for {len(self.copies)} environments")
        self.rngs = [Rng(seed) for seed in seeds]
        return self._join([self._start(i) for i in range(len(self.copies))])

    def step(self, actions):
        """Takes one step in every copy. `actions` holds one value per copy, or one per component of each copy's action."""
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
        """Returns the whole state in the format of the Rust SDK, or None if the environment does not support snapshots.
        The format is the magic and a u64 with the number of copies; then for each copy its random state as u64, its step
        count as u32, and its own state as a u32 length and bytes."""
        out = [_MAGIC, struct.pack("<Q", len(self.copies))]
        for copy, rng, steps in zip(self.copies, self.rngs, self.steps):
            own = copy.snapshot()
            if own is None:
                return None
            out += [_COPY.pack(rng.state, steps, len(own)), own]
        return b"".join(out)

    def restore(self, state):
        """Restores a state that `snapshot` returned. Raises ValueError if `state` is not such a state."""
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

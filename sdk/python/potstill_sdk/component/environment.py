"""The component's resource: N copies of the exported environment."""

import functools

from componentize_py_types import Err
from potstill_sdk import Box, Discrete, Image, InvalidOptions, MultiDiscrete, Vectorised
from potstill_sdk.environment import exported
from wit_world.exports import environment as role
from wit_world.imports import log, types


def guarded(function):
    """An exception that is no answer ends the plugin, which carries no message: send it ahead."""

    @functools.wraps(function)
    def call(*arguments):
        try:
            return function(*arguments)
        except Err:
            raise
        except BaseException as error:
            # By hand: `traceback` reads the source, and there are no files.
            place = error.__traceback__
            while place.tb_next:
                place = place.tb_next
            file = place.tb_frame.f_code.co_filename.rpartition("/")[2]
            log.write(log.Level.ERROR, f"{type(error).__name__}: {error} ({file}:{place.tb_lineno})")
            raise

    return call


def _space(space):
    if isinstance(space, Box):
        low, high = ([b] if isinstance(b, (int, float)) else list(b) for b in (space.low, space.high))
        return types.Space_Box(types.BoxSpace(list(space.shape), low, high))
    if isinstance(space, Discrete):
        return types.Space_Discrete(space.n)
    if isinstance(space, MultiDiscrete):
        return types.Space_MultiDiscrete(list(space.nvec))
    if isinstance(space, Image):
        return types.Space_Image(list(space.shape))
    raise TypeError(f"{space!r} is not a space")


class Environments(role.Environments):
    def __init__(self, copies):
        self.copies = copies

    def _observations(self, values):
        return role.Observations_Byte(values) if self.copies.image else role.Observations_Float(values)

    @classmethod
    @guarded
    def make(cls, num_envs, settings):
        try:
            return cls(Vectorised(exported(), num_envs, {s.name: s.value.value for s in settings}))
        except InvalidOptions as error:
            raise Err(str(error)) from None

    @guarded
    def spec(self):
        s = self.copies.spec
        return role.Spec(
            _space(s.observation),
            _space(s.action),
            s.max_episode_steps,
            s.reward_threshold,
            s.max_return,
            role.Autoreset.SAME_STEP,
        )

    @guarded
    def reset(self, seeds):
        return self._observations(self.copies.reset(seeds))

    @guarded
    def step(self, actions):
        observations, rewards, terminated, truncated, finals = self.copies.step(actions.value)
        return role.Transition(
            self._observations(observations), rewards, terminated, truncated, self._observations(finals)
        )

    @guarded
    def render(self, index, mode):
        frame = self.copies.copies[index].render(mode.name.lower())
        if frame is None:
            raise Err(f"this environment draws no {mode.name.lower()}")
        if isinstance(frame, str):
            return role.Frame_Text(frame)
        return role.Frame_Rgb(role.Picture(frame.width, frame.height, bytes(frame.pixels)))

    @guarded
    def snapshot(self):
        return self.copies.snapshot()

    @guarded
    def restore(self, state):
        try:
            self.copies.restore(state)
        except ValueError as error:
            raise Err(str(error)) from None

"""The resource of the environment contract: N copies of the exported environment."""

from componentize_py_types import Err
from potstill_contract import guarded, to_contract
from potstill_sdk import InvalidOptions, Vectorised
from potstill_sdk.export import exported
from wit_world.exports import environment as role


class Environments(role.Environments):
    def __init__(self, copies):
        self.copies = copies

    def _observations(self, values):
        return role.Observations_Byte(values) if self.copies.image else role.Observations_Float(values)

    @classmethod
    @guarded
    def make(cls, num_envs, settings):
        try:
            return cls(Vectorised(exported("environment"), num_envs, {s.name: s.value.value for s in settings}))
        except InvalidOptions as error:
            raise Err(str(error)) from None

    @guarded
    def spec(self):
        s = self.copies.spec
        return role.Spec(
            to_contract(s.observation),
            to_contract(s.action),
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
            raise Err(f"this environment does not render {mode.name.lower()}")
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

"""A corridor: go left or right until either end; the right end pays 1. Replace it with your environment."""

from potstill_sdk import Box, Discrete, Environment, Integer, Option, Spec, Step, export_environment


class Corridor(Environment):
    """One copy. The SDK makes as many as the host asks for."""

    ID = "{{id}}"
    VERSION = "0.1.0"
    SUMMARY = "A corridor whose right end pays 1."
    OPTIONS = [Option("length", "Places from end to end.", Integer(2, 1000), 10)]

    def __init__(self, length):
        self.length = length
        self.position = 0

    def spec(self):
        return Spec(observation=Box([1], 0, 1), action=Discrete(2), max_episode_steps=100, max_return=1.0)

    def observe(self):
        return [self.position / self.length]

    def reset(self, rng):
        self.position = 1 + rng.below(self.length - 1)
        return self.observe()

    def step(self, action, rng):
        self.position += 1 if action == 1 else -1
        won = self.position == self.length
        return Step(self.observe(), reward=float(won), terminated=won or self.position == 0)

    def render(self, mode):
        """Optional: `potstill play` shows this."""
        if mode == "text":
            return "".join("@" if i == self.position else "." for i in range(self.length + 1))

    def snapshot(self):
        """Optional: lets a killed run resume exactly where it was."""
        return self.position.to_bytes(8, "little", signed=True)

    def restore(self, state):
        if len(state) != 8:
            raise ValueError("a corridor's state has 8 bytes")
        self.position = int.from_bytes(state, "little", signed=True)


export_environment(Corridor)

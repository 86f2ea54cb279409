"""A grid in which the agent walks to the lower right corner. A wall in the middle column has one gap, in the lowest row."""

from potstill_sdk import Box, Discrete, Environment, Integer, Option, Spec, Step, export_environment

MOVES = [(0, -1), (1, 0), (0, 1), (-1, 0)]  # up, right, down, left
COST = 0.01


class GridWorld(Environment):
    ID = "examples/grid-world-v1"
    VERSION = "0.1.0"
    SUMMARY = "Walk to a corner of a grid with a wall in the way."
    OPTIONS = [Option("size", "Cells along each side.", Integer(3, 25), 7)]

    def __init__(self, size):
        self.size = size
        self.x = self.y = 0

    def spec(self):
        return Spec(observation=Box([2], -1, 1), action=Discrete(len(MOVES)), max_episode_steps=8 * self.size)

    def is_free(self, x, y):
        inside = 0 <= x < self.size and 0 <= y < self.size
        return inside and (x != self.size // 2 or y == self.size - 1)

    def is_goal(self):
        return self.x == self.y == self.size - 1

    def observe(self):
        return [2 * c / (self.size - 1) - 1 for c in (self.x, self.y)]

    def reset(self, rng):
        while True:
            self.x, self.y = rng.below(self.size), rng.below(self.size)
            if self.is_free(self.x, self.y) and not self.is_goal():
                return self.observe()

    def step(self, action, rng):
        dx, dy = MOVES[action]
        if self.is_free(self.x + dx, self.y + dy):
            self.x, self.y = self.x + dx, self.y + dy
        return Step(self.observe(), float(self.is_goal()) - COST, terminated=self.is_goal())

    def render(self, mode):
        if mode == "text":
            cells = range(self.size)
            return "\n".join("".join(self.letter(x, y) for x in cells) for y in cells)

    def letter(self, x, y):
        if (x, y) == (self.x, self.y):
            return "@"
        if x == y == self.size - 1:
            return "G"
        return "." if self.is_free(x, y) else "#"

    def snapshot(self):
        return bytes([self.x, self.y])

    def restore(self, state):
        x, y = state  # raises ValueError unless there are two
        if not self.is_free(x, y):
            raise ValueError("this cell is a wall")
        self.x, self.y = x, y


export_environment(GridWorld)

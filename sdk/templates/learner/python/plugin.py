"""A perceptron with one hidden layer of random width. Replace it with your network."""

from potstill_sdk import Init, Integer, InvalidOptions, Learner, Option, export_learner


class Perceptron(Learner):
    """One network of the distribution."""

    ID = "{{id}}"
    VERSION = "0.1.0"
    SUMMARY = "A perceptron with one hidden layer whose width is drawn."
    OPTIONS = [
        Option("least", "The smallest width.", Integer(1, 4096), 64),
        Option("most", "The largest width.", Integer(1, 4096), 128),
    ]

    def __init__(self, shape, rng, least, most):
        if least > most:
            raise InvalidOptions(f"`least` is {least}, above `most`, {most}")
        self.outputs = shape.outputs
        self.width = least + rng.below(most - least + 1)

    def name(self):
        """Networks with equal names must trace equal graphs."""
        return f"{self.width} wide"

    def forward(self, parameters, observations):
        x = observations.flatten_rows()
        hidden = parameters.linear("hidden", x, self.width, Init.orthogonal(2**0.5), 0).tanh()
        return parameters.linear("output", hidden, self.outputs, Init.orthogonal(0.01), 1)


export_learner(Perceptron)

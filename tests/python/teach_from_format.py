"""Teaches learners from docs/dataset-format.md alone: NumPy, a reader of safetensors, and nothing of Potstill. It reads
format 1: datasets that teach by applying the inner rule once.

    teach_from_format.py fresh DATASET OUT            writes OUT, the dataset with a step of no length
    teach_from_format.py compare DATASET FRESH TAUGHT teaches the agent FRESH; prints how far it is from TAUGHT, of a step
    teach_from_format.py score DATASET GYM-ID N       N fresh learners play 3 episodes each; prints their mean return
"""

import json
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

ACTIVATIONS = {
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
    "identity": (lambda z: z, np.ones_like),
}


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Dataset:
    def __init__(self, path):
        with safe_open(path, framework="numpy") as file:
            self.metadata = file.metadata()
        self.tensors = load_file(path)
        self.info = json.loads(self.metadata["potstill"])
        if self.info["format_version"] != 1:
            sys.exit(f"{path}: dataset format {self.info['format_version']}; this script teaches from format 1 only")
        double = {name: tensor.astype(np.float64) for name, tensor in self.tensors.items()}
        self.x, self.y, self.eta = double["x"], double["y"], double["inner_lr"].item()
        self.log_std = double.get("log_std")
        self.theta = {name[6:]: tensor for name, tensor in double.items() if name.startswith("theta.")}
        self.encoder = {name[8:]: tensor for name, tensor in double.items() if name.startswith("encoder.")}
        self.moments = [double.get(f"normalizer.{name}") for name in ("mean", "variance")]
        options = self.info["learner"]["options"]
        assert self.info["learner"]["id"] == "mlp-v1" and options["weights"] == "orthogonal"
        self.activation, self.derivative = ACTIVATIONS[options["activation"]]
        self.options = options
        self.continuous = self.info["environment"]["spec"]["action"]["type"] == "box"

    def fresh(self, rng):
        """A learner as it is initialized: parameters by name, in order."""

        def orthogonal(inputs, outputs, gain):
            q, r = np.linalg.qr(rng.standard_normal((max(inputs, outputs), min(inputs, outputs))))
            q *= np.sign(np.diag(r))
            return gain * (q if inputs >= outputs else q.T)

        width, depth, n = int(self.options["width"]), int(self.options["depth"]), self.y.shape[1]
        sizes = [self.x[0].size] + [width] * depth + [n]
        parameters = {}
        for i in range(depth + 1):
            gain = self.options["output-gain" if i == depth else "gain"]
            parameters[f"layers.{i}.weight"] = orthogonal(sizes[i], sizes[i + 1], gain)
            parameters[f"layers.{i}.bias"] = np.zeros(sizes[i + 1])
        if self.continuous:
            parameters["log_std"] = np.zeros((1, n))
        return parameters | self.encoder

    def forward(self, parameters, rows):
        """The outputs, the inputs of every layer, and the sums that activations are applied to."""
        depth = sum(name.endswith(".weight") for name in parameters)
        h, inputs, sums = rows.reshape(len(rows), -1), [], []
        for i in range(depth):
            inputs.append(h)
            sums.append(h @ parameters[f"layers.{i}.weight"] + parameters[f"layers.{i}.bias"])
            h = self.activation(sums[-1]) if i < depth - 1 else sums[-1]
        return h, inputs, sums

    def gradients(self, parameters):
        """The gradient of the inner loss, by parameter."""
        objective = self.info["objective"]["id"]
        outputs, inputs, sums = self.forward(parameters, self.x)
        k, n = outputs.shape
        gradients = {}
        if objective in ("hard-label-v1", "gradient-matching-v1") and not self.continuous:
            d = (softmax(outputs) - self.y) / k
        elif self.continuous:
            # One mean over the 2n columns, or one over each half.
            count = k * n if objective == "ppmo-as-published-v1" else 2 * k * n
            d = 2 * (outputs - self.y) / count
            gradients["log_std"] = 2 * k * (parameters["log_std"] - self.log_std) / count
        else:
            d = 2 * (outputs - self.y) / (k * n)
        for i in reversed(range(len(inputs))):
            if i < len(inputs) - 1:
                d = (d @ parameters[f"layers.{i + 1}.weight"].T) * self.derivative(sums[i])
            gradients[f"layers.{i}.weight"] = inputs[i].T @ d
            gradients[f"layers.{i}.bias"] = d.sum(axis=0)
        return {name: gradients[name] for name in parameters if name not in self.encoder}

    def teach(self, parameters):
        """The inner rule."""
        options, rates = self.info["objective"]["options"], self.theta.get("rates")
        steps = len(rates) if rates is not None else options.get("student-steps", 1)
        parameters, velocity = dict(parameters), None
        for step in range(steps):
            gradients = self.gradients(parameters)
            if velocity is not None and "momentum" in self.theta:
                gradients = {name: self.theta["momentum"] * velocity[name] + g for name, g in gradients.items()}
            velocity = gradients
            for number, (name, g) in enumerate(reversed(gradients.items())):
                eta = self.eta * (rates[step] if rates is not None else 1)
                if "inner_rates" in self.theta:
                    own = self.theta["inner_rates"]
                    eta *= own[min(number, len(own) - 1)]
                parameters[name] = parameters[name] - eta * g
        return parameters

    def act(self, parameters, observation, rng):
        mean, variance = self.moments
        if mean is not None:
            observation = np.clip((observation - mean) / np.sqrt(variance + 1e-8), -10, 10)
        outputs = self.forward(parameters, observation[None])[0][0]
        if self.continuous:
            action = outputs + np.exp(parameters["log_std"][0]) * rng.standard_normal(len(outputs))
            space = self.info["environment"]["spec"]["action"]
            return np.clip(action, np.float64(space["low"]), np.float64(space["high"]))
        return rng.choice(len(outputs), p=softmax(outputs))


def score(dataset, gym_id, learners):
    import gymnasium

    env, returns = gymnasium.make(gym_id), []
    for seed in range(learners):
        rng = np.random.default_rng(seed)
        parameters = dataset.teach(dataset.fresh(rng))
        for episode in range(3):
            observation, total, over = env.reset(seed=1000 * seed + episode)[0], 0.0, False
            while not over:
                action = dataset.act(parameters, observation, rng)
                # The test's pendulum has two motors where Gymnasium's has one.
                action = action.sum(keepdims=True) if gym_id == "Pendulum-v1" else action
                observation, reward, terminated, truncated, _ = env.step(action)
                total, over = total + reward, terminated or truncated
            returns.append(total)
    return np.mean(returns)


def distance(dataset, fresh, taught):
    """The largest difference of a parameter from `taught`, relative to the largest change that teaching makes."""
    own = dataset.teach({name: fresh[name].astype(np.float64) for name in dataset.fresh(np.random.default_rng(0))})
    step = max(np.abs(taught[name] - fresh[name]).max() for name in own)
    return max(np.abs(own[name] - taught[name]).max() for name in own) / step


command, dataset, *rest = sys.argv[1:]
dataset = Dataset(dataset)
if command == "fresh":
    metadata = {key: value for key, value in dataset.metadata.items() if key != "sha256"}
    tensors = dataset.tensors | {"inner_lr": np.array(1e-30, dtype=np.float32)}
    save_file(tensors, rest[0], metadata | {"format": "pt", "author": "a reader of the page"})
elif command == "compare":
    print(distance(dataset, load_file(rest[0]), load_file(rest[1])))
else:
    print(score(dataset, rest[0], int(rest[1])))

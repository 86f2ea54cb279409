"""Traces a learner or an objective in plain Python, for its author's tests. As in the host, the shape of every operation
is checked at once. Values are not computed: only the host does that, in `potstill distill`.

    from potstill_sdk.testing import trace_learner, trace_objective
"""

from math import prod
from typing import Dict, List, NamedTuple, Sequence

from .graph import Tensor, use
from .learner import LearnerShape, Parameter, Parameters, declare, trace_forward
from .objective import Batch, Network, Outer, Task, Theta, trace_inner, trace_outer
from .options import as_keywords
from .rng import Rng
from .spaces import Discrete, MultiDiscrete


class ShapeError(ValueError):
    """The error for an operation on tensors whose shapes do not fit."""


class Tracer:
    """A graph that tracks only shapes. Use it as `with Tracer() as tracer:`."""

    def __init__(self, parameters: int = 0, outputs: int = 0):
        """For objectives, `parameters` and `outputs` are the numbers of parameters and outputs of the learner."""
        self.shapes: List[List[int]] = []
        self.learner = parameters, outputs

    def __enter__(self):
        use(self, self)
        return self

    def __exit__(self, *_):
        use(None)

    def tensor(self, shape: Sequence[int]) -> Tensor:
        """Makes a tensor of `shape`, like one that the host passes to the plugin."""
        return Tensor(self._add(list(shape)))

    def _add(self, shape):
        self.shapes.append(shape)
        return len(self.shapes)

    # The functions of the graph.

    def at(self, file, line):
        pass

    def shape(self, tensor):
        return self.shapes[tensor - 1]

    def operation(self, op, inputs, integers, numbers):
        return self._add(list(_infer(op, [self.shape(i) for i in inputs], integers, numbers)))

    def gradients(self, loss, wrt):
        _check(self.shape(loss) == [], "grad", "a scalar", self.shape(loss))
        return [self._add(self.shape(x)) for x in wrt]

    # The functions of the learner.

    def apply(self, parameters, observations):
        count, outputs = self.learner
        _check(len(parameters) == count, "apply", f"{count} parameters", len(parameters))
        return self._add([self.shape(observations)[0], outputs])

    def _of_rows(self, function, tensors):
        rows = {self.shape(tensor)[0] for tensor in tensors}
        _check(len(rows) == 1, function, "tensors with the same number of rows", [self.shape(tensor) for tensor in tensors])
        return self._add([rows.pop(), 1])

    def log_probability(self, outputs, actions):
        return self._of_rows("log_prob", [outputs, actions])

    def entropy(self, outputs):
        return self._of_rows("entropy", [outputs])

    def divergence(self, p, q):
        return self._of_rows("divergence", [p, q])


class TracedLearner(NamedTuple):
    """The result of tracing a learner."""

    name: str
    parameters: Sequence[Parameter]
    output: List[int]
    """The shape of the output."""


def trace_learner(learner, shape: LearnerShape, batch=5, seed=0, **options) -> TracedLearner:
    """Draws an architecture from the distribution `learner` and traces it on `batch` observations. The names of `options`
    have `_` for `-`; other options have their defaults."""
    drawn = learner(shape, Rng(seed), **as_keywords(learner, options))
    with Tracer() as tracer:
        declared = declare(drawn, shape)
        parameters = Parameters(declared, [tracer.tensor(p.shape) for p in declared])
        output = trace_forward(drawn, parameters, tracer.tensor([batch, *shape.observation.shape])).shape
    expected = [batch, shape.outputs]
    _check(output == expected, "forward", expected, output)
    return TracedLearner(drawn.name(), declared, output)


class TracedObjective(NamedTuple):
    """The result of tracing an objective."""

    theta: Dict[str, List[int]]
    """The shapes of the parts of θ."""
    metrics: List[str]


def trace_objective(objective, task: Task, parameters=((4, 8), (8, 2)), batch=16, **options) -> TracedObjective:
    """Makes `objective` for `task` and traces its inner rule, and its outer loss on `batch` transitions, for a learner whose
    parameters have the shapes `parameters`. The names of `options` have `_` for `-`; other options have their defaults."""
    made = objective(task, **as_keywords(objective, options))
    parts, names = made.theta(task), made.columns()
    actions = 1 if isinstance(task.action, Discrete) else prod(_space_shape(task.action))
    widths = {
        "observations": list(task.observation.shape),
        "actions": [actions],
        "outputs": [task.outputs],
        "teacher": [task.outputs],
        **{name: [1] for name in ("log_probs", "advantages", "returns", "values")},
    }
    with Tracer(len(parameters), task.outputs) as tracer:
        theta = Theta([p.name for p in parts], [tracer.tensor(p.shape) for p in parts])
        expected = {"x": [task.instances, *task.observation.shape], "y": [task.instances, task.outputs], "inner_lr": []}
        for name, dimensions in expected.items():
            _check(theta[name].shape == dimensions, f"theta[{name!r}]", dimensions, theta[name].shape)
        fresh = [tracer.tensor(p) for p in parameters]
        taught = trace_inner(made, theta, Network(), fresh)
        shapes = [[list(p) for p in parameters], [p.shape for p in taught]]
        _check(shapes[0] == shapes[1], "inner", *shapes)
        shaped = lambda name: [1, 1] if name == "progress" else [batch, *widths[name]]
        columns = Batch(names, [tracer.tensor(shaped(name)) for name in names])
        outcome = trace_outer(made, Outer(theta, Network(), fresh, taught, columns))
        for name, value in {"loss": outcome.loss, **outcome.metrics}.items():
            _check(value.shape == [], name, "a scalar", value.shape)
    return TracedObjective({p.name: list(p.shape) for p in parts}, list(outcome.metrics))


def _space_shape(space):
    return [len(space.nvec)] if isinstance(space, MultiDiscrete) else space.shape


def _check(holds, what, expected, got):
    if not holds:
        raise ShapeError(f"{what}: expected {expected}, got {got}")


def _broadcast(shapes):
    rank = max(map(len, shapes))
    out = []
    for lengths in zip(*([1] * (rank - len(shape)) + shape for shape in shapes)):
        long = set(lengths) - {1}
        _check(len(long) <= 1, "elementwise", "shapes that broadcast", shapes)
        out.append(long.pop() if long else 1)
    return out


def _axis(axis, shape):
    _check(-len(shape) <= axis < len(shape), "axis", f"an axis of {shape}", axis)
    return axis % len(shape)


def _window(shape, kernel, stride, padding):
    lengths = [length + 2 * padding - kernel for length in shape[2:]]
    _check(len(shape) == 4 and stride > 0 and min(lengths) >= 0, "window", f"[N, C, H, W] for a kernel of {kernel}", shape)
    return [length // stride + 1 for length in lengths]


def _infer(op, shapes, integers, numbers):
    """Infers the shape of the result. The numbers of operations are POTSTILL_OP_... in `potstill.h`."""
    x = shapes[0] if shapes else []
    if op == 0:
        return []
    if op in (1, 2):
        _check(prod(integers) == len(numbers), "values", f"{prod(integers)} elements for {integers}", len(numbers))
        return integers
    if op <= 23 or op in (65, 126, 127):
        return x
    if op <= 49:
        return _broadcast(shapes)
    if op <= 62:
        gone = {_axis(axis, x) for axis in integers or range(len(x))}
        return [1 if i in gone else d for i, d in enumerate(x) if numbers[0] or i not in gone]
    if op <= 64:
        _axis(integers[0], x)
        return x
    if op == 80:
        y = shapes[1]
        _check(min(len(x), len(y)) >= 2 and x[-1] == y[-2], "matmul", "[..., m, k] x [..., k, n]", shapes)
        return [*_broadcast([x[:-2], y[:-2]]), x[-2], y[-1]]
    if op == 81:
        w = shapes[1]
        _check(len(w) == 4 and w[2] == w[3] and len(x) == 4 and w[1] == x[1], "conv2d", "[N, C, H, W], [O, C, k, k]", shapes)
        return [x[0], w[0], *_window(x, w[2], *integers)]
    if op <= 83:
        return x[:2] + _window(x, *integers)
    if op <= 101:
        index, axis = shapes[1], _axis(integers[0], x)
        same = len(index) == len(x) and all(a == b for i, (a, b) in enumerate(zip(index, x)) if i != axis or op == 101)
        _check(same, "gather" if op == 100 else "scatter", f"an index for {x}", index)
        return [integers[1] if i == axis and op == 101 else d for i, d in enumerate(index)]
    if op == 102:
        return x + integers
    if op == 120:
        _check(prod(integers) == prod(x), "reshape", f"{prod(integers)} elements for {integers}", x)
        return integers
    if op == 121:
        _check(sorted(integers) == list(range(len(x))), "permute", f"each axis of {x} once", integers)
        return [x[axis] for axis in integers]
    if op == 122:
        _check(_broadcast([x, integers]) == integers, "broadcast_to", f"a shape that broadcasts to {integers}", x)
        return integers
    if op in (123, 124):
        axis, a, b = integers
        axis = _axis(axis, x)
        _check(op == 124 or a + b <= x[axis], "slice", f"a range of {x[axis]}", f"{b} from {a}")
        return [(b if op == 123 else d + a + b) if i == axis else d for i, d in enumerate(x)]
    axis = _axis(integers[0], x)
    rest = {(*s[:axis], *s[axis + 1 :]) for s in shapes}
    _check(len(rest) == 1, "concat", f"tensors equal but in axis {axis}", shapes)
    return [sum(s[axis] for s in shapes) if i == axis else d for i, d in enumerate(x)]

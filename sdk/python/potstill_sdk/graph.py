"""The differentiable graph that learners and objectives build. Building it computes nothing: the host checks the shape of
every operation at once, and later differentiates, compiles and runs the graph for every batch.

The methods have the same names as in the Rust SDK. The numbers of operations are POTSTILL_OP_... in `potstill.h`.
"""

import os
import sys
from typing import List, Optional, Protocol, Sequence


class Graph(Protocol):
    """The keeper of the graph, for which tensors are numbers. It is the host in a component, and
    `potstill_sdk.testing.Tracer` in tests."""

    def at(self, file: str, line: int) -> None: ...
    def operation(self, op: int, inputs: List[int], integers: List[int], numbers: List[float]) -> int: ...
    def shape(self, tensor: int) -> List[int]: ...
    def gradients(self, loss: int, wrt: List[int]) -> List[int]: ...


class Learners(Protocol):
    """The keeper of the learner that an objective trains. It is the host in a component, and `Tracer` in tests."""

    def apply(self, parameters: List[int], observations: int) -> int: ...
    def log_probability(self, outputs: int, actions: int) -> int: ...
    def entropy(self, outputs: int) -> int: ...
    def divergence(self, p: int, q: int) -> int: ...


_SDK = os.path.dirname(__file__)
_graph = _learners = None


def use(graph: Optional[Graph], learners: Optional[Learners] = None):
    """Makes `graph` and `learners` the current ones."""
    global _graph, _learners
    _graph, _learners = graph, learners


def graph() -> Graph:
    """Returns the current graph, after telling it the line of the author's code that is running."""
    if _graph is None:
        raise RuntimeError(
            "tensors exist only while the host traces a learner or an objective; in tests, inside `with Tracer():`"
        )
    frame = sys._getframe(1)
    while frame.f_back and os.path.dirname(frame.f_code.co_filename) == _SDK:
        frame = frame.f_back
    _graph.at(os.path.basename(frame.f_code.co_filename), frame.f_lineno)
    return _graph


def learners() -> Learners:
    """Returns the current learners, after telling the graph the line of the author's code that is running."""
    graph()
    return _learners


def _operation(op, inputs, integers=(), numbers=()):
    tensors = [number_of(x) for x in inputs]
    return Tensor(graph().operation(op, tensors, [int(i) for i in integers], [float(x) for x in numbers]))


def _tensor(x):
    if isinstance(x, Tensor):
        return x
    if isinstance(x, (int, float)):
        return Tensor.constant(x)
    raise TypeError(f"expected a tensor or a number, got {x!r:.80}")


def number_of(x):
    """Returns the number of a tensor, or of the constant that a Python number stands for."""
    return _tensor(x).number


def returned(method, kind, value, what=""):
    """Returns the `value` that the author's `method` returned. If it is not of `kind`, the error says so, and where the
    method is."""
    if isinstance(value, kind):
        return value
    code = getattr(method, "__code__", None)
    place = f" ({os.path.basename(code.co_filename)}:{code.co_firstlineno})" if code else ""
    raise TypeError(f"`{method.__name__}` returned {value!r:.80}{what}, expected {kind.__name__}{place}")


class Tensor:
    """A node of the graph. It has a shape, but no values until the host runs the graph.

    A tensor is valid only during the call that created or received it. Arithmetic broadcasts as in NumPy and accepts
    Python numbers, and negative axes count from the last. A mistake, such as shapes that do not match or an axis out of
    range, makes the call fail with an error that names the operation, what it expected, what it got, and the line.
    """

    __slots__ = ("number",)

    def __init__(self, number: int):
        self.number = number

    # Leaves.

    @staticmethod
    def constant(value: float) -> "Tensor":
        """Makes a scalar, `[]`."""
        return _operation(0, [], [], [value])

    @staticmethod
    def full(value: float, shape: Sequence[int]) -> "Tensor":
        """Makes a tensor of `shape` whose elements are all `value`."""
        return Tensor.constant(value).broadcast_to(shape)

    @staticmethod
    def values(values: Sequence[float], shape: Sequence[int]) -> "Tensor":
        """Makes a tensor of `shape` from its elements in row-major order."""
        return _operation(1, [], shape, values)

    @staticmethod
    def indices(indices: Sequence[int], shape: Sequence[int]) -> "Tensor":
        """Makes a tensor of indices from its elements in row-major order, for `gather` and similar operations."""
        return _operation(2, [], shape, indices)

    @property
    def shape(self) -> List[int]:
        """The dimensions, including that of the batch, because a graph is traced for each batch size."""
        return list(graph().shape(self.number))

    # Elementwise operations on one tensor.

    def __neg__(self) -> "Tensor":
        return _operation(10, [self])

    def abs(self) -> "Tensor":
        """Computes `|x|` elementwise."""
        return _operation(11, [self])

    __abs__ = abs

    def square(self) -> "Tensor":
        """Computes `x²` elementwise."""
        return _operation(12, [self])

    def sqrt(self) -> "Tensor":
        """Computes `√x` elementwise."""
        return _operation(13, [self])

    def recip(self) -> "Tensor":
        """Computes `1/x` elementwise."""
        return _operation(14, [self])

    def exp(self) -> "Tensor":
        """Computes `eˣ` elementwise."""
        return _operation(15, [self])

    def log(self) -> "Tensor":
        """Computes the natural logarithm elementwise."""
        return _operation(16, [self])

    def tanh(self) -> "Tensor":
        """Computes the hyperbolic tangent elementwise."""
        return _operation(17, [self])

    def sigmoid(self) -> "Tensor":
        """Computes `1/(1 + e⁻ˣ)` elementwise."""
        return _operation(18, [self])

    def relu(self) -> "Tensor":
        """Computes `max(x, 0)` elementwise."""
        return _operation(19, [self])

    def gelu(self) -> "Tensor":
        """Computes `x·Φ(x)` elementwise, with the normal distribution function Φ."""
        return _operation(20, [self])

    def erf(self) -> "Tensor":
        """Computes the error function elementwise."""
        return _operation(21, [self])

    def sign(self) -> "Tensor":
        """Computes the sign elementwise: −1, 0 or 1. No gradient flows through it."""
        return _operation(22, [self])

    def powf(self, p: float) -> "Tensor":
        """Computes `xᵖ` elementwise. Also written `x**p`."""
        return _operation(23, [self], [], [p])

    __pow__ = powf

    def stop_gradient(self) -> "Tensor":
        """Returns the same value, through which no gradient flows."""
        return _operation(126, [self])

    def variable(self) -> "Tensor":
        """Returns the same value as a tensor that gradients can be taken with respect to. `grad` needs this for a computed
        tensor, because the graph may simplify intermediate results away."""
        return _operation(127, [self])

    # Elementwise operations on two tensors.

    def __add__(self, other) -> "Tensor":
        return _operation(40, [self, other])

    def __radd__(self, other) -> "Tensor":
        return _operation(40, [other, self])

    def __sub__(self, other) -> "Tensor":
        return _operation(41, [self, other])

    def __rsub__(self, other) -> "Tensor":
        return _operation(41, [other, self])

    def __mul__(self, other) -> "Tensor":
        return _operation(42, [self, other])

    def __rmul__(self, other) -> "Tensor":
        return _operation(42, [other, self])

    def __truediv__(self, other) -> "Tensor":
        return _operation(43, [self, other])

    def __rtruediv__(self, other) -> "Tensor":
        return _operation(43, [other, self])

    def min(self, other) -> "Tensor":
        """Computes the elementwise minimum."""
        return _operation(44, [self, other])

    def max(self, other) -> "Tensor":
        """Computes the elementwise maximum."""
        return _operation(45, [self, other])

    def less(self, other) -> "Tensor":
        """Is 1 where `self < other`, else 0. No gradient flows through it. Also written `self < other`."""
        return _operation(46, [self, other])

    def less_equal(self, other) -> "Tensor":
        """Is 1 where `self ≤ other`, else 0. No gradient flows through it. Also written `self <= other`."""
        return _operation(47, [self, other])

    __lt__, __le__ = less, less_equal

    def __gt__(self, other) -> "Tensor":
        return _tensor(other).less(self)

    def __ge__(self, other) -> "Tensor":
        return _tensor(other).less_equal(self)

    def equal(self, other) -> "Tensor":
        """Is 1 where the elements are equal, else 0. No gradient flows through it. `==`, in contrast, compares identity."""
        return _operation(48, [self, other])

    def __bool__(self):
        raise TypeError("a tensor has no truth value while the graph is being built; use `select`")

    def clamp(self, low: float, high: float) -> "Tensor":
        """Limits every element to `low..=high`."""
        return self.max(low).min(high)

    def select(self, a, b) -> "Tensor":
        """Takes the elements of `a` where `self` is not 0, else those of `b`."""
        return _operation(49, [self, a, b])

    # Reductions.

    def sum(self) -> "Tensor":
        """Computes the sum of all elements, a scalar."""
        return _operation(60, [self], [], [0])

    def mean(self) -> "Tensor":
        """Computes the mean of all elements, a scalar."""
        return _operation(61, [self], [], [0])

    def sum_axes(self, axes: Sequence[int]) -> "Tensor":
        """Computes the sum over `axes` and removes them."""
        return _operation(60, [self], axes, [0])

    def sum_keep(self, axes: Sequence[int]) -> "Tensor":
        """Computes the sum over `axes`, which stay with length 1."""
        return _operation(60, [self], axes, [1])

    def mean_keep(self, axes: Sequence[int]) -> "Tensor":
        """Computes the mean over `axes`, which stay with length 1."""
        return _operation(61, [self], axes, [1])

    def max_keep(self, axes: Sequence[int]) -> "Tensor":
        """Computes the maximum over `axes`, which stay with length 1."""
        return _operation(62, [self], axes, [1])

    def log_softmax(self, axis: int) -> "Tensor":
        """Computes the logarithm of the softmax over `axis`, without overflow."""
        return _operation(63, [self], [axis])

    def softmax(self, axis: int) -> "Tensor":
        """Computes the softmax over `axis`, without overflow."""
        return _operation(64, [self], [axis])

    def layer_norm(self, eps: float) -> "Tensor":
        """Normalizes the last axis to mean 0 and standard deviation 1, without a learned scale and shift."""
        return _operation(65, [self], [], [eps])

    # Linear algebra, convolutions and pooling.

    def matmul(self, other: "Tensor") -> "Tensor":
        """Computes the matrix product `[…, m, k] × […, k, n] → […, m, n]`. Leading axes broadcast. Also written
        `self @ other`."""
        return _operation(80, [self, other])

    __matmul__ = matmul

    def conv2d(self, weight: "Tensor", stride: int, padding: int) -> "Tensor":
        """Computes the cross-correlation of `[N, C, H, W]` with `weight` `[O, C, h, w]`, as `torch.nn.functional.conv2d`."""
        return _operation(81, [self, weight], [stride, padding])

    def avg_pool2d(self, kernel: int, stride: int, padding: int) -> "Tensor":
        """Computes the mean of square windows of `[N, C, H, W]`. The zeros of the padding count."""
        return _operation(82, [self], [kernel, stride, padding])

    def max_pool2d(self, kernel: int, stride: int, padding: int) -> "Tensor":
        """Computes the maximum of square windows of `[N, C, H, W]`."""
        return _operation(83, [self], [kernel, stride, padding])

    # Operations with indices.

    def gather(self, axis: int, index: "Tensor") -> "Tensor":
        """Gathers the elements at `index` along `axis`. All other axes of `self` and `index` must have equal lengths."""
        return _operation(100, [self, index], [axis])

    def scatter(self, axis: int, index: "Tensor", length: int) -> "Tensor":
        """Adds each element at its position `index` along `axis` of a zero tensor, whose `axis` has `length`. This is the
        transpose of `gather`."""
        return _operation(101, [self, index], [axis, length])

    def one_hot(self, classes: int) -> "Tensor":
        """Turns indices `[…]` into one-hot rows `[…, classes]`: 1 at the index, else 0."""
        return _operation(102, [self], [classes])

    # Operations on shapes.

    def reshape(self, shape: Sequence[int]) -> "Tensor":
        """Returns the same elements in another shape."""
        return _operation(120, [self], shape)

    def flatten_rows(self) -> "Tensor":
        """Flattens all axes but the first: `[batch, …]` becomes `[batch, size]`."""
        rows, *rest = self.shape or [1]
        size = 1
        for length in rest:
            size *= length
        return self.reshape([rows, size])

    def permute(self, order: Sequence[int]) -> "Tensor":
        """Permutes the axes: axis `i` of the result is axis `order[i]` of `self`."""
        return _operation(121, [self], order)

    def transpose(self) -> "Tensor":
        """Swaps the last two axes."""
        order = list(range(len(self.shape)))
        order[-2:] = reversed(order[-2:])
        return self.permute(order)

    def broadcast_to(self, shape: Sequence[int]) -> "Tensor":
        """Broadcasts to `shape`."""
        return _operation(122, [self], shape)

    def slice(self, axis: int, start: int, length: int) -> "Tensor":
        """Takes `start..start + length` along `axis`."""
        return _operation(123, [self], [axis, start, length])

    def pad(self, axis: int, before: int, after: int) -> "Tensor":
        """Pads `axis` with `before` zeros in front and `after` zeros behind."""
        return _operation(124, [self], [axis, before, after])

    @staticmethod
    def concat(tensors: Sequence["Tensor"], axis: int) -> "Tensor":
        """Concatenates tensors along `axis`."""
        return _operation(125, tensors, [axis])


def grad(loss: Tensor, wrt: Sequence[Tensor]) -> List[Tensor]:
    """Returns the gradients of the scalar `loss` with respect to each tensor of `wrt`, in the same shapes. Each tensor of
    `wrt` must come from the host or be a `variable()`. The gradient is zero for a tensor that `loss` does not depend on.
    Gradients are ordinary nodes, so they can be differentiated again."""
    return [Tensor(number) for number in graph().gradients(number_of(loss), [number_of(x) for x in wrt])]

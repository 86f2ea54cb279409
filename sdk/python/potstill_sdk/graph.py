"""The differentiable graph, as learners and objectives describe it. Nothing is computed while it is described: the host
checks every shape at the statement, and differentiates, compiles and runs the graph for every batch.

The methods have the names of the Rust SDK's. Numbers of operations are those of POTSTILL_OP_... in `potstill.h`.
"""

import os
import sys
from typing import List, Optional, Protocol, Sequence


class Graph(Protocol):
    """Who keeps the graph: Potstill in a component, `potstill_sdk.testing.Tracer` in tests. Tensors are numbers."""

    def at(self, file: str, line: int) -> None: ...
    def operation(self, op: int, inputs: List[int], integers: List[int], numbers: List[float]) -> int: ...
    def shape(self, tensor: int) -> List[int]: ...
    def gradients(self, loss: int, wrt: List[int]) -> List[int]: ...


class Learners(Protocol):
    """Who knows the learner that an objective teaches: likewise."""

    def apply(self, parameters: List[int], observations: int) -> int: ...
    def log_probability(self, outputs: int, actions: int) -> int: ...
    def entropy(self, outputs: int) -> int: ...
    def divergence(self, p: int, q: int) -> int: ...


_SDK = os.path.dirname(__file__)
_graph = _learners = None


def use(graph: Optional[Graph], learners: Optional[Learners] = None):
    """Traces into `graph` from here on."""
    global _graph, _learners
    _graph, _learners = graph, learners


def graph() -> Graph:
    """The graph, which is told at which line of the author's the plugin is."""
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
    """Likewise."""
    graph()
    return _learners


def _operation(op, inputs, integers=(), numbers=()):
    tensors = [_tensor(x).number for x in inputs]
    return Tensor(graph().operation(op, tensors, [int(i) for i in integers], [float(x) for x in numbers]))


def _tensor(x):
    if isinstance(x, Tensor):
        return x
    if isinstance(x, (int, float)):
        return Tensor.constant(x)
    raise TypeError(f"expected a tensor or a number, got {x!r}")


class Tensor:
    """A value of the graph: it has a shape, and no numbers until the host runs the graph.

    It means something only during the call in which it was made or given. Arithmetic broadcasts as NumPy's does and
    takes Python's numbers too; axes may be negative, counting from the last. A mistake (shapes that do not fit, an axis
    out of range) ends the call with an error that names the operation, what it expected, what it got, and the line.
    """

    __slots__ = ("number",)

    def __init__(self, number: int):
        self.number = number

    # Leaves.

    @staticmethod
    def constant(value: float) -> "Tensor":
        """A scalar."""
        return _operation(0, [], [], [value])

    @staticmethod
    def full(value: float, shape: Sequence[int]) -> "Tensor":
        """`value` everywhere."""
        return Tensor.constant(value).broadcast_to(shape)

    @staticmethod
    def values(values: Sequence[float], shape: Sequence[int]) -> "Tensor":
        """An array of numbers, row by row."""
        return _operation(1, [], shape, values)

    @staticmethod
    def indices(indices: Sequence[int], shape: Sequence[int]) -> "Tensor":
        """An array of indices, row by row, for `gather` and its like."""
        return _operation(2, [], shape, indices)

    @property
    def shape(self) -> List[int]:
        """Dimensions; the batch's too: a graph is traced for each size."""
        return list(graph().shape(self.number))

    # One tensor, elementwise.

    def __neg__(self) -> "Tensor":
        return _operation(10, [self])

    def abs(self) -> "Tensor":
        """`|x|`."""
        return _operation(11, [self])

    __abs__ = abs

    def square(self) -> "Tensor":
        """`x²`."""
        return _operation(12, [self])

    def sqrt(self) -> "Tensor":
        """`√x`."""
        return _operation(13, [self])

    def recip(self) -> "Tensor":
        """`1/x`."""
        return _operation(14, [self])

    def exp(self) -> "Tensor":
        """`eˣ`."""
        return _operation(15, [self])

    def log(self) -> "Tensor":
        """Natural logarithm."""
        return _operation(16, [self])

    def tanh(self) -> "Tensor":
        """Hyperbolic tangent."""
        return _operation(17, [self])

    def sigmoid(self) -> "Tensor":
        """`1/(1 + e⁻ˣ)`."""
        return _operation(18, [self])

    def relu(self) -> "Tensor":
        """`max(x, 0)`."""
        return _operation(19, [self])

    def gelu(self) -> "Tensor":
        """`x·Φ(x)`."""
        return _operation(20, [self])

    def erf(self) -> "Tensor":
        """Error function."""
        return _operation(21, [self])

    def sign(self) -> "Tensor":
        """−1, 0 or 1; no gradient."""
        return _operation(22, [self])

    def powf(self, p: float) -> "Tensor":
        """`xᵖ`, also written `x**p`."""
        return _operation(23, [self], [], [p])

    __pow__ = powf

    def stop_gradient(self) -> "Tensor":
        """The same value, through which no gradient flows."""
        return _operation(126, [self])

    def variable(self) -> "Tensor":
        """The same value, as something that gradients can be taken with respect to: what was computed needs it, because
        the graph simplifies across what nobody names."""
        return _operation(127, [self])

    # Two tensors, elementwise.

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
        """The smaller, elementwise."""
        return _operation(44, [self, other])

    def max(self, other) -> "Tensor":
        """The larger, elementwise."""
        return _operation(45, [self, other])

    def less(self, other) -> "Tensor":
        """1 where `self < other`, else 0; no gradient. Also written `self < other`."""
        return _operation(46, [self, other])

    def less_equal(self, other) -> "Tensor":
        """1 where `self ≤ other`, else 0; no gradient. Also written `self <= other`."""
        return _operation(47, [self, other])

    __lt__, __le__ = less, less_equal

    def __gt__(self, other) -> "Tensor":
        return _tensor(other).less(self)

    def __ge__(self, other) -> "Tensor":
        return _tensor(other).less_equal(self)

    def equal(self, other) -> "Tensor":
        """1 where they are equal, else 0; no gradient. `==` asks whether two names mean one tensor."""
        return _operation(48, [self, other])

    def __bool__(self):
        raise TypeError("a tensor is neither true nor false while the graph is described; use `select`")

    def clamp(self, low: float, high: float) -> "Tensor":
        """Limited to `low..=high`."""
        return self.max(low).min(high)

    def select(self, a, b) -> "Tensor":
        """`a` where `self` is not 0, else `b`."""
        return _operation(49, [self, a, b])

    # Reductions.

    def sum(self) -> "Tensor":
        """The sum of all elements, a scalar."""
        return _operation(60, [self], [], [0])

    def mean(self) -> "Tensor":
        """The mean of all elements, a scalar."""
        return _operation(61, [self], [], [0])

    def sum_axes(self, axes: Sequence[int]) -> "Tensor":
        """The sum over `axes`, which go."""
        return _operation(60, [self], axes, [0])

    def sum_keep(self, axes: Sequence[int]) -> "Tensor":
        """The sum over `axes`, which stay with length 1."""
        return _operation(60, [self], axes, [1])

    def mean_keep(self, axes: Sequence[int]) -> "Tensor":
        """The mean over `axes`, which stay with length 1."""
        return _operation(61, [self], axes, [1])

    def max_keep(self, axes: Sequence[int]) -> "Tensor":
        """The maximum over `axes`, which stay with length 1."""
        return _operation(62, [self], axes, [1])

    def log_softmax(self, axis: int) -> "Tensor":
        """Over `axis`, without overflow."""
        return _operation(63, [self], [axis])

    def softmax(self, axis: int) -> "Tensor":
        """Over `axis`, without overflow."""
        return _operation(64, [self], [axis])

    def layer_norm(self, eps: float) -> "Tensor":
        """Mean 0 and deviation 1 over the last axis, without scale and shift."""
        return _operation(65, [self], [], [eps])

    # Linear algebra and windows.

    def matmul(self, other: "Tensor") -> "Tensor":
        """`[…, m, k] × […, k, n] → […, m, n]`; leading axes broadcast. Also written `self @ other`."""
        return _operation(80, [self, other])

    __matmul__ = matmul

    def conv2d(self, weight: "Tensor", stride: int, padding: int) -> "Tensor":
        """Cross-correlation of `[N, C, H, W]` with `weight` `[O, C, h, w]`."""
        return _operation(81, [self, weight], [stride, padding])

    def avg_pool2d(self, kernel: int, stride: int, padding: int) -> "Tensor":
        """Mean of square windows of `[N, C, H, W]`, padding counted."""
        return _operation(82, [self], [kernel, stride, padding])

    def max_pool2d(self, kernel: int, stride: int, padding: int) -> "Tensor":
        """Maximum of square windows of `[N, C, H, W]`."""
        return _operation(83, [self], [kernel, stride, padding])

    # Indices.

    def gather(self, axis: int, index: "Tensor") -> "Tensor":
        """Elements at `index` along `axis`; the other axes are equal."""
        return _operation(100, [self, index], [axis])

    def scatter(self, axis: int, index: "Tensor", length: int) -> "Tensor":
        """Adds the elements at `index` along `axis` into zeros of `length` there: the transpose of `gather`."""
        return _operation(101, [self, index], [axis, length])

    def one_hot(self, classes: int) -> "Tensor":
        """Indices `[…]` to `[…, classes]`: 1 at the index, else 0."""
        return _operation(102, [self], [classes])

    # Shapes.

    def reshape(self, shape: Sequence[int]) -> "Tensor":
        """The same elements in another shape."""
        return _operation(120, [self], shape)

    def flatten_rows(self) -> "Tensor":
        """`[batch, …]` to `[batch, everything else]`."""
        rows, *rest = self.shape or [1]
        size = 1
        for length in rest:
            size *= length
        return self.reshape([rows, size])

    def permute(self, order: Sequence[int]) -> "Tensor":
        """Axis `i` of the result is axis `order[i]`."""
        return _operation(121, [self], order)

    def transpose(self) -> "Tensor":
        """The last two axes exchanged."""
        order = list(range(len(self.shape)))
        order[-2:] = reversed(order[-2:])
        return self.permute(order)

    def broadcast_to(self, shape: Sequence[int]) -> "Tensor":
        """Repeated to `shape`."""
        return _operation(122, [self], shape)

    def slice(self, axis: int, start: int, length: int) -> "Tensor":
        """`start..start + length` of `axis`."""
        return _operation(123, [self], [axis, start, length])

    def pad(self, axis: int, before: int, after: int) -> "Tensor":
        """Zeros before and after along `axis`."""
        return _operation(124, [self], [axis, before, after])

    @staticmethod
    def concat(tensors: Sequence["Tensor"], axis: int) -> "Tensor":
        """One after the other along `axis`."""
        return _operation(125, tensors, [axis])


def grad(loss: Tensor, wrt: Sequence[Tensor]) -> List[Tensor]:
    """Gradients of the scalar `loss` with respect to each of `wrt` (tensors that the host gave, or a `variable()`),
    shaped like them; zeros where it does not depend on one. They are nodes like any other: gradients of gradients are
    written the same way."""
    return [Tensor(number) for number in graph().gradients(loss.number, [x.number for x in wrt])]

import unittest

from plugin import EveryOperation
from potstill_sdk import Image, LearnerShape, Tensor, grad
from potstill_sdk.testing import ShapeError, Tracer, trace_learner


class EveryOperationTest(unittest.TestCase):
    def test_its_shapes_fit(self):
        self.assertEqual(trace_learner(EveryOperation, LearnerShape(Image([2, 6, 6]), 3)).output, [5, 3])

    def test_each_mistake_is_found_where_it_is_made(self):
        mistakes = [
            lambda t, a: a + t.tensor([2, 2]),
            lambda t, a: a.reshape([4, 2]),
            lambda t, a: a.sum_axes([2]),
            lambda t, a: a.softmax(-3),
            lambda t, a: a @ a,
            lambda t, a: a @ t.tensor([3]),
            lambda t, a: t.tensor([1, 2, 5, 5]).conv2d(t.tensor([4, 3, 3, 3]), 1, 0),
            lambda t, a: t.tensor([1, 2, 5, 5]).conv2d(t.tensor([4, 2, 7, 7]), 1, 0),
            lambda t, a: a.max_pool2d(2, 2, 0),
            lambda t, a: a.gather(1, t.tensor([3])),
            lambda t, a: a.scatter(1, t.tensor([2, 2]), 5),
            lambda t, a: a.permute([0, 0]),
            lambda t, a: a.broadcast_to([3]),
            lambda t, a: a.slice(1, 2, 2),
            lambda t, a: Tensor.concat([a, t.tensor([3])], 0),
            lambda t, a: grad(a, [a]),
        ]
        for i, mistake in enumerate(mistakes):
            with Tracer() as tracer, self.subTest(mistake=i), self.assertRaises(ShapeError):
                mistake(tracer, tracer.tensor([2, 3]))
        with self.assertRaisesRegex(RuntimeError, "in tests, inside `with Tracer"):
            Tensor.constant(1)

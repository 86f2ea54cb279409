"""A learner that uses every operation of the graph, in the same order as `../rust`, line by line."""

from potstill_sdk import Init, Learner, Tensor, export_learner, grad


class EveryOperation(Learner):
    ID = "test/every-operation-v1"
    VERSION = "0.1.0"
    SUMMARY = "Every operation of the graph, once at least."

    def __init__(self, shape, rng):
        self.outputs = shape.outputs

    def name(self):
        return "the one"

    def forward(self, parameters, x):
        b = x.shape[0]
        c = parameters.conv2d("convolution", x, 3, 3, 1, 1, Init.uniform(0.5), 0)
        pooled = Tensor.concat([c.avg_pool2d(2, 2, 0), c.max_pool2d(2, 2, 0)], 1)
        h = parameters.linear("linear", pooled.flatten_rows(), 4, Init.normal(0.25), 1).variable()
        u = (abs(-h).square() + 1.0).sqrt().recip().exp().log()
        u = u.tanh().sigmoid().relu().gelu().erf()
        v = h.sign() + u**1.5
        v = (2.0 - v) * 3.0 / (v + 4.0)
        v = v.min(h).max(u).clamp(-1.0, 1.0)
        s = ((v < h) + (v <= u) + v.equal(h)).select(u, v)
        r = s.log_softmax(-1) + s.softmax(-1) + s.layer_norm(1e-5)
        r = r - r.mean_keep([-1]) - r.max_keep([-1]) + r.sum_keep([0])
        r = r + r.sum() * r.mean()
        index = Tensor.indices([1, 0], [1, 2]).broadcast_to([b, 2])
        moved = r.gather(1, index).scatter(1, index, 4)
        counted = index.one_hot(4).sum_axes([1])
        turned = r.reshape([b, 2, 2]).permute([0, 2, 1]).transpose().reshape([b, 4])
        middle = r.slice(1, 1, 2).pad(1, 1, 1)
        fixed = Tensor.full(0.5, [4]) + Tensor.values([1, 2, 3, 4], [4])
        total = moved + counted + turned + middle + fixed.stop_gradient()
        total = total + grad(total.sum(), [h])[0]
        return total @ parameters.get("last", [4, self.outputs], Init.orthogonal(0.01), 2)


export_learner(EveryOperation)

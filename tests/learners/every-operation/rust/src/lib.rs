//! A learner that uses every operation of the graph. The SDKs of the other languages are compared with it, line by line.
use potstill_sdk::{Init, Learner, LearnerShape, Options, Parameters, Rng, Tensor, export_learner, grad};

pub struct EveryOperation {
    outputs: usize,
}

impl Learner for EveryOperation {
    const ID: &'static str = "test/every-operation-v1";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Every operation of the graph, once at least.";

    fn draw(shape: &LearnerShape, _: &Options, _: &mut Rng) -> Result<Self, String> {
        Ok(EveryOperation { outputs: shape.outputs })
    }

    fn name(&self) -> String {
        "the one".into()
    }

    fn forward(&self, parameters: &mut Parameters, x: &Tensor) -> Tensor {
        let b = x.shape()[0];
        let c = parameters.conv2d("convolution", x, 3, [3, 1, 1], Init::Uniform(0.5), 0);
        let pooled = Tensor::concat(&[&c.avg_pool2d(2, 2, 0), &c.max_pool2d(2, 2, 0)], 1);
        let h = parameters.linear("linear", &pooled.flatten_rows(), 4, Init::Normal(0.25), 1).variable();
        let u = ((-&h).abs().square() + 1.0).sqrt().recip().exp().log();
        let u = u.tanh().sigmoid().relu().gelu().erf();
        let v = h.sign() + u.powf(1.5);
        let v = (2.0 - &v) * 3.0 / (&v + 4.0);
        let v = v.min(&h).max(&u).clamp(-1.0, 1.0);
        let s = (v.less(&h) + v.less_equal(&u) + v.equal(&h)).select(&u, &v);
        let r = s.log_softmax(-1) + s.softmax(-1) + s.layer_norm(1e-5);
        let r = &r - r.mean_keep(&[-1]) - r.max_keep(&[-1]) + r.sum_keep(&[0]);
        let r = &r + r.sum() * r.mean();
        let index = Tensor::indices(&[1, 0], &[1, 2]).broadcast_to(&[b, 2]);
        let moved = r.gather(1, &index).scatter(1, &index, 4);
        let counted = index.one_hot(4).sum_axes(&[1]);
        let turned = r.reshape(&[b, 2, 2]).permute(&[0, 2, 1]).transpose().reshape(&[b, 4]);
        let middle = r.slice(1, 1, 2).pad(1, 1, 1);
        let fixed = Tensor::full(0.5, &[4]) + Tensor::values(&[1.0, 2.0, 3.0, 4.0], &[4]);
        let total = moved + counted + turned + middle + fixed.stop_gradient();
        let total = &total + &grad(&total.sum(), &[h])[0];
        total.matmul(&parameters.get("last", &[4, self.outputs], Init::Orthogonal(0.01), 2))
    }
}

export_learner!(EveryOperation);

#[cfg(test)]
mod tests {
    use potstill_sdk::Space;
    use potstill_sdk::testing::trace_learner;

    use super::*;

    #[test]
    fn its_shapes_fit() {
        let observation = Space::Image { shape: vec![2, 6, 6] };
        let traced = trace_learner::<EveryOperation>(&LearnerShape { observation, outputs: 3 }, &[], 0);
        assert_eq!(traced.unwrap().output, [5, 3]);
    }
}

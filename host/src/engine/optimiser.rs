//! Adam (Kingma & Ba 2015) and gradient clipping, traced: the whole update is one plan on one device.
use crate::graph::Tensor;

/// Constants of Adam.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

impl Adam {
    /// The step sizes' corrections after `step` updates (counted from 1): `1/(1 − βᵗ)`, first and second.
    pub fn corrections(&self, step: u64) -> [f32; 2] {
        let correction = |beta: f64| (1.0 / (1.0 - beta.powi(step.min(1 << 20) as i32))) as f32;
        [correction(self.beta1), correction(self.beta2)]
    }

    /// New value and moments. `corrections` are [`Self::corrections`] as scalars of the graph.
    pub fn step(
        &self,
        value: &Tensor,
        gradient: &Tensor,
        moments: [&Tensor; 2],
        lr: &Tensor,
        corrections: [&Tensor; 2],
    ) -> [Tensor; 3] {
        let first = moments[0] * self.beta1 + gradient * (1.0 - self.beta1);
        let second = moments[1] * self.beta2 + gradient.square() * (1.0 - self.beta2);
        let denominator = (&second * corrections[1]).sqrt() + self.eps;
        let value = value - lr * (&first * corrections[0]) / denominator;
        [value, first, second]
    }
}

/// Scales `gradients` together so that their joint norm is at most `limit`; gives their norm before, too.
pub fn clip_by_norm(gradients: &[Tensor], limit: f64) -> Option<(Vec<Tensor>, Tensor)> {
    let squares = gradients.iter().map(|g| g.square().sum());
    let norm = squares.reduce(|a, b| a + b)?.sqrt();
    // As torch.nn.utils.clip_grad_norm_: min(1, limit/(norm + 1e-6)).
    let one = norm.graph().constant(1.0);
    let scale = ((&norm + 1e-6).recip() * limit).min(&one);
    Some((gradients.iter().map(|g| g * &scale).collect(), norm))
}

//! The outer loop's optimizers and gradient clipping. They are traced, so that a whole update is one plan.
use crate::graph::Tensor;

/// The constants of Adam.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// β₁, the decay of the first moment.
    pub beta1: f64,
    /// β₂, the decay of the second moment.
    pub beta2: f64,
    /// ε, which is added to the root of the second moment.
    pub eps: f64,
}

impl Adam {
    /// Traces one step, as [`Optimizer::step`] does. `floor` is added to the second moment under the root, so that the step
    /// can be differentiated where the moment is 0.
    pub(crate) fn step(
        self,
        value: &Tensor,
        gradient: &Tensor,
        moments: [&Tensor; 2],
        lr: &Tensor,
        corrections: [&Tensor; 2],
        floor: f64,
    ) -> [Tensor; 3] {
        let Adam { beta1, beta2, eps } = self;
        let first = moments[0] * beta1 + gradient * (1.0 - beta1);
        let second = moments[1] * beta2 + gradient.square() * (1.0 - beta2);
        let denominator = (&second * corrections[1] + floor).sqrt() + eps;
        let value = value - lr * (&first * corrections[0]) / denominator;
        [value, first, second]
    }
}

/// How a gradient updates a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Optimizer {
    /// Adam (Kingma & Ba 2015).
    Adam(Adam),
    /// Gradient descent with heavy-ball momentum as in PyTorch: the velocity is the decayed sum of gradients.
    Sgd {
        /// The decay of the velocity, in `[0, 1)`.
        momentum: f64,
    },
}

impl Optimizer {
    /// The bias corrections of the first and second moments at update number `step`, counted from 1: `1/(1 − βᵗ)` for
    /// Adam.
    pub fn corrections(&self, step: u64) -> [f32; 2] {
        let correction = |beta: f64| (1.0 / (1.0 - beta.powi(step.min(1 << 20) as i32))) as f32;
        match self {
            Optimizer::Adam(adam) => [correction(adam.beta1), correction(adam.beta2)],
            Optimizer::Sgd { .. } => [1.0; 2],
        }
    }

    /// Traces one step and returns the new value, first moment and second moment. `corrections` are
    /// [`Self::corrections`] as scalars of the graph.
    pub fn step(
        &self,
        value: &Tensor,
        gradient: &Tensor,
        moments: [&Tensor; 2],
        lr: &Tensor,
        corrections: [&Tensor; 2],
    ) -> [Tensor; 3] {
        match *self {
            Optimizer::Adam(adam) => adam.step(value, gradient, moments, lr, corrections, 0.0),
            Optimizer::Sgd { momentum } => {
                let velocity = moments[0] * momentum + gradient;
                [value - lr * &velocity, velocity, moments[1].clone()]
            }
        }
    }
}

/// How learning rates decay over a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// They stay constant.
    Constant,
    /// They decay linearly to 0.
    Linear,
    /// They decay to 0 along half a cosine.
    Cosine,
}

impl Schedule {
    /// The factor of the learning rates in meta-epoch `epoch`, counted from 0, of `total`.
    pub fn factor(self, epoch: u64, total: u64) -> f32 {
        let done = epoch as f32 / total.max(1) as f32;
        match self {
            Schedule::Constant => 1.0,
            Schedule::Linear => (1.0 - done).max(0.0),
            Schedule::Cosine => 0.5 * (1.0 + (std::f32::consts::PI * done.min(1.0)).cos()),
        }
    }
}

/// Scales `gradients` together so that their joint L2 norm is at most `limit`, and returns them with the norm before
/// scaling; `None` if there are no gradients.
pub fn clip_by_norm(gradients: &[Tensor], limit: f64) -> Option<(Vec<Tensor>, Tensor)> {
    let squares = gradients.iter().map(|g| g.square().sum());
    let norm = squares.reduce(|a, b| a + b)?.sqrt();
    // The same formula as torch.nn.utils.clip_grad_norm_: min(1, limit/(norm + 1e-6)).
    let one = norm.graph().constant(1.0);
    let scale = ((&norm + 1e-6).recip() * limit).min(&one);
    Some((gradients.iter().map(|g| g * &scale).collect(), norm))
}

//! The learner role: a network that is traced into a graph, and the distribution it is drawn from.
use potstill_plugin_api::{Init, Space};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Result;
use crate::graph::{Graph, Tensor};
use crate::random::Stream;

/// A parameter that a learner declares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// The name, unique within the learner, e.g. `layers.0.weight`.
    pub name: String,
    /// The dimensions: `[inputs, outputs]` for a linear layer, `[outputs, inputs, height, width]` for a convolution.
    pub shape: Vec<usize>,
    /// How the parameter is initialized.
    pub init: Init,
    /// The layer it belongs to, counted from the input. Encoder rollback (Algorithm 2) meta-learns the layers before l;
    /// the inner step teaches the others.
    pub layer: usize,
}

impl Parameter {
    /// The number of elements.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// Rows and columns of the parameter seen as a matrix: a linear weight is `[in, out]`, and the rows of a
    /// convolution are its outputs.
    fn matrix(&self) -> (usize, usize) {
        match self.shape[..] {
            [] => (1, 1),
            [n] => (n, 1),
            [rows, columns] => (rows, columns),
            [first, ..] => (first, self.size() / first.max(1)),
        }
    }

    /// How many vectors must be made orthogonal to initialize the parameter.
    pub fn orthogonal_vectors(&self) -> usize {
        let (rows, columns) = self.matrix();
        if matches!(self.init, Init::Orthogonal(_)) { rows.min(columns) } else { 0 }
    }

    /// Draws initial values, row-major.
    pub fn sample(&self, stream: &mut Stream) -> Vec<f32> {
        let (rows, columns) = self.matrix();
        let normal = |stream: &mut Stream| -> f32 { StandardNormal.sample(stream) };
        match self.init {
            Init::Constant(value) => vec![value as f32; self.size()],
            Init::Uniform(bound) => {
                let bound = bound as f32;
                (0..self.size()).map(|_| stream.random_range(-bound..=bound)).collect()
            }
            Init::Normal(std) => (0..self.size()).map(|_| std as f32 * normal(stream)).collect(),
            Init::Orthogonal(gain) => orthogonal(rows, columns, gain as f32, stream),
        }
    }
}

/// A random `rows × columns` matrix whose rows or columns, whichever are fewer, are orthonormal, times `gain`. It is
/// the Q of a Gaussian matrix's QR decomposition. R's diagonal is positive, which makes Q uniformly distributed.
fn orthogonal(rows: usize, columns: usize, gain: f32, stream: &mut Stream) -> Vec<f32> {
    let (length, count) = (rows.max(columns), rows.min(columns));
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    while basis.len() < count {
        let mut v: Vec<f64> = (0..length).map(|_| StandardNormal.sample(stream)).collect();
        loop {
            let before = dot(&v, &v).sqrt();
            for b in &basis {
                let along = dot(b, &v);
                v.iter_mut().zip(b).for_each(|(x, y)| *x -= along * y);
            }
            let after = dot(&v, &v).sqrt();
            // Rounding errors matter only if the projections removed most of the vector. Then it is projected once more
            // ("twice is enough", Kahan).
            if after > 0.1 * before {
                v.iter_mut().for_each(|x| *x /= after);
                basis.push(v);
                break;
            }
            if after < 1e-6 {
                break;
            }
        }
    }
    let at =
        |row: usize, column: usize| if rows >= columns { basis[column][row] } else { basis[row][column] };
    (0..rows * columns).map(|i| gain * at(i / columns, i % columns) as f32).collect()
}

/// The dot product, in four sums side by side: a single sum cannot be vectorized without changing its order.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(x, y)| x * y).sum();
    let mut sums = [0.0; 4];
    for (x, y) in a.zip(b) {
        for i in 0..4 {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// A network, which traces its forward pass.
pub trait Learner: Send + Sync {
    /// The name of its architecture, unique within its distribution: learners with equal names trace equal graphs.
    fn name(&self) -> &str;

    /// The parameters, in the order in which [`Self::forward`] gets them.
    fn parameters(&self) -> &[Parameter];

    /// Traces the forward pass from `observations` `[batch, …]` to outputs `[batch, outputs]`: the logits of a discrete
    /// policy, the means of a continuous one, or a critic's value. An implementation records a result of another shape
    /// as an error of the graph.
    ///
    /// # Errors
    /// The plugin failed. Errors of tracing are recorded in the graph ([`Graph::check`]).
    fn forward(&self, parameters: &[Tensor], observations: &Tensor) -> Result<Tensor>;
}

/// Λ: a distribution of learners. It draws architectures; [`Init`] says how their parameters are drawn.
pub trait LearnerDistribution: Send + Sync {
    /// The plugin's id, e.g. `mlp-v1`.
    fn id(&self) -> &str;

    /// Draws an architecture that maps an observation from the space `observation` to `outputs` numbers.
    ///
    /// # Errors
    /// The plugin refused the request or failed.
    fn draw(&self, observation: &Space, outputs: usize, seed: u64) -> Result<Box<dyn Learner>>;

    /// The options that recreate this distribution.
    fn specification(&self) -> Value;
}

/// Traces a learner alone, on one observation, so that its errors are found before it is combined with anything else.
///
/// # Errors
/// An error of the learner, in its function or in the graph it traced.
pub fn check(learner: &dyn Learner, observation: &Space) -> Result<()> {
    let graph = Graph::new();
    let batch: Vec<usize> = std::iter::once(1).chain(observation.shape()).collect();
    let observations = graph.rows("observation", &batch);
    let parameters = learner.parameters().iter();
    let inputs: Vec<Tensor> = parameters.map(|p| graph.input(&*p.name, &p.shape)).collect();
    learner.forward(&inputs, &observations)?;
    Ok(graph.check()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;

    #[test]
    fn orthogonal_is_orthonormal() {
        for (rows, columns) in [(4, 64), (64, 64), (64, 3), (1, 1)] {
            let m = orthogonal(rows, columns, 2.0, &mut stream(1, "test", 0));
            let (short, long) = (rows.min(columns), rows.max(columns));
            let at = |s: usize, l: usize| {
                f64::from(if rows >= columns { m[l * columns + s] } else { m[s * columns + l] })
            };
            for i in 0..short {
                for j in 0..short {
                    let dot: f64 = (0..long).map(|l| at(i, l) * at(j, l)).sum();
                    let expected = if i == j { 4.0 } else { 0.0 };
                    assert!((dot - expected).abs() < 1e-5, "{rows}×{columns}: {i}·{j} = {dot}");
                }
            }
        }
    }
}

//! The learner role: a network that is described, not computed, and the distribution it is drawn from.
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use serde_json::Value;

use super::random::Stream;
use crate::graph::{Graph, Tensor};

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All zeros.
    Zeros,
    /// All `value`.
    Constant(f32),
    /// Orthonormal rows or columns times the gain (Saxe et al. 2014), as `torch.nn.init.orthogonal_`.
    Orthogonal(f32),
    /// Normal with standard deviation `gain·√(2/(fan_in + fan_out))` (Glorot & Bengio 2010).
    XavierNormal(f32),
    /// Uniform with the same standard deviation.
    XavierUniform(f32),
}

/// A parameter that a learner declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Unique within the learner, e.g. `layers.0.weight`.
    pub name: String,
    /// Dimensions: `[inputs, outputs]` of a linear layer, `[outputs, inputs, height, width]` of a convolution.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: Init,
    /// The layer it belongs to, counted from the input: encoder rollback (Algorithm 2) meta-learns the
    /// layers before l and lets the inner step teach the others.
    pub layer: usize,
}

impl Parameter {
    /// Number of elements.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// Fresh values, row-major.
    pub fn sample(&self, stream: &mut Stream) -> Vec<f32> {
        // A linear weight is [in, out]; a convolution's first axis counts its outputs.
        let (rows, columns) = match self.shape[..] {
            [] => (1, 1),
            [n] => (n, 1),
            [rows, columns] => (rows, columns),
            [first, ..] => (first, self.size() / first.max(1)),
        };
        let fans = match self.shape[..] {
            [o, i, ref kernel @ ..] if kernel.len() == 2 => (o + i) * kernel.iter().product::<usize>(),
            _ => rows + columns,
        };
        let normal = |stream: &mut Stream| -> f32 { StandardNormal.sample(stream) };
        match self.init {
            Init::Zeros => vec![0.0; self.size()],
            Init::Constant(value) => vec![value; self.size()],
            Init::Orthogonal(gain) => orthogonal(rows, columns, gain, stream),
            Init::XavierNormal(gain) => {
                let std = gain * (2.0 / fans as f32).sqrt();
                (0..self.size()).map(|_| std * normal(stream)).collect()
            }
            Init::XavierUniform(gain) => {
                let bound = gain * (6.0 / fans as f32).sqrt();
                (0..self.size()).map(|_| stream.random_range(-bound..=bound)).collect()
            }
        }
    }
}

/// A random `rows × columns` matrix whose shorter side is orthonormal, times `gain`: the Q of a Gaussian
/// matrix, signed so that it is uniform (R's diagonal positive).
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
            // Rounding shows only where most of the vector was taken away: then once more (Kahan).
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

/// Four sums side by side: a single one cannot be vectorised without changing its order.
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

/// Where a learner's forward pass gets its parameters: the first time it declares them, later it is
/// given values for them, in the order of declaration.
#[derive(Debug)]
pub struct Parameters<'a> {
    graph: Graph,
    declared: &'a mut Vec<Parameter>,
    given: Option<&'a [Tensor]>,
    next: usize,
}

impl<'a> Parameters<'a> {
    /// Declares parameters as inputs of `graph`.
    pub fn declare(graph: &Graph, declared: &'a mut Vec<Parameter>) -> Self {
        Parameters { graph: graph.clone(), declared, given: None, next: 0 }
    }

    /// Gives `values` for the parameters that were `declared`.
    pub fn give(graph: &Graph, declared: &'a mut Vec<Parameter>, values: &'a [Tensor]) -> Self {
        Parameters { graph: graph.clone(), declared, given: Some(values), next: 0 }
    }

    /// The parameter `name`. A second pass must ask for the same parameters in the same order.
    #[track_caller]
    pub fn parameter(&mut self, name: &str, shape: &[usize], init: Init, layer: usize) -> Tensor {
        let position = self.next;
        self.next += 1;
        let Some(values) = self.given else {
            if self.declared.iter().any(|p| p.name == name) {
                self.graph.fail("parameter", "a new name", format!("`{name}` twice"));
            }
            self.declared.push(Parameter { name: name.into(), shape: shape.to_vec(), init, layer });
            return self.graph.input(format!("learner/{name}"), shape);
        };
        match (self.declared.get(position), values.get(position)) {
            (Some(known), Some(value)) if known.name == name && known.shape == shape => value.clone(),
            (known, _) => {
                let expected =
                    known.map_or("no more parameters".into(), |p| format!("`{}` {:?}", p.name, p.shape));
                self.graph.fail("parameter", expected, format!("`{name}` {shape:?}"));
                self.graph.full(0.0, shape)
            }
        }
    }
}

/// A network: traces its forward pass.
pub trait Learner: Send + Sync {
    /// `observations` `[batch, …]` to `[batch, outputs]`: logits of a discrete policy, the mean of a
    /// continuous one, a critic's value.
    fn forward(&self, parameters: &mut Parameters<'_>, observations: &Tensor, outputs: usize) -> Tensor;

    /// What makes this learner the one it is: equal specifications trace equal graphs.
    fn specification(&self) -> Value;
}

/// Λ: a distribution of learners (their architectures; [`Init`] says how their parameters are drawn).
pub trait LearnerDistribution: Send + Sync {
    /// The plugin's id, e.g. `mlp`.
    fn id(&self) -> &str;

    /// Draws an architecture.
    fn draw(&self, stream: &mut Stream) -> Box<dyn Learner>;

    /// What is needed to make this distribution again.
    fn specification(&self) -> Value;
}

/// Declares the parameters of `learner` for observations of `shape`.
///
/// # Errors
/// The learner's tracing error.
pub fn declare(
    learner: &dyn Learner,
    shape: &[usize],
    outputs: usize,
) -> Result<Vec<Parameter>, crate::graph::GraphError> {
    let graph = Graph::new();
    let mut declared = vec![];
    let batch: Vec<usize> = std::iter::once(1).chain(shape.iter().copied()).collect();
    let observations = graph.rows("observation", &batch);
    let result = learner.forward(&mut Parameters::declare(&graph, &mut declared), &observations, outputs);
    if result.shape() != [1, outputs] {
        graph.fail("learner", format!("an output of [batch, {outputs}]"), format!("{:?}", result.shape()));
    }
    graph.check()?;
    Ok(declared)
}

/// Applies `learner` with `values` for its `parameters`.
pub fn apply(
    learner: &dyn Learner,
    parameters: &[Parameter],
    values: &[Tensor],
    observations: &Tensor,
    outputs: usize,
) -> Tensor {
    let mut declared = parameters.to_vec();
    let graph = observations.graph().clone();
    learner.forward(&mut Parameters::give(&graph, &mut declared, values), observations, outputs)
}

#[cfg(test)]
mod tests {
    use super::super::random::stream;
    use super::*;

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

//! A traced loss with its gradient, run in double precision and compared with differences.
use rand_distr::{Distribution, StandardNormal};

use super::{Stop, failed};
use crate::engine::random::{Stream, stream};
use crate::error::Result;
use crate::execute::{Array, Device, Plan};
use crate::graph::{Graph, Tensor, grad};

/// A scalar of a graph as a function of some of its inputs.
pub(super) struct Loss {
    device: Device,
    plan: Plan,
    /// Positions of the inputs that it is differentiated with respect to.
    wrt: Vec<usize>,
    names: Vec<String>,
    shapes: Vec<Vec<usize>>,
}

/// A loss with its gradient and what else was asked for.
pub(super) struct Evaluated {
    pub(super) loss: f64,
    pub(super) gradients: Vec<Vec<f64>>,
    pub(super) others: Vec<Vec<f64>>,
}

impl Loss {
    /// Compiles `loss` with its gradient with respect to `wrt`, which are named inputs, and with `others`.
    pub(super) fn new(
        graph: &Graph,
        loss: &Tensor,
        wrt: &[(String, Tensor)],
        others: &[Tensor],
    ) -> Result<Self, Stop> {
        let inputs: Vec<Tensor> = wrt.iter().map(|(_, tensor)| tensor.clone()).collect();
        let outputs: Vec<Tensor> =
            [loss.clone()].into_iter().chain(grad(loss, &inputs)).chain(others.iter().cloned()).collect();
        graph.check()?;
        Ok(Loss {
            device: Device::cpu_f64(),
            plan: Plan::compile(graph, &outputs)?,
            // Inputs are a graph's first nodes.
            wrt: inputs.iter().map(Tensor::id).collect(),
            names: wrt.iter().map(|(name, _)| name.clone()).collect(),
            shapes: inputs.iter().map(Tensor::shape).collect(),
        })
    }

    /// The device and the plan, for whoever makes the inputs.
    pub(super) fn parts(&self) -> (&Device, &Plan) {
        (&self.device, &self.plan)
    }

    pub(super) fn run(&self, inputs: &[Array]) -> Evaluated {
        let results: Vec<Vec<f64>> =
            self.device.run(&self.plan, inputs).iter().map(|t| self.device.read_f64(t)).collect();
        let (gradients, others) = results[1..].split_at(self.wrt.len());
        Evaluated { loss: results[0][0], gradients: gradients.to_vec(), others: others.to_vec() }
    }

    /// Checks the gradient at `inputs`: finite, and not zero everywhere. Notes the inputs that have none, and a slope
    /// that differences of the loss do not show.
    pub(super) fn check(&self, inputs: &[Array]) -> Result<Vec<String>, Stop> {
        let at = self.run(inputs);
        if !at.loss.is_finite() {
            return failed(format!("the loss is {}", at.loss));
        }
        let mut notes = vec![];
        for (name, gradient) in self.names.iter().zip(&at.gradients) {
            if let Some(i) = gradient.iter().position(|g| !g.is_finite()) {
                return failed(format!("element {i} of the gradient of `{name}` is {}", gradient[i]));
            }
            if gradient.iter().all(|g| *g == 0.0) {
                notes.push(format!("`{name}` has no gradient: nothing is learned of it"));
            }
        }
        if notes.len() == self.names.len() {
            return failed("every gradient is zero: nothing can be learned");
        }
        let stream = &mut stream(0, "conformance direction", 0);
        let direction: Vec<Vec<f64>> = self.shapes.iter().map(|shape| normal(stream, shape)).collect();
        let products = at.gradients.iter().flatten().zip(direction.iter().flatten());
        let (slope, scale) =
            products.fold((0.0, 1e-9), |(sum, scale), (g, d)| (sum + g * d, scale + (g * d).abs()));
        // A kink in the way spoils one step length and not another.
        let differences = [1e-5, 1e-6, 1e-7].map(|step| {
            let moved = |by: f64| self.run(&self.moved(inputs, &direction, by)).loss;
            (moved(step) - moved(-step)) / (2.0 * step)
        });
        if !differences.iter().any(|difference| (slope - difference).abs() < 1e-4 * scale) {
            notes.push(format!(
                "along one direction the gradient says {slope:.6}, differences say {:.6}: expected only where \
                 gradients are stopped on purpose",
                differences[1]
            ));
        }
        Ok(notes)
    }

    fn moved(&self, inputs: &[Array], direction: &[Vec<f64>], by: f64) -> Vec<Array> {
        let mut moved = inputs.to_vec();
        for ((&at, shape), direction) in self.wrt.iter().zip(&self.shapes).zip(direction) {
            let values = self.device.read_f64(&inputs[at]);
            let values: Vec<f64> = values.iter().zip(direction).map(|(v, d)| v + by * d).collect();
            moved[at] = self.device.tensor_f64(&values, shape);
        }
        moved
    }
}

/// Array of mean 0 and deviation 1.
pub(super) fn normal<T: From<f32>>(stream: &mut Stream, shape: &[usize]) -> Vec<T> {
    let one = |_| {
        let value: f32 = StandardNormal.sample(stream);
        T::from(value)
    };
    (0..shape.iter().product()).map(one).collect()
}

//! Checks the gradient of a traced loss against finite differences, in double precision.
use rand_distr::{Distribution, StandardNormal};

use super::{Stop, failed};
use crate::engine::random::{Stream, stream};
use crate::error::Result;
use crate::execute::{Array, Device, Plan};
use crate::graph::{Graph, Tensor, grad};

/// A traced scalar as a function of some inputs of its graph.
pub(super) struct Loss {
    device: Device,
    plan: Plan,
    /// The positions of the inputs that it is differentiated with respect to.
    wrt: Vec<usize>,
    names: Vec<String>,
    shapes: Vec<Vec<usize>>,
}

/// The values of a loss, its gradients, and the other tensors that were compiled with it.
pub(super) struct Evaluated {
    pub(super) loss: f64,
    pub(super) gradients: Vec<Vec<f64>>,
    pub(super) others: Vec<Vec<f64>>,
}

impl Loss {
    /// Compiles `loss`, its gradients with respect to the named inputs `wrt`, and `others`.
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
            // Inputs are a graph's first nodes, so that their ids are their positions.
            wrt: inputs.iter().map(Tensor::id).collect(),
            names: wrt.iter().map(|(name, _)| name.clone()).collect(),
            shapes: inputs.iter().map(Tensor::shape).collect(),
        })
    }

    /// The device and the plan, for callers that make the inputs.
    pub(super) fn parts(&self) -> (&Device, &Plan) {
        (&self.device, &self.plan)
    }

    pub(super) fn run(&self, inputs: &[Array]) -> Evaluated {
        let results: Vec<Vec<f64>> =
            self.device.run(&self.plan, inputs).iter().map(|t| self.device.read_f64(t)).collect();
        let (gradients, others) = results[1..].split_at(self.wrt.len());
        Evaluated { loss: results[0][0], gradients: gradients.to_vec(), others: others.to_vec() }
    }

    /// Checks that the gradient at `inputs` is finite and not zero everywhere. Notes inputs without a gradient, and a
    /// slope that finite differences of the loss do not confirm.
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
                notes.push(format!("`{name}` has no gradient, so it is not learned"));
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
        // A kink may spoil the difference for one step length but not for another.
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

/// An array of `shape` with random numbers of mean 0 and standard deviation 1.
pub(super) fn normal<T: From<f32>>(stream: &mut Stream, shape: &[usize]) -> Vec<T> {
    let one = |_| {
        let value: f32 = StandardNormal.sample(stream);
        T::from(value)
    };
    (0..shape.iter().product()).map(one).collect()
}

//! The inner loop: how a learner is taught from θ, in one step of the objective's inner rule or in many.
//!
//! One step is part of the graph of an update ([`programs`]). Many would need a graph too large for memory: then the plan of
//! one step runs in a loop, and its derivative is taken backwards through the loop, one step at a time. The states that the
//! steps begin with are kept for this; if they are too large, only some are, from which the others are computed anew.
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::execute::{Array, Device, Plan};
use crate::graph::{Binary, Graph, Op, Tensor, grad};
use crate::objective::{Objective, merge};
use crate::optimizer::{Adam, Optimizer};
use crate::programs::{self, BatchInputs, Losses, Parts, SCALARS, Update, UpdateRule};
use crate::random::stream;
use crate::student::{Dimensions, Student};
use crate::theta::{Layout, Theta};

/// The most inner steps.
pub const MOST_STEPS: usize = 10_000;

/// Adam's constants in the inner loop: those of Kingma & Ba 2015.
const ADAM: Adam = Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8 };

/// What is added to the second moment under the root. The gradient of a dead unit is exactly 0, and there the root alone
/// would have an infinite derivative. It is far below the square of [`ADAM`]'s ε.
const FLOOR: f64 = 1e-20;

/// The bytes of states up to which all of them are kept.
const KEPT: u64 = 256 << 20;

/// How often the inner rule is applied, and how its steps are taken.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inner {
    /// How many times the rule is applied, each time to the parameters that the last one gave.
    pub steps: usize,
    /// The learning rate of Adam, which takes φ − φ′ of each step as the gradient; `None` takes the rule's own step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adam: Option<f64>,
    /// How many instances each step sees; `None` means all. They are drawn without replacement: each pass over the k
    /// instances, in a new order, gives as many whole batches as it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<usize>,
}

impl Default for Inner {
    /// One step of the rule on all instances.
    fn default() -> Self {
        Inner { steps: 1, adam: None, instances: None }
    }
}

impl Inner {
    /// Whether this is one step of the rule on all instances.
    pub fn is_one_step(&self) -> bool {
        *self == Inner::default()
    }

    /// Checks the numbers for `k` instances.
    ///
    /// # Errors
    /// Names the key that is out of range, its value and what was expected.
    pub fn check(&self, k: usize) -> Result<(), String> {
        let Inner { steps, adam, instances } = *self;
        if !(1..=MOST_STEPS).contains(&steps) {
            return Err(format!("`inner.steps` is {steps}; expected 1 to {MOST_STEPS}"));
        }
        if let Some(lr) = adam.filter(|lr| !lr.is_finite() || *lr <= 0.0) {
            return Err(format!("`inner.adam` is {lr}; expected a number above 0"));
        }
        match instances {
            Some(batch) if !(1..=k).contains(&batch) => {
                Err(format!("`inner.instances` is {batch}; expected 1 to the {k} instances of the dataset"))
            }
            _ => Ok(()),
        }
    }

    /// The instances that step number `step`, counted from 0, sees in the order that `seed` gives; `None` means all.
    fn batch(&self, k: usize, step: usize, seed: u64) -> Option<Vec<usize>> {
        let size = self.instances?;
        let in_pass = k / size;
        let mut pass: Vec<usize> = (0..k).collect();
        pass.shuffle(&mut stream(seed, "pass", (step / in_pass) as u64));
        Some(pass[step % in_pass * size..][..size].to_vec())
    }
}

/// A step of the inner loop in its graph.
struct Traced {
    graph: Graph,
    /// θ in its trained form, and ξ.
    meta_learned: Vec<Tensor>,
    /// φ and, with Adam, its first and second moments: before the step and after it.
    state: Vec<Tensor>,
    next: Vec<Tensor>,
}

/// Traces one step. The inputs are θ, ξ and the state; with Adam, its two corrections; and where a step sees a part of the
/// instances, a matrix `[instances, k]` that selects them.
fn trace(student: &Student, objective: &dyn Objective, d: &Dimensions) -> Result<Traced> {
    let graph = Graph::new();
    let parts = Theta::new(objective, d);
    let trained = parts.inputs(&graph);
    let encoder = Layout::encoder_inputs(student, &graph);
    let inputs = |prefix: &str| -> Vec<Tensor> {
        student.taught().map(|p| graph.input(format!("{prefix}{}", p.name), &p.shape)).collect()
    };
    let fresh = inputs("learner/");
    let adam = d.inner.adam.map(|lr| {
        let moments = ["first_moment/", "second_moment/"].map(inputs);
        (graph.constant(lr), moments, ["correction1", "correction2"].map(|name| graph.input(name, &[])))
    });
    let mut theta = parts.read(&trained);
    if let Some(size) = d.inner.instances {
        let selection = graph.input("selection", &[size, d.k]);
        for (part, declared) in theta.iter_mut().zip(objective.theta()) {
            // A vector may be as long as k by chance, as rates of layers are. X is one where an observation is a number.
            let shape = part.shape();
            if shape.first() == Some(&d.k) && (shape.len() > 1 || declared.name == "x") {
                let rows = part.reshape(&[d.k, shape[1..].iter().product()]);
                *part = selection.matmul(&rows).reshape(&[&[size], &shape[1..]].concat()).variable();
            }
        }
    }
    let taught = programs::inner(student, objective, &theta, &encoder, &fresh, d)?;
    let meta_learned = [trained, encoder].concat();
    let Some((lr, [first, second], [correction1, correction2])) = adam else {
        return Ok(Traced { graph, meta_learned, state: fresh, next: taught });
    };
    let mut next = [vec![], vec![], vec![]];
    for (i, (fresh, taught)) in fresh.iter().zip(&taught).enumerate() {
        let moments = [&first[i], &second[i]];
        let step = ADAM.step(fresh, &moved(fresh, taught), moments, &lr, [&correction1, &correction2], FLOOR);
        next.iter_mut().zip(step).for_each(|(column, tensor)| column.push(tensor));
    }
    Ok(Traced { graph, meta_learned, state: [fresh, first, second].concat(), next: next.concat() })
}

/// φ − φ′. A rule that was traced as φ′ = φ − s has s itself, which the difference of two close numbers would round.
fn moved(fresh: &Tensor, taught: &Tensor) -> Tensor {
    let graph = fresh.graph();
    let node = graph.node(taught.id());
    match (node.op, &node.inputs[..]) {
        (Op::Binary(Binary::Sub), &[from, step]) if from == fresh.id() => graph.handle(step),
        _ => fresh - taught,
    }
}

/// The plan of one step, and what runs it.
struct Loop {
    inner: Inner,
    k: usize,
    phi_mask: Vec<bool>,
    /// The number of parts of θ, and of these and the parameters of ξ that follow.
    theta: usize,
    meta_learned: usize,
    /// The shapes of the state.
    shapes: Vec<Vec<usize>>,
    step: Plan,
}

impl Loop {
    fn new(student: &Student, objective: &dyn Objective, d: &Dimensions) -> Result<Self> {
        let Traced { graph, meta_learned, state, next } = trace(student, objective, d)?;
        Ok(Loop {
            inner: d.inner,
            k: d.k,
            phi_mask: student.phi_mask.clone(),
            theta: meta_learned.len() - student.encoder().count(),
            meta_learned: meta_learned.len(),
            shapes: state.iter().map(Tensor::shape).collect(),
            step: Plan::compile(&graph, &next)?,
        })
    }

    /// The state before the first step of a learner with the parameters `fresh`: Adam's moments begin at 0.
    fn start(&self, device: &Device, fresh: &[Array]) -> Vec<Array> {
        let phi = self.phi_mask.iter().zip(fresh).filter(|(phi, _)| **phi).map(|(_, array)| array.clone());
        let mut state: Vec<Array> = phi.collect();
        state.extend(zeros(device, &self.shapes[state.len()..]));
        state
    }

    /// The parameters φ of a state.
    fn phi<'s>(&self, state: &'s [Array]) -> &'s [Array] {
        &state[..self.phi_mask.iter().filter(|phi| **phi).count()]
    }

    /// The inputs of step number `step`, counted from 0.
    fn inputs(&self, on: On<'_>, state: &[Array], step: usize) -> Vec<Array> {
        let On { device, meta_learned, batches } = on;
        let mut inputs = [meta_learned, state].concat();
        if self.inner.adam.is_some() {
            let corrections = Optimizer::Adam(ADAM).corrections(step as u64 + 1);
            inputs.extend(corrections.map(|correction| device.tensor(&[correction], &[])));
        }
        if let Some(batch) = self.inner.batch(self.k, step, batches) {
            let mut selection = vec![0.0; batch.len() * self.k];
            batch.iter().enumerate().for_each(|(row, instance)| selection[row * self.k + instance] = 1.0);
            inputs.push(device.tensor(&selection, &[batch.len(), self.k]));
        }
        inputs
    }

    /// The state after step number `step`.
    fn next(&self, on: On<'_>, state: &[Array], step: usize) -> Vec<Array> {
        on.device.run(&self.step, &self.inputs(on, state, step))
    }

    /// All of the learner's parameters after every step.
    fn teach(&self, on: On<'_>, fresh: &[Array]) -> Vec<Array> {
        let start = self.start(on.device, fresh);
        let taught = (0..self.inner.steps).fold(start, |state, step| self.next(on, &state, step));
        merge(&self.phi_mask, &on.meta_learned[self.theta..], self.phi(&taught))
    }

    /// The bytes of a state.
    fn bytes(&self) -> u64 {
        let numbers: usize = self.shapes.iter().map(|shape| shape.iter().product::<usize>()).sum();
        (numbers * size_of::<f32>()) as u64
    }
}

/// Where a learner is taught, and from what.
#[derive(Clone, Copy)]
struct On<'a> {
    device: &'a Device,
    /// θ in its trained form, and ξ.
    meta_learned: &'a [Array],
    /// The seed of the instances that the steps see.
    batches: u64,
}

fn zeros(device: &Device, shapes: &[Vec<usize>]) -> Vec<Array> {
    shapes.iter().map(|shape| device.tensor(&vec![0.0; shape.iter().product()], shape)).collect()
}

/// Whether the learner takes one step of the rule, or has nothing to teach: that is part of other graphs.
fn is_one_step(student: &Student, d: &Dimensions) -> bool {
    d.inner.is_one_step() || student.taught().next().is_none()
}

/// How learners of one architecture are taught.
pub struct Teaching(Taught);

enum Taught {
    Once(Plan),
    Many(Loop),
}

impl Teaching {
    /// Traces and compiles the inner steps of `d.inner`.
    ///
    /// # Errors
    /// An error of tracing the learner or the objective.
    pub fn new(student: &Student, objective: &dyn Objective, d: &Dimensions) -> Result<Self> {
        Ok(Teaching(match is_one_step(student, d) {
            true => Taught::Once(programs::teach(student, objective, d)?),
            false => Taught::Many(Loop::new(student, objective, d)?),
        }))
    }

    /// All parameters of a learner after the inner steps, from those before, `fresh`, and from θ and ξ. `batches` is the
    /// seed of the instances that the steps see.
    pub fn run(&self, device: &Device, meta_learned: &[Array], fresh: &[Array], batches: u64) -> Vec<Array> {
        match &self.0 {
            Taught::Once(plan) => device.run(plan, &[meta_learned, fresh].concat()),
            Taught::Many(steps) => steps.teach(On { device, meta_learned, batches }, fresh),
        }
    }
}

/// The outer update on a minibatch: the inner steps, the loss of the taught learner, the gradients through both, and the
/// optimizer's step.
pub struct Updating(Updated);

enum Updated {
    Once(Update),
    Many(Box<Unrolled>),
}

/// The update through a loop of inner steps.
struct Unrolled {
    steps: Loop,
    /// A state is kept every so many steps.
    every: usize,
    /// The plan of the losses of the taught learner. Its inputs are θ, ξ and the critic's parameters, the learner's
    /// parameters, φ after the last step, and the batch ([`BatchInputs`]). Its outputs are the gradients for φ, for θ and ξ
    /// apart from the inner steps, and for the critic's parameters; then the metrics.
    losses: Plan,
    /// The plan that pulls gradients back through a step. Its inputs are those of the step, the gradients for the state
    /// after it, and the gradients for θ and ξ so far. Its outputs are the gradients for the state before it, and those for
    /// θ and ξ with what the step adds to them.
    pull_back: Plan,
    /// The plan of the optimizer's step. Its inputs are the trained values, their first and second moments, the gradients,
    /// and [`SCALARS`]; its outputs are the trained values and the moments after the update, and the norm of the gradients.
    descend: Plan,
    metrics: Vec<String>,
}

impl Updating {
    /// Traces and compiles the update for minibatches of `rows` transitions and the inner steps of `d.inner`. There is a
    /// critic if the objective [needs](programs::needs_critic) one.
    ///
    /// # Errors
    /// An error of tracing the learner, the critic or the objective.
    pub fn new<'a>(
        student: &Student,
        critic: impl Into<Option<&'a Student>>,
        objective: &dyn Objective,
        rule: &UpdateRule,
        d: &Dimensions,
        rows: usize,
    ) -> Result<Self> {
        let critic = critic.into();
        if is_one_step(student, d) {
            let update = programs::update(student, critic, objective, rule, d, rows)?;
            return Ok(Updating(Updated::Once(update)));
        }
        let layout = Layout::new(Theta::new(objective, d), student, critic);
        let parts = Parts { student, critic, objective, rule, d, layout: &layout };
        Ok(Updating(Updated::Many(Box::new(Unrolled::new(parts, rows)?))))
    }

    /// Keeps no more states of the inner loop than fit `bytes`, if need be, and computes the others anew. Results do not
    /// depend on it.
    #[must_use]
    pub fn keeping(mut self, bytes: u64) -> Self {
        if let Updated::Many(unrolled) = &mut self.0 {
            unrolled.every = spacing(unrolled.steps.inner.steps, unrolled.steps.bytes(), bytes);
        }
        self
    }

    /// The bytes of the states of the inner loop that are held at once.
    pub fn bytes_of_states(&self) -> u64 {
        match &self.0 {
            Updated::Once(_) => 0,
            Updated::Many(unrolled) => {
                let kept = unrolled.steps.inner.steps.div_ceil(unrolled.every) + unrolled.every;
                (kept as u64).saturating_mul(unrolled.steps.bytes())
            }
        }
    }

    /// The plan that reads the batch.
    pub fn plan(&self) -> &Plan {
        match &self.0 {
            Updated::Once(update) => &update.plan,
            Updated::Many(unrolled) => &unrolled.losses,
        }
    }

    /// The names of the metrics.
    pub fn metrics(&self) -> &[String] {
        match &self.0 {
            Updated::Once(update) => &update.metrics,
            Updated::Many(unrolled) => &unrolled.metrics,
        }
    }

    /// Whether a GPU computes the update faster than a CPU does.
    pub fn is_worth_a_gpu(&self) -> bool {
        match &self.0 {
            Updated::Once(update) => update.plan.is_worth_a_gpu(),
            Updated::Many(unrolled) => {
                [&unrolled.losses, &unrolled.pull_back].into_iter().any(Plan::is_worth_a_gpu)
            }
        }
    }

    /// Makes an update. `state` are the trained values, their first and their second moments, `fresh` the learner's
    /// parameters, and `batches` the seed of the instances that the inner steps see. `scalars` are [`SCALARS`].
    /// `batch(device, plan, first)` returns the batch as inputs of [`Self::plan`], from number `first` on. Returns the state
    /// after the update, and the metrics.
    pub fn run(
        &self,
        device: &Device,
        state: &[Array],
        fresh: &[Array],
        batches: u64,
        scalars: [f32; 4],
        batch: impl FnOnce(&Device, &Plan, usize) -> Vec<Array>,
    ) -> (Vec<Array>, Vec<Array>) {
        let scalars = scalars.map(|value| device.tensor(&[value], &[]));
        match &self.0 {
            Updated::Once(Update { plan, .. }) => {
                let mut inputs = [state, fresh, &scalars].concat();
                inputs.extend(batch(device, plan, inputs.len()));
                let mut outputs = device.run(plan, &inputs);
                let metrics = outputs.split_off(state.len());
                (outputs, metrics)
            }
            Updated::Many(unrolled) => unrolled.run(device, state, (fresh, batches), &scalars, batch),
        }
    }
}

/// After how many steps a state is kept: each, if all take no more than `most` bytes, or the root of the number of steps,
/// which keeps the fewest.
fn spacing(steps: usize, bytes: u64, most: u64) -> usize {
    let root = steps.isqrt();
    if bytes.saturating_mul(steps as u64) <= most { 1 } else { root + usize::from(root * root < steps) }
}

impl Unrolled {
    fn new(parts: Parts<'_>, rows: usize) -> Result<Self> {
        let Parts { student, objective, d, .. } = parts;
        let steps = Loop::new(student, objective, d)?;
        let (losses, metrics) = losses(parts, rows)?;
        Ok(Unrolled {
            every: spacing(steps.inner.steps, steps.bytes(), KEPT),
            pull_back: pull_back(trace(student, objective, d)?)?,
            descend: descend(parts)?,
            steps,
            losses,
            metrics,
        })
    }

    /// See [`Updating::run`].
    fn run(
        &self,
        device: &Device,
        state: &[Array],
        (fresh, batches): (&[Array], u64),
        scalars: &[Array],
        batch: impl FnOnce(&Device, &Plan, usize) -> Vec<Array>,
    ) -> (Vec<Array>, Vec<Array>) {
        let (values, steps) = (&state[..state.len() / 3], &self.steps);
        let on = On { device, meta_learned: &values[..steps.meta_learned], batches };

        let mut kept = vec![];
        let mut learner = steps.start(device, fresh);
        for step in 0..steps.inner.steps {
            if step.is_multiple_of(self.every) {
                kept.push(learner.clone());
            }
            learner = steps.next(on, &learner, step);
        }

        let mut inputs = [values, fresh, steps.phi(&learner)].concat();
        inputs.extend(batch(device, &self.losses, inputs.len()));
        let mut of_state = device.run(&self.losses, &inputs);
        let mut of_meta = of_state.split_off(steps.phi(&learner).len());
        let mut of_critic = of_meta.split_off(steps.meta_learned);
        let mut metrics = of_critic.split_off(values.len() - steps.meta_learned);
        of_state.extend(zeros(device, &steps.shapes[of_state.len()..]));

        for (segment, start) in kept.into_iter().enumerate().rev() {
            let first = segment * self.every;
            let end = steps.inner.steps.min(first + self.every);
            let mut states = vec![start];
            for step in first..end - 1 {
                states.push(steps.next(on, &states[step - first], step));
            }
            for step in (first..end).rev() {
                let mut inputs = steps.inputs(on, &states[step - first], step);
                inputs.extend([&of_state[..], &of_meta].concat());
                of_state = device.run(&self.pull_back, &inputs);
                of_meta = of_state.split_off(steps.shapes.len());
            }
        }

        let inputs = [state, &of_meta, &of_critic, scalars].concat();
        let mut outputs = device.run(&self.descend, &inputs);
        metrics.extend(outputs.split_off(state.len()));
        (outputs, metrics)
    }
}

/// The plan [`Unrolled::losses`], and the names of all metrics of an update.
fn losses(parts: Parts<'_>, rows: usize) -> Result<(Plan, Vec<String>)> {
    let Parts { student, objective, d, layout, .. } = parts;
    let graph = Graph::new();
    let values = layout.inputs(&graph, "");
    let fresh = student.phi(&student.inputs(&graph));
    let taught = student.taught().map(|p| graph.input(format!("taught/{}", p.name), &p.shape));
    let taught: Vec<Tensor> = taught.collect();
    let batch = BatchInputs::trace(&graph, objective, d, rows)?;
    let wrt = [&taught, &values[..layout.meta_learned]].concat();
    let Losses { gradients, of_critic, value_loss, metrics } =
        parts.losses(&values, [&fresh, &taught], &batch, &wrt)?;
    let value_loss = value_loss.map(|loss| ("value_loss".to_owned(), loss));
    let (mut names, measured): (Vec<String>, Vec<Tensor>) = value_loss.into_iter().chain(metrics).unzip();
    names.push("grad_norm".into());
    Ok((Plan::compile(&graph, &[gradients, of_critic, measured].concat())?, names))
}

/// The plan [`Unrolled::pull_back`]: the gradient of the products of what the step returns with the gradients for it.
fn pull_back(traced: Traced) -> Result<Plan> {
    let Traced { graph, meta_learned, state, next } = traced;
    let like = |prefix: &str, tensors: &[Tensor]| -> Vec<Tensor> {
        let input = |(i, t): (usize, &Tensor)| graph.input(format!("{prefix}{i}"), &t.shape());
        tensors.iter().enumerate().map(input).collect()
    };
    let (of_next, so_far) = (like("gradient/", &next), like("so_far/", &meta_learned));
    let products = next.iter().zip(&of_next).map(|(next, gradient)| (next * gradient).sum());
    let sum = products.fold(graph.constant(0.0), |sum, product| sum + product);
    let mut gradients = grad(&sum, &[&state[..], &meta_learned].concat());
    let added = gradients.split_off(state.len());
    gradients.extend(so_far.iter().zip(&added).map(|(so_far, added)| so_far + added));
    Ok(Plan::compile(&graph, &gradients)?)
}

/// The plan [`Unrolled::descend`].
fn descend(parts: Parts<'_>) -> Result<Plan> {
    let (graph, layout) = (Graph::new(), parts.layout);
    let prefixes = ["", "first_moment/", "second_moment/", "gradient/"];
    let [values, first, second, mut gradients] = prefixes.map(|prefix| layout.inputs(&graph, prefix));
    let scalars = SCALARS.map(|name| graph.input(name, &[]));
    let of_critic = gradients.split_off(layout.meta_learned);
    let (mut new, norm) = parts.descend([&values, &first, &second], [gradients, of_critic], &scalars);
    new.extend(norm);
    Ok(Plan::compile(&graph, &new)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_drawn_without_replacement() {
        let inner = Inner { steps: 12, adam: None, instances: Some(3) };
        let batches: Vec<Vec<usize>> = (0..12).map(|step| inner.batch(10, step, 7).unwrap()).collect();
        for pass in batches.chunks(3) {
            // Three batches of three are a pass over ten instances.
            let mut seen = pass.concat();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 9);
        }
        assert_ne!(batches[..3], batches[3..6]);
        assert_ne!(inner.batch(10, 0, 8).unwrap(), batches[0]);
        assert_eq!(Inner::default().batch(10, 0, 7), None);
    }

    #[test]
    fn the_spacing_of_kept_states() {
        assert_eq!([1, 100].map(|steps| spacing(steps, 10, 1000)), [1, 1]);
        assert_eq!([2, 4, 100, 101, 10_000].map(|steps| spacing(steps, 10, 9)), [2, 2, 10, 11, 100]);
    }

    #[test]
    fn says_what_is_out_of_range() {
        let checked = |steps, adam, instances| Inner { steps, adam, instances }.check(4);
        assert_eq!(checked(10_000, Some(5e-3), Some(4)), Ok(()));
        for (wrong, expected) in [
            (checked(0, None, None), "`inner.steps` is 0; expected 1 to 10000"),
            (checked(10_001, None, None), "`inner.steps` is 10001; expected 1 to 10000"),
            (checked(1, Some(0.0), None), "`inner.adam` is 0; expected a number above 0"),
            (checked(1, Some(f64::NAN), None), "`inner.adam` is NaN; expected a number above 0"),
            (
                checked(1, None, Some(0)),
                "`inner.instances` is 0; expected 1 to the 4 instances of the dataset",
            ),
            (
                checked(1, None, Some(5)),
                "`inner.instances` is 5; expected 1 to the 4 instances of the dataset",
            ),
        ] {
            assert_eq!(wrong.unwrap_err(), expected);
        }
    }
}

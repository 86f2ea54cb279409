//! A graph for tests that tracks only shapes, behind the same C contract as the host's graph.
use std::cell::RefCell;
use std::ffi::{CStr, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;

use potstill_plugin_api::abi::{GraphOp, Operation, RawGraph, RawNetwork, array};
use potstill_plugin_api::{OptionSchema, Space};

use super::shapes::infer;
use crate::learner::Parameters;
use crate::native::tracing::{Network, Tracing};
use crate::{
    Column, Learner, LearnerShape, Objective, OptionValue, Options, Outer, Rng, Task, Tensor, Theta,
};

/// The result of tracing a learner.
#[derive(Clone, Debug, PartialEq)]
pub struct TracedLearner {
    /// The name of the architecture within the distribution.
    pub name: String,
    /// Names and shapes of the parameters, in the order of their declaration.
    pub parameters: Vec<(String, Vec<usize>)>,
    /// Shape of the output for a batch of 5.
    pub output: Vec<usize>,
}

/// The result of tracing an objective.
#[derive(Clone, Debug, PartialEq)]
pub struct TracedObjective {
    /// Names and shapes of the parts of θ.
    pub theta: Vec<(String, Vec<usize>)>,
    /// Names of the metrics.
    pub metrics: Vec<&'static str>,
}

/// Draws a learner for `shape` with `seed` and traces it on a batch of 5. Options that are not in `options` have their
/// defaults.
///
/// # Errors
/// Fails if the learner rejects the shape or the options, if an operation is used wrongly (the message names its source
/// location), or if the output is not `[5, outputs]`.
pub fn trace_learner<L: Learner>(
    shape: &LearnerShape,
    options: &[(&str, OptionValue)],
    seed: u64,
) -> Result<TracedLearner, String> {
    let learner = L::draw(shape, &filled(L::options(), options)?, &mut Rng::seeded(seed))?;
    let tracer = Tracer::default();
    let batch = |rows: usize| [&[rows], &shape.observation.shape()[..]].concat();
    let mut parameters = Parameters::declare();
    tracer.run(|_| learner.forward(&mut parameters, &Tensor::full(0.0, &batch(1))))?;
    let declared = parameters.declared;
    let dimensions = |shape: &[u32]| shape.iter().map(|&d| d as usize).collect::<Vec<usize>>();
    let values = declared.iter().map(|p| tracer.tensor(&dimensions(&p.shape))).collect();
    let mut parameters = Parameters::give(declared.clone(), values);
    let x = tracer.tensor(&batch(5));
    let output = tracer.run(|_| learner.forward(&mut parameters, &x).shape())?;
    if let Some(error) = parameters.error {
        return Err(error);
    }
    check("forward", &output, &[5, shape.outputs])?;
    let parameters = declared.iter().map(|p| (p.name.clone(), dimensions(&p.shape))).collect();
    Ok(TracedLearner { name: learner.name(), parameters, output })
}

/// Makes an objective for `task` and traces its inner rule, and its outer loss on a batch of 16, for a learner whose
/// parameters have the shapes `parameters`. Options that are not in `options` have their defaults.
///
/// # Errors
/// Fails if the objective rejects the task or the options, if an operation is used wrongly (the message names its source
/// location), or if a part of θ, a taught parameter, the loss or a metric does not have the shape that the contract
/// requires.
pub fn trace_objective<O: Objective>(
    task: &Task,
    options: &[(&str, OptionValue)],
    parameters: &[&[usize]],
) -> Result<TracedObjective, String> {
    let objective = O::new(task, &filled(O::options(), options)?)?;
    let tracer = Tracer { learner: (parameters.len(), task.outputs), ..Tracer::default() };
    let parts: Vec<_> = objective.theta(task).into_iter().map(|part| (part.name, part.shape)).collect();
    let x = [&[task.instances], &task.observation.shape()[..]].concat();
    for (name, expected) in [("x", &x[..]), ("y", &[task.instances, task.outputs]), ("inner_lr", &[])] {
        match parts.iter().find(|(part, _)| part == name) {
            Some((_, shape)) => check(name, shape, expected)?,
            None => return Err(format!("theta has no `{name}`")),
        }
    }
    let theta = Theta(parts.iter().map(|(name, shape)| (name.clone(), tracer.tensor(shape))).collect());
    let fresh: Vec<Tensor> = parameters.iter().map(|shape| tracer.tensor(shape)).collect();
    let taught = tracer.run(|network| objective.inner(&theta, network, &fresh))?;
    let shapes: Vec<_> = taught.iter().map(|t| tracer.shape(t.0)).collect();
    if shapes != parameters {
        return Err(format!("inner: expected {parameters:?}, got {shapes:?}"));
    }
    let columns = objective.columns().into_iter().map(|column| {
        let (rows, row) = match column {
            Column::Observations => (16, task.observation.shape()),
            Column::Actions => (16, vec![actions(&task.action)]),
            Column::Outputs | Column::Teacher => (16, vec![task.outputs]),
            Column::Progress => (1, vec![1]),
            _ => (16, vec![1]),
        };
        (column, tracer.tensor(&[&[rows], &row[..]].concat()))
    });
    let columns = columns.collect();
    let (theta, fresh, taught) = (&theta, &fresh[..], &taught[..]);
    let outcome = tracer.run(|network| objective.outer(&Outer { theta, network, fresh, taught, columns }))?;
    for (name, value) in
        [("loss", &outcome.loss)].into_iter().chain(outcome.metrics.iter().map(|(n, v)| (*n, v)))
    {
        check(name, &tracer.shape(value.0), &[])?;
    }
    Ok(TracedObjective { theta: parts, metrics: outcome.metrics.into_iter().map(|(name, _)| name).collect() })
}

/// Completes `options` with the defaults of `schemas`.
///
/// # Errors
/// Fails if an option is not declared.
fn filled(schemas: Vec<OptionSchema>, options: &[(&str, OptionValue)]) -> Result<Options, String> {
    if let Some((name, _)) = options.iter().find(|(name, _)| schemas.iter().all(|known| known.name != *name))
    {
        return Err(format!("there is no option `{name}`"));
    }
    let value = |schema: OptionSchema| {
        let given = options.iter().find(|(name, _)| *name == schema.name);
        (schema.name, given.map_or(schema.default, |(_, value)| value.clone()))
    };
    Ok(schemas.into_iter().map(value).collect())
}

/// The number of values in one action.
fn actions(space: &Space) -> usize {
    match space {
        Space::Discrete { .. } => 1,
        Space::MultiDiscrete { nvec } => nvec.len(),
        Space::Box { shape, .. } | Space::Image { shape } => shape.iter().product(),
    }
}

fn check(what: &str, got: &[usize], expected: &[usize]) -> Result<(), String> {
    if got == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, got {got:?}")) }
}

/// The shapes of all tensors, which are numbered from 1, and the first mistake.
#[derive(Default)]
struct Tracer {
    shapes: RefCell<Vec<Vec<usize>>>,
    mistake: RefCell<Option<String>>,
    /// The learner's number of parameters and number of outputs.
    learner: (usize, usize),
}

impl Tracer {
    fn tensor(&self, shape: &[usize]) -> Tensor {
        Tensor(self.add(shape.to_vec()))
    }

    fn add(&self, shape: Vec<usize>) -> u32 {
        let mut shapes = self.shapes.borrow_mut();
        shapes.push(shape);
        shapes.len() as u32
    }

    /// The shape of `tensor`, which is empty after a mistake, as in the host's graph.
    fn shape(&self, tensor: u32) -> Vec<usize> {
        let shapes = self.shapes.borrow();
        (tensor as usize).checked_sub(1).and_then(|i| shapes.get(i).cloned()).unwrap_or_default()
    }

    fn made(&self, what: &str, shape: Result<Vec<usize>, String>) -> u32 {
        match shape {
            _ if self.mistake.borrow().is_some() => 0,
            Ok(shape) => self.add(shape),
            Err(error) => {
                *self.mistake.borrow_mut() = Some(format!("{what}: {error}"));
                0
            }
        }
    }

    /// Runs `trace` with this tracer as its graph and its network.
    fn run<T>(&self, trace: impl FnOnce(&Network) -> T) -> Result<T, String> {
        let context = ptr::from_ref(self).cast_mut().cast();
        let graph = RawGraph {
            struct_size: RawGraph::SIZE,
            reserved: 0,
            context,
            operation: Some(operation),
            shape: Some(shape),
            gradients: Some(gradients),
        };
        let network = RawNetwork {
            struct_size: RawNetwork::SIZE,
            reserved: 0,
            graph: &graph,
            context,
            apply: Some(apply),
            log_probability: Some(of_two),
            entropy: Some(of_one),
            divergence: Some(of_two),
        };
        // SAFETY: `graph` and `network` live until the end of this function, and `trace` has returned by then.
        let traced = catch_unwind(AssertUnwindSafe(|| unsafe {
            let _tracing = Tracing::into(&graph);
            trace(&Network::of(&network))
        }));
        // If a mistake led to a panic, report the mistake.
        match (self.mistake.borrow().clone(), traced) {
            (Some(mistake), _) => Err(mistake),
            (None, Ok(traced)) => Ok(traced),
            (None, Err(panic)) => resume_unwind(panic),
        }
    }
}

/// Returns the tracer behind `context`.
///
/// # Safety
/// `context` must come from [`Tracer::run`], which must not have returned.
unsafe fn tracer<'a>(context: *mut c_void) -> &'a Tracer {
    // SAFETY: the caller guarantees that `context` points to a live tracer.
    unsafe { &*context.cast::<Tracer>() }
}

unsafe extern "C" fn operation(context: *mut c_void, operation: *const Operation) -> u32 {
    // SAFETY: only `native/tracing.rs` calls this, with `run`'s context, arrays as long as their counts say and a
    // NUL-terminated file name.
    let (tracer, o, inputs, integers, numbers, file) = unsafe {
        let o = &*operation;
        let (inputs, integers) = (array(o.inputs, o.input_count), array(o.integers, o.integer_count));
        (tracer(context), o, inputs, integers, array(o.numbers, o.number_count), CStr::from_ptr(o.file))
    };
    let shapes: Vec<_> = inputs.unwrap_or_default().iter().map(|&t| tracer.shape(t)).collect();
    let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
    let keep = numbers.unwrap_or_default().first().is_some_and(|&n| n != 0.0);
    let Some(op) = GraphOp::from_number(o.op) else { return 0 };
    let what = format!("{}:{}: {op:?}", file.to_string_lossy(), o.line);
    // After a mistake some tensors have no shape, so inference would report consequential errors.
    let no_mistake = tracer.mistake.borrow().is_none();
    if no_mistake { tracer.made(&what, infer(op, &shapes, integers.unwrap_or_default(), keep)) } else { 0 }
}

unsafe extern "C" fn shape(context: *mut c_void, tensor: u32, out: *mut u32, capacity: u32) -> u32 {
    // SAFETY: `context` comes from `Tracer::run`.
    let shape = unsafe { self::tracer(context) }.shape(tensor);
    for (i, &d) in shape.iter().take(capacity as usize).enumerate() {
        // SAFETY: `out` has room for `capacity` dimensions, and `i` is below that.
        unsafe { *out.add(i) = d as u32 };
    }
    shape.len() as u32
}

unsafe extern "C" fn gradients(context: *mut c_void, loss: u32, wrt: *const u32, count: u32, out: *mut u32) {
    // SAFETY: `context` comes from `Tracer::run`, and `wrt` has `count` tensors.
    let (tracer, wrt) = unsafe { (tracer(context), array(wrt, count).unwrap_or_default()) };
    let loss = check("loss", &tracer.shape(loss), &[]);
    for (i, &t) in wrt.iter().enumerate() {
        let made = tracer.made("grad", loss.clone().map(|()| tracer.shape(t)));
        // SAFETY: `out` has room for `count` tensors, and `i` is below that.
        unsafe { *out.add(i) = made };
    }
}

unsafe extern "C" fn apply(context: *mut c_void, _: *const u32, count: u32, x: u32) -> u32 {
    // SAFETY: `context` comes from `Tracer::run`.
    let tracer = unsafe { tracer(context) };
    let (parameters, outputs) = tracer.learner;
    let rows = tracer.shape(x).first().copied().unwrap_or(1);
    let shape = match count as usize == parameters {
        true => Ok(vec![rows, outputs]),
        false => Err(format!("expected {parameters} parameters, got {count}")),
    };
    tracer.made("apply", shape)
}

unsafe extern "C" fn of_one(context: *mut c_void, outputs: u32) -> u32 {
    // SAFETY: `context` comes from `Tracer::run`.
    unsafe { of_two(context, outputs, outputs) }
}

unsafe extern "C" fn of_two(context: *mut c_void, a: u32, b: u32) -> u32 {
    // SAFETY: `context` comes from `Tracer::run`.
    let tracer = unsafe { tracer(context) };
    let (a, b) = (tracer.shape(a), tracer.shape(b));
    let shape = match (a.first(), b.first()) {
        (Some(rows), Some(others)) if rows == others => Ok(vec![*rows, 1]),
        _ => Err(format!("expected tensors with the same number of rows, got {a:?} and {b:?}")),
    };
    tracer.made("policy", shape)
}

//! The graph as plugins from any loader trace it: operations and tensors are numbers, and every argument is checked.
//!
//! A [`Call`] is one call of a plugin, on the thread that makes it. Calls nest: an objective's call may call the
//! learner, which may be a plugin itself. Each call knows only its own tensors.
use std::any::Any;
use std::cell::RefCell;

use potstill_plugin_api::abi::GraphOp;
use serde::{Deserialize, Serialize};

use super::declared::check_metrics;
use potstill_engine::error::{Error, Result};
use potstill_engine::graph::{Graph, MAX_NODES, MAX_RANK, Tensor, grad};
use potstill_engine::learner::Parameter;
use potstill_engine::objective::{Network, Outer};

/// The most tensors of a call. Each takes memory, even if the graph already contains it.
const MAX_TENSORS: usize = 5 * MAX_NODES;

thread_local! {
    /// The calls in progress on this thread, the innermost last.
    static CALLS: RefCell<Vec<CallState>> = const { RefCell::new(Vec::new()) };
}

/// The state of a call: the tensors that it was given and those that it made. Number 0 stands for no tensor.
struct CallState {
    graph: Graph,
    tensors: Vec<Tensor>,
    /// The network of an objective's call, which outlives its [`Call`].
    network: Option<*const Network<'static>>,
    /// The current place in the plugin's source, if the plugin says where it is.
    place: Option<String>,
    /// An error of the host during the call, such as that of a learner which an objective applied.
    error: Option<Error>,
}

impl CallState {
    fn give(&mut self, tensor: Tensor) -> u32 {
        if self.tensors.len() == MAX_TENSORS {
            self.graph.fail("operation", format!("at most {MAX_TENSORS} tensors in a call"), "one more");
            return 0;
        }
        self.tensors.push(tensor);
        self.tensors.len() as u32
    }

    fn take(&self, number: u32) -> Option<Tensor> {
        self.tensors.get((number as usize).checked_sub(1)?).cloned()
    }

    /// The tensors with these numbers, or `None` if there was an error before or there is one now.
    fn take_all(&self, numbers: &[u32], op: &str) -> Option<Vec<Tensor>> {
        if self.graph.check().is_err() || self.error.is_some() {
            return None;
        }
        if numbers.len() > MAX_NODES {
            self.graph.fail(op, format!("at most {MAX_NODES} tensors"), numbers.len().to_string());
            return None;
        }
        if let Some(number) = numbers.iter().find(|&&n| self.take(n).is_none()) {
            self.graph.fail(op, "tensors of this call", format!("number {number}"));
            return None;
        }
        Some(numbers.iter().filter_map(|&n| self.take(n)).collect())
    }

    /// Assigns a number to `tensor`, or 0 if making it was an error.
    fn made(&mut self, tensor: Tensor) -> u32 {
        if self.graph.check().is_ok() { self.give(tensor) } else { 0 }
    }
}

/// A call in which a plugin traces. It is in progress until this is dropped.
pub struct Call<'a>(std::marker::PhantomData<&'a Network<'a>>);

impl<'a> Call<'a> {
    /// Begins a call that adds to `graph`.
    pub fn new(graph: &Graph, network: Option<&'a Network<'a>>) -> Self {
        let network = network.map(|network| std::ptr::from_ref(network).cast());
        graph.place(somewhere());
        let state = CallState { graph: graph.clone(), tensors: vec![], network, place: None, error: None };
        CALLS.with_borrow_mut(|calls| calls.push(state));
        Call(std::marker::PhantomData)
    }

    /// Begins a call that adds to the graph of the given tensors.
    pub fn on(some: &[Tensor], more: &[Tensor], network: Option<&'a Network<'a>>) -> Self {
        let graph = some.iter().chain(more).next().map(|tensor| tensor.graph().clone());
        Self::new(&graph.unwrap_or_default(), network)
    }

    /// Assigns numbers to tensors.
    pub fn give(&self, tensors: &[Tensor]) -> Vec<u32> {
        let given = current(|state| tensors.iter().map(|tensor| state.give(tensor.clone())).collect());
        given.unwrap_or_default()
    }

    /// Ends the call and returns the tensors with the numbers that the plugin `said`.
    ///
    /// # Errors
    /// The first error of tracing in the call, if there was one, because it explains the plugin's own error; otherwise
    /// the plugin's error, or a number that is not a tensor of this call.
    pub fn finish(self, said: Result<Vec<u32>>, what: &str) -> Result<Vec<Tensor>> {
        let numbers = said.as_deref().unwrap_or_default();
        let tensors = current(|state| state.take_all(numbers, what)).flatten();
        if let Some((error, graph)) = current(|state| (state.error.take(), state.graph.clone())) {
            error.map_or(Ok(()), Err)?;
            graph.check()?;
        }
        said?;
        Ok(tensors.unwrap_or_default())
    }

    /// Ends a call of an objective's `outer`, where `said` is the loss and the metrics by name. `wrong` makes an error
    /// from a description of what the plugin did wrong.
    ///
    /// # Errors
    /// The errors of [`Call::finish`], or an invalid name of a metric.
    pub fn finish_outer(
        self,
        said: Result<(u32, Vec<(String, u32)>)>,
        wrong: impl Fn(String) -> Error,
    ) -> Result<Outer> {
        let mut names = vec![];
        let said = said.and_then(|(loss, metrics)| {
            check_metrics(metrics.iter().map(|(name, _)| &**name)).map_err(&wrong)?;
            let mut numbers = vec![loss];
            for (name, number) in metrics {
                names.push(name);
                numbers.push(number);
            }
            Ok(numbers)
        });
        let mut tensors = self.finish(said, "outer")?.into_iter();
        let loss = tensors.next().ok_or_else(|| wrong("it gave no loss".into()))?;
        Ok(Outer { loss, metrics: names.into_iter().zip(tensors).collect() })
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let ended = CALLS.with_borrow_mut(Vec::pop);
        // Execution returns to the enclosing call, or to the host's own code.
        let outer = current(|_| somewhere()).flatten();
        if let Some(state) = ended {
            state.graph.place(outer);
        }
    }
}

/// The name of a learner's scope in the graph, for errors.
pub fn scope(learner: &str, function: &str) -> String {
    format!("learner `{learner}`, {function}")
}

/// The place of a plugin that does not say where it is. The graph's scopes name the plugin and the function.
fn somewhere() -> Option<String> {
    Some("the plugin's code".into())
}

/// Runs `with` on the innermost call's state. Returns `None` outside of calls.
fn current<T>(with: impl FnOnce(&mut CallState) -> T) -> Option<T> {
    CALLS.with_borrow_mut(|calls| calls.last_mut().map(with))
}

/// A call by native code of one of the contract's graph and network functions, while it traces. It is a value because
/// the code may run in another process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// Add an operation.
    Operation {
        /// Its number in the contract.
        op: u32,
        /// The operands.
        inputs: Vec<u32>,
        /// Integer attributes.
        integers: Vec<i64>,
        /// Floating-point attributes.
        numbers: Vec<f64>,
        /// The place in the plugin's source, if known.
        place: Option<String>,
    },
    /// The dimensions of a tensor.
    Shape {
        /// The tensor.
        tensor: u32,
    },
    /// Gradients of a scalar.
    Gradients {
        /// The scalar.
        loss: u32,
        /// The tensors that gradients are taken with respect to.
        wrt: Vec<u32>,
    },
    /// The network's outputs.
    Apply {
        /// The taught parameters φ.
        parameters: Vec<u32>,
        /// The observations, `[batch, …]`.
        observations: u32,
    },
    /// Log-probabilities of actions.
    LogProbability {
        /// The network's outputs.
        outputs: u32,
        /// The batch's actions.
        actions: u32,
    },
    /// The policy's entropy.
    Entropy {
        /// The network's outputs.
        outputs: u32,
    },
    /// The Kullback-Leibler divergence of two policies.
    Divergence {
        /// The outputs of the first policy.
        p: u32,
        /// The outputs of the second policy.
        q: u32,
    },
}

/// Answers a question in the innermost call on this thread, with one tensor, or with the dimensions or gradients.
pub fn answer(ask: Ask) -> Vec<u32> {
    match ask {
        Ask::Operation { op, inputs, integers, numbers, place } => {
            at(place);
            let made = operation(op, &inputs, &integers, &numbers);
            // The other functions of the C contract do not say where they are called.
            at(None);
            vec![made]
        }
        Ask::Shape { tensor } => {
            let shape = shape(tensor).unwrap_or_default();
            shape.into_iter().map(|d| u32::try_from(d).unwrap_or(u32::MAX)).collect()
        }
        Ask::Gradients { loss, wrt } => gradients(loss, &wrt),
        Ask::Apply { parameters, observations } => vec![network_apply(&parameters, observations)],
        Ask::LogProbability { outputs, actions } => vec![network_log_probability(outputs, actions)],
        Ask::Entropy { outputs } => vec![network_entropy(outputs)],
        Ask::Divergence { p, q } => vec![network_divergence(p, q)],
    }
}

/// Runs `with` like [`current`], for functions that may record an error at the plugin's current place.
fn tracing<T>(with: impl FnOnce(&mut CallState) -> T) -> Option<T> {
    current(|state| {
        state.graph.place(state.place.clone().or_else(somewhere));
        let made = with(state);
        // Later errors do not happen at this place.
        state.graph.place(somewhere());
        made
    })
}

/// Sets the current place in the plugin's source.
pub fn at(place: Option<String>) {
    current(|state| state.place = place);
}

/// Adds an operation and returns its result, or 0 after an error, which the call records.
pub fn operation(op: u32, inputs: &[u32], integers: &[i64], numbers: &[f64]) -> u32 {
    let added = tracing(|state| {
        let Some(op) = GraphOp::from_number(op) else {
            state.graph.fail("operation", "one of this host's operations", format!("number {op}"));
            return 0;
        };
        let name = format!("{op:?}").to_lowercase();
        let Some(inputs) = state.take_all(inputs, &name) else { return 0 };
        if integers.len() > MAX_RANK {
            state.graph.fail(name, format!("at most {MAX_RANK} integers"), integers.len().to_string());
            return 0;
        }
        if numbers.iter().any(|number| number.is_nan()) {
            state.graph.fail(name, "numbers", "NaN");
            return 0;
        }
        match apply(&state.graph, op, &inputs, integers, numbers) {
            Ok(tensor) => state.made(tensor),
            Err((expected, got)) => {
                state.graph.fail(name, expected, got);
                0
            }
        }
    });
    added.unwrap_or(0)
}

/// The dimensions of a tensor, or `None` after an error.
pub fn shape(tensor: u32) -> Option<Vec<usize>> {
    tracing(|state| Some(state.take_all(&[tensor], "shape")?[0].shape())).flatten()
}

/// The gradients of `loss`, or 0 for each after an error.
pub fn gradients(loss: u32, wrt: &[u32]) -> Vec<u32> {
    let made = tracing(|state| {
        let (loss, inputs) = (state.take_all(&[loss], "grad")?, state.take_all(wrt, "grad")?);
        let gradients = grad(&loss[0], &inputs);
        Some(gradients.into_iter().map(|tensor| state.made(tensor)).collect())
    });
    made.flatten().unwrap_or_else(|| vec![0; wrt.len()])
}

/// The learner's outputs, or 0 after an error.
pub fn network_apply(parameters: &[u32], observations: u32) -> u32 {
    let numbers: Vec<u32> = parameters.iter().copied().chain([observations]).collect();
    with_network("apply", &numbers, |network, tensors| {
        let Some((observations, parameters)) = tensors.split_last() else {
            return Err(Error::usage("no observations"));
        };
        let graph = observations.graph();
        let declared = network.learner.parameters().iter().zip(network.phi_mask);
        let expected: Vec<&Parameter> = declared.filter(|(_, taught)| **taught).map(|(p, _)| p).collect();
        if parameters.len() != expected.len() {
            graph.fail("apply", format!("{} parameters", expected.len()), parameters.len().to_string());
            return Ok(observations.clone());
        }
        // A learner must not be given tensors of the wrong shape: it may fail on them in a way that hides this error.
        for (tensor, p) in parameters.iter().zip(expected) {
            if tensor.shape() != p.shape {
                graph.fail(
                    "apply",
                    format!("`{}` of {:?}", p.name, p.shape),
                    format!("{:?}", tensor.shape()),
                );
                return Ok(observations.clone());
            }
        }
        network.apply(parameters, observations)
    })
}

/// The log-probability of actions, or 0 after an error.
pub fn network_log_probability(outputs: u32, actions: u32) -> u32 {
    with_network("log_probability", &[outputs, actions], |network, t| {
        Ok(network.policy.log_prob(&t[0], &t[1]))
    })
}

/// The policy's entropy, or 0 after an error.
pub fn network_entropy(outputs: u32) -> u32 {
    with_network("entropy", &[outputs], |network, t| Ok(network.policy.entropy(&t[0])))
}

/// The divergence of two policies, or 0 after an error.
pub fn network_divergence(p: u32, q: u32) -> u32 {
    with_network("divergence", &[p, q], |network, t| Ok(network.policy.divergence(&t[0], &t[1])))
}

/// Runs `compute` with the network while no state is borrowed: the learner may be a plugin, whose calls nest in this
/// one.
fn with_network(
    what: &str,
    numbers: &[u32],
    compute: impl FnOnce(&Network<'_>, &[Tensor]) -> Result<Tensor>,
) -> u32 {
    let given = tracing(|state| {
        let network = state.network;
        if network.is_none() {
            state.graph.fail(what, "an objective's call", "a learner's");
        }
        Some((network?, state.take_all(numbers, what)?))
    });
    let Some((network, tensors)) = given.flatten() else { return 0 };
    current(|state| state.graph.place(state.place.clone()));
    // SAFETY: `Call::new` borrowed the network for as long as the state exists.
    let result = compute(unsafe { &*network }, &tensors);
    let number = tracing(|state| match result {
        Ok(tensor) => state.made(tensor),
        Err(error) => {
            state.error.get_or_insert(error);
            0
        }
    });
    number.unwrap_or(0)
}

/// Says why the last function returned 0, for loaders that end the plugin's call at the first error.
pub fn mistake() -> String {
    let words = current(|state| match (&state.error, state.graph.check()) {
        (Some(error), _) => error.to_string(),
        (None, Err(error)) => error.to_string(),
        (None, Ok(())) => "a tensor of another call".into(),
    });
    words.unwrap_or_else(|| "tensors exist only while the host traces a learner or an objective".into())
}

/// Records a panic of the host as the current call's error, so that the plugin is not blamed for it.
pub fn panicked(panic: &(dyn Any + Send)) {
    let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    let words = words.unwrap_or("no message");
    current(|state| {
        let fault =
            format!("internal fault of potstill while a plugin was tracing: {words}. Please report it");
        state.error.get_or_insert(Error::Failed(fault));
    });
}

/// What was expected and what was given.
type Mismatch = (String, String);

fn apply(
    graph: &Graph,
    op: GraphOp,
    inputs: &[Tensor],
    integers: &[i64],
    numbers: &[f64],
) -> std::result::Result<Tensor, Mismatch> {
    use GraphOp as G;
    let counted = |tensors: usize, ints: usize, nums: usize| {
        let got = (inputs.len(), integers.len(), numbers.len());
        match got == (tensors, ints, nums) {
            true => Ok(()),
            false => Err((
                format!("{tensors} tensors, {ints} integers, {nums} numbers"),
                format!("{}, {}, {}", got.0, got.1, got.2),
            )),
        }
    };
    let size = |value: i64| {
        usize::try_from(value).map_err(|_| ("a length of 0 or more".to_owned(), value.to_string()))
    };
    let shape = || integers.iter().map(|&d| size(d)).collect::<std::result::Result<Vec<usize>, _>>();
    let axis = |value: i64| isize::try_from(value).map_err(|_| ("an axis".to_owned(), value.to_string()));
    let one = |nums: usize| counted(1, 0, nums).map(|()| &inputs[0]);
    let two = || counted(2, 0, 0).map(|()| (&inputs[0], &inputs[1]));
    let window = || -> std::result::Result<[usize; 3], Mismatch> {
        counted(1, 3, 0)?;
        Ok([size(integers[0])?, size(integers[1])?, size(integers[2])?])
    };
    Ok(match op {
        G::Constant => {
            counted(0, 0, 1)?;
            graph.constant(numbers[0])
        }
        G::Values => graph.values(numbers, &shape()?),
        G::Indices => {
            let index = |&v: &f64| match v.fract() == 0.0 && (0.0..4e9).contains(&v) {
                true => Ok(v as u32),
                false => Err(("whole numbers from 0".to_owned(), v.to_string())),
            };
            let indices = numbers.iter().map(index).collect::<std::result::Result<Vec<u32>, _>>()?;
            graph.indices(&indices, &shape()?)
        }
        G::Negate => one(0).map(|x| -x)?,
        G::Absolute => one(0)?.abs(),
        G::Square => one(0)?.square(),
        G::SquareRoot => one(0)?.sqrt(),
        G::Reciprocal => one(0)?.recip(),
        G::Exponential => one(0)?.exp(),
        G::Logarithm => one(0)?.log(),
        G::Tanh => one(0)?.tanh(),
        G::Sigmoid => one(0)?.sigmoid(),
        G::Relu => one(0)?.relu(),
        G::Gelu => one(0)?.gelu(),
        G::ErrorFunction => one(0)?.erf(),
        G::Sign => one(0)?.sign(),
        G::Power => one(1)?.powf(numbers[0]),
        G::Add => two().map(|(a, b)| a + b)?,
        G::Sub => two().map(|(a, b)| a - b)?,
        G::Mul => two().map(|(a, b)| a * b)?,
        G::Div => two().map(|(a, b)| a / b)?,
        G::Minimum => two().map(|(a, b)| a.min(b))?,
        G::Maximum => two().map(|(a, b)| a.max(b))?,
        G::Less => two().map(|(a, b)| a.less(b))?,
        G::LessEqual => two().map(|(a, b)| a.less_equal(b))?,
        G::Equal => two().map(|(a, b)| a.equal(b))?,
        G::Select => {
            counted(3, 0, 0)?;
            inputs[0].select(&inputs[1], &inputs[2])
        }
        G::Sum | G::Mean | G::MaximumOver => {
            counted(1, integers.len(), 1)?;
            let x = &inputs[0];
            let axes: Vec<isize> = match integers.is_empty() {
                true => (0..x.shape().len() as isize).collect(),
                false => integers.iter().map(|&a| axis(a)).collect::<std::result::Result<_, _>>()?,
            };
            let reduced = match op {
                G::Sum => x.sum_keep(&axes),
                G::Mean => x.mean_keep(&axes),
                _ => x.max_keep(&axes),
            };
            if numbers[0] != 0.0 || graph.check().is_err() {
                reduced
            } else {
                let rank = x.shape().len() as isize;
                let gone: Vec<isize> = axes.iter().map(|&a| if a < 0 { a + rank } else { a }).collect();
                let left = reduced.shape().into_iter().enumerate();
                let left = left.filter(|(i, _)| !gone.contains(&(*i as isize))).map(|(_, d)| d);
                reduced.reshape(&left.collect::<Vec<_>>())
            }
        }
        G::LogSoftmax => counted(1, 1, 0).and_then(|()| Ok(inputs[0].log_softmax(axis(integers[0])?)))?,
        G::Softmax => counted(1, 1, 0).and_then(|()| Ok(inputs[0].softmax(axis(integers[0])?)))?,
        G::LayerNorm => one(1)?.layer_norm(numbers[0]),
        G::Matmul => two().map(|(a, b)| a.matmul(b))?,
        G::Conv2d => {
            counted(2, 2, 0)?;
            inputs[0].conv2d(&inputs[1], size(integers[0])?, size(integers[1])?)
        }
        G::AveragePool => {
            window().map(|[kernel, stride, padding]| inputs[0].avg_pool2d(kernel, stride, padding))?
        }
        G::MaximumPool => {
            window().map(|[kernel, stride, padding]| inputs[0].max_pool2d(kernel, stride, padding))?
        }
        G::Gather => counted(2, 1, 0).and_then(|()| Ok(inputs[0].gather(axis(integers[0])?, &inputs[1])))?,
        G::ScatterAdd => {
            counted(2, 2, 0)?;
            inputs[0].scatter(axis(integers[0])?, &inputs[1], size(integers[1])?)
        }
        G::OneHot => counted(1, 1, 0).and_then(|()| Ok(inputs[0].one_hot(size(integers[0])?)))?,
        G::Reshape => counted(1, integers.len(), 0).and_then(|()| Ok(inputs[0].reshape(&shape()?)))?,
        G::Permute => counted(1, integers.len(), 0).and_then(|()| Ok(inputs[0].permute(&shape()?)))?,
        G::Broadcast => counted(1, integers.len(), 0).and_then(|()| Ok(inputs[0].broadcast_to(&shape()?)))?,
        G::Slice => {
            counted(1, 3, 0)?;
            inputs[0].slice(axis(integers[0])?, size(integers[1])?, size(integers[2])?)
        }
        G::Pad => {
            counted(1, 3, 0)?;
            inputs[0].pad(axis(integers[0])?, size(integers[1])?, size(integers[2])?)
        }
        G::Concat => {
            counted(inputs.len(), 1, 0)?;
            let tensors: Vec<&Tensor> = inputs.iter().collect();
            let joined = Tensor::concat(&tensors, axis(integers[0])?);
            joined.ok_or(("at least one tensor".to_owned(), "none".to_owned()))?
        }
        G::StopGradient => one(0)?.stop_gradient(),
        G::Variable => one(0)?.variable(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_integer() -> impl Strategy<Value = i64> {
        prop_oneof![
            4 => -3i64..6,
            1 => prop::sample::select(vec![i64::MIN, i64::MIN + 1, i64::MAX, 1 << 31, 1 << 32, 1 << 33, -1 << 32]),
        ]
    }

    fn any_number() -> impl Strategy<Value = f64> {
        prop::sample::select(vec![0.0, 1.0, 2.0, -1.0, 0.5, 3.0, 4e9, f64::MAX, f64::INFINITY, f64::NAN])
    }

    /// An operation by number, with its inputs as positions among the existing tensors, and its integers and numbers.
    fn any_operation() -> impl Strategy<Value = (u32, Vec<u32>, Vec<i64>, Vec<f64>)> {
        let inputs = prop::collection::vec(0u32..40, 0..4);
        (
            0u32..130,
            inputs,
            prop::collection::vec(any_integer(), 0..5),
            prop::collection::vec(any_number(), 0..7),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever numbers a plugin sends, the call ends with a graph or with one error.
        #[test]
        fn no_numbers_make_the_host_panic(operations in prop::collection::vec(any_operation(), 1..60)) {
            let fresh = || {
                let graph = Graph::new();
                let given = [
                    graph.input("scalar", &[]),
                    graph.input("vector", &[3]),
                    graph.input("matrix", &[2, 3]),
                    graph.rows("image", &[2, 3, 5, 4]),
                    graph.int_rows("index", &[2, 1]),
                    graph.input("nothing", &[0, 3]),
                ];
                let call = Call::new(&graph, None);
                (call.give(&given).len() as u32, call, graph)
            };
            let (mut made, mut call, mut graph) = fresh();
            for (op, inputs, integers, numbers) in operations {
                let inputs: Vec<u32> = inputs.iter().map(|i| i % (made + 2)).collect();
                let result = operation(op, &inputs, &integers, &numbers);
                let differentiated = result > 0 && shape(result).is_some_and(|s| s.is_empty());
                if differentiated {
                    made += gradients(result, &[1, 2, 3, 4]).len() as u32;
                }
                made += u32::from(result > 0);
                // After an error nothing more is added, so begin again.
                if let Err(error) = graph.check() {
                    prop_assert_eq!(operation(12, &[1], &[], &[]), 0);
                    prop_assert!(error.to_string().chars().count() < 1200, "{}", error);
                    drop(call);
                    (made, call, graph) = fresh();
                }
            }
        }
    }
}

//! The graph as plugins of every loader write it: operations by number, tensors by number, every argument checked.
//!
//! A [`Call`] stands for one call of a plugin, on the thread that makes it. Inside an objective's call the learner may be
//! called, which may be a plugin itself: calls nest, and each knows its own tensors only.
use std::cell::RefCell;

use potstill_plugin_api::abi::GraphOp;

use crate::engine::objective::Network;
use crate::error::{Error, Result};
use crate::graph::{Graph, Tensor, grad};

thread_local! {
    /// The calls that are under way on this thread, the innermost last.
    static FRAMES: RefCell<Vec<Frame>> = const { RefCell::new(Vec::new()) };
}

/// What a call knows: the tensors that it was given and those that it made. Number 0 is none.
struct Frame {
    graph: Graph,
    tensors: Vec<Tensor>,
    /// The network of an objective's call, which outlives its [`Call`].
    network: Option<*const Network<'static>>,
    /// Where in the plugin's source it is, as far as the plugin says.
    place: Option<String>,
    /// An error of the host during the call: of a learner that an objective applied, say.
    error: Option<Error>,
}

impl Frame {
    fn give(&mut self, tensor: Tensor) -> u32 {
        self.tensors.push(tensor);
        self.tensors.len() as u32
    }

    fn take(&self, number: u32) -> Option<Tensor> {
        self.tensors.get((number as usize).checked_sub(1)?).cloned()
    }

    /// What numbers stand for, unless there was a mistake before or there is one now.
    fn take_all(&self, numbers: &[u32], op: &str) -> Option<Vec<Tensor>> {
        if self.graph.check().is_err() || self.error.is_some() {
            return None;
        }
        let tensors: Option<Vec<Tensor>> = numbers.iter().map(|&n| self.take(n)).collect();
        if tensors.is_none() {
            self.graph.fail(op, "tensors of this call", format!("numbers {numbers:?}"));
        }
        tensors
    }

    /// Hands out `tensor`, 0 if making it was a mistake.
    fn made(&mut self, tensor: Tensor) -> u32 {
        if self.graph.check().is_ok() { self.give(tensor) } else { 0 }
    }
}

/// A call of a plugin that traces, from its beginning to its end.
pub(crate) struct Call<'a>(std::marker::PhantomData<&'a Network<'a>>);

impl<'a> Call<'a> {
    /// Begins a call that adds to `graph`.
    pub(crate) fn new(graph: &Graph, network: Option<&'a Network<'a>>) -> Self {
        let network = network.map(|network| std::ptr::from_ref(network).cast());
        let frame = Frame { graph: graph.clone(), tensors: vec![], network, place: None, error: None };
        FRAMES.with_borrow_mut(|frames| frames.push(frame));
        Call(std::marker::PhantomData)
    }

    /// Begins a call on the graph of the tensors it is given.
    pub(crate) fn on(some: &[Tensor], more: &[Tensor], network: Option<&'a Network<'a>>) -> Self {
        let graph = some.iter().chain(more).next().map(|tensor| tensor.graph().clone());
        Self::new(&graph.unwrap_or_default(), network)
    }

    /// Hands out tensors.
    pub(crate) fn give(&self, tensors: &[Tensor]) -> Vec<u32> {
        let given = current(|frame| tensors.iter().map(|tensor| frame.give(tensor.clone())).collect());
        given.unwrap_or_default()
    }

    /// Ends the call: what `numbers` of it stand for.
    ///
    /// # Errors
    /// The first mistake of the call; a number that means nothing.
    pub(crate) fn finish(self, numbers: &[u32], what: &str) -> Result<Vec<Tensor>> {
        let tensors = current(|frame| frame.take_all(numbers, what)).flatten();
        let ended = current(|frame| (frame.error.take(), frame.graph.clone()));
        match ended {
            Some((Some(error), _)) => Err(error),
            Some((None, graph)) => {
                graph.check()?;
                Ok(tensors.unwrap_or_default())
            }
            None => Ok(vec![]),
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        FRAMES.with_borrow_mut(Vec::pop);
    }
}

/// The innermost call's frame; none outside of calls.
fn current<T>(with: impl FnOnce(&mut Frame) -> T) -> Option<T> {
    FRAMES.with_borrow_mut(|frames| frames.last_mut().map(with))
}

/// As [`current`], for what may be a mistake of the plugin at the place where it is.
fn tracing<T>(with: impl FnOnce(&mut Frame) -> T) -> Option<T> {
    current(|frame| {
        frame.graph.place(frame.place.clone());
        let made = with(frame);
        // Whatever fails next is not at this place.
        frame.graph.place(None);
        made
    })
}

/// The plugin is at this place of its source until it says otherwise.
pub(crate) fn at(place: Option<String>) {
    current(|frame| frame.place = place);
}

/// Adds an operation; 0 after a mistake, which the call keeps.
pub(crate) fn operation(op: u32, inputs: &[u32], integers: &[i64], numbers: &[f64]) -> u32 {
    let added = tracing(|frame| {
        let Some(op) = GraphOp::from_number(op) else {
            frame.graph.fail("operation", "one of this host's operations", format!("number {op}"));
            return 0;
        };
        let name = format!("{op:?}").to_lowercase();
        let Some(inputs) = frame.take_all(inputs, &name) else { return 0 };
        match apply(&frame.graph, op, &inputs, integers, numbers) {
            Ok(tensor) => frame.made(tensor),
            Err((expected, got)) => {
                frame.graph.fail(name, expected, got);
                0
            }
        }
    });
    added.unwrap_or(0)
}

/// Dimensions of a tensor; none after a mistake.
pub(crate) fn shape(tensor: u32) -> Option<Vec<usize>> {
    tracing(|frame| Some(frame.take_all(&[tensor], "shape")?[0].shape())).flatten()
}

/// Gradients, 0 for each after a mistake.
pub(crate) fn gradients(loss: u32, wrt: &[u32]) -> Vec<u32> {
    let made = tracing(|frame| {
        let (loss, inputs) = (frame.take_all(&[loss], "grad")?, frame.take_all(wrt, "grad")?);
        let gradients = grad(&loss[0], &inputs);
        Some(gradients.into_iter().map(|tensor| frame.made(tensor)).collect())
    });
    made.flatten().unwrap_or_else(|| vec![0; wrt.len()])
}

/// The learner's outputs; 0 after a mistake.
pub(crate) fn network_apply(parameters: &[u32], observations: u32) -> u32 {
    let numbers: Vec<u32> = parameters.iter().copied().chain([observations]).collect();
    with_network("apply", &numbers, |network, tensors| {
        let expected = network.taught.iter().filter(|taught| **taught).count();
        match tensors.split_last() {
            Some((observations, parameters)) if parameters.len() == expected => {
                network.apply(parameters, observations)
            }
            Some((observations, parameters)) => {
                let got = parameters.len().to_string();
                observations.graph().fail("apply", format!("{expected} parameters"), got);
                Ok(observations.clone())
            }
            None => Err(Error::usage("no observations")),
        }
    })
}

/// The log-probability of actions; 0 after a mistake.
pub(crate) fn network_log_probability(outputs: u32, actions: u32) -> u32 {
    with_network("log_probability", &[outputs, actions], |network, t| {
        Ok(network.policy.log_prob(&t[0], &t[1]))
    })
}

/// The policy's entropy; 0 after a mistake.
pub(crate) fn network_entropy(outputs: u32) -> u32 {
    with_network("entropy", &[outputs], |network, t| Ok(network.policy.entropy(&t[0])))
}

/// The divergence of two policies; 0 after a mistake.
pub(crate) fn network_divergence(p: u32, q: u32) -> u32 {
    with_network("divergence", &[p, q], |network, t| Ok(network.policy.divergence(&t[0], &t[1])))
}

/// Computes with the network while nothing of this call is borrowed: a learner may be a plugin whose calls nest here.
fn with_network(
    what: &str,
    numbers: &[u32],
    compute: impl FnOnce(&Network<'_>, &[Tensor]) -> Result<Tensor>,
) -> u32 {
    let given = tracing(|frame| {
        let network = frame.network;
        if network.is_none() {
            frame.graph.fail(what, "an objective's call", "a learner's");
        }
        Some((network?, frame.take_all(numbers, what)?))
    });
    let Some((network, tensors)) = given.flatten() else { return 0 };
    current(|frame| frame.graph.place(frame.place.clone()));
    // SAFETY: `Call::new` borrowed it for as long as the frame is there.
    let result = compute(unsafe { &*network }, &tensors);
    let number = tracing(|frame| match result {
        Ok(tensor) => frame.made(tensor),
        Err(error) => {
            frame.error.get_or_insert(error);
            0
        }
    });
    number.unwrap_or(0)
}

/// Why the last function gave 0: the mistake in words. For loaders that end the plugin's call at once.
pub(crate) fn mistake() -> String {
    let words = current(|frame| match (&frame.error, frame.graph.check()) {
        (Some(error), _) => error.to_string(),
        (None, Err(error)) => error.to_string(),
        (None, Ok(())) => "a tensor of another call".into(),
    });
    words.unwrap_or_else(|| "tensors exist only while the host traces a learner or an objective".into())
}

/// What was expected, and what there was.
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

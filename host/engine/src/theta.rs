//! What the outer loop trains (θ, the encoder ξ and the critic) and how it is represented in memory and in files.
//!
//! This is the only file that knows three rules:
//! - A part of θ that its objective declares `positive` is trained as its logarithm (`log_inner_lr`). A dataset file
//!   holds its value (`inner_lr`); a checkpoint holds the logarithm.
//! - A part that is not `learned` keeps its initial value.
//! - The labels `y` `[k, 2n]` of a Gaussian policy are trained as means `[k, n]` and one row `log_std` `[1, n]`, which
//!   all instances share.
use potstill_plugin_api::{MetaInit, MetaParameter};
use rand_distr::{Distribution, StandardNormal};

use crate::error::{Error, Result};
use crate::graph::{Graph, Tensor};
use crate::learner::Parameter;
use crate::objective::Objective;
use crate::policy::{LOG_STD, Policy};
use crate::random::stream;
use crate::student::{Dimensions, Student};

/// The prefix of ξ's parameters in tensor names.
pub const ENCODER: &str = "encoder.";
/// The prefix of the critic's parameters in tensor names.
const CRITIC: &str = "critic.";
/// The prefix, in tensor names, of the moments that normalize observations.
pub const NORMALIZER: &str = "normalizer";
/// The prefix, in tensor names, of the moments that normalize rewards.
pub const REWARD_NORMALIZER: &str = "reward_normalizer";

/// A tensor with its name, as files hold it.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// The name in the file, e.g. `x` or `encoder.0.weight`.
    pub name: String,
    /// The dimensions; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements, row-major, as many as `shape` has.
    pub data: Vec<f32>,
}

impl NamedTensor {
    /// Creates a tensor of `shape` from `data`, row-major.
    ///
    /// # Errors
    /// [`Error::Usage`]: `data` does not have as many elements as `shape`.
    pub fn new(name: impl Into<String>, shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self> {
        let tensor = NamedTensor { name: name.into(), shape: shape.into(), data };
        match tensor.shape.iter().product::<usize>() == tensor.data.len() {
            true => Ok(tensor),
            false => Err(Error::usage(format!(
                "tensor `{}` of shape {:?} cannot hold {} values",
                tensor.name,
                tensor.shape,
                tensor.data.len()
            ))),
        }
    }

    /// Creates a scalar, whose shape is `[]`.
    pub fn scalar(name: impl Into<String>, value: f32) -> Self {
        NamedTensor { name: name.into(), shape: vec![], data: vec![value] }
    }
}

/// Translates the name of a checkpoint's tensor to the current one. Older checkpoints end prefixes with `/`, and call
/// the moments of observations and rewards `observed` and `rewarded`.
pub fn current_name(name: &str) -> String {
    const RENAMED: [(&str, &str); 4] = [
        ("encoder/", ENCODER),
        ("critic/", CRITIC),
        ("observed/", "normalizer."),
        ("rewarded/", "reward_normalizer."),
    ];
    let (moment, name) = match name.split_once('/') {
        Some((moment @ ("first_moment" | "second_moment"), rest)) => (format!("{moment}/"), rest),
        _ => (String::new(), name),
    };
    let renamed = RENAMED.iter().find_map(|(old, new)| Some(format!("{new}{}", name.strip_prefix(old)?)));
    moment + &renamed.unwrap_or_else(|| name.to_owned())
}

/// One part of θ.
#[derive(Clone, Debug, PartialEq)]
pub struct Part(MetaParameter);

impl From<MetaParameter> for Part {
    fn from(declared: MetaParameter) -> Self {
        Part(declared)
    }
}

impl Part {
    /// The name by which objectives and dataset files know it, e.g. `inner_lr`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// Whether the outer loop learns it; otherwise it keeps its initial value.
    pub fn learned(&self) -> bool {
        self.0.learned
    }

    /// The name of the part in its trained form, e.g. `log_inner_lr`.
    fn trained_name(&self) -> String {
        if self.0.positive { format!("log_{}", self.0.name) } else { self.0.name.clone() }
    }

    /// Converts the part's value to its trained form.
    fn to_trained(&self, value: Vec<f32>) -> Vec<f32> {
        if self.0.positive { value.into_iter().map(f32::ln).collect() } else { value }
    }

    /// Converts the trained form to the part's value.
    pub fn to_value(&self, trained: Vec<f32>) -> Vec<f32> {
        if self.0.positive { trained.into_iter().map(f32::exp).collect() } else { trained }
    }

    /// The trained form at the start of a run with `seed`.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let size: usize = self.0.shape.iter().product();
        self.to_trained(match self.0.init {
            MetaInit::Constant(value) => vec![value as f32; size],
            MetaInit::Normal(std) => {
                let mut stream = stream(seed, &self.0.name, 0);
                let normal = |_| -> f32 { StandardNormal.sample(&mut stream) };
                (0..size).map(normal).map(|v| v * std as f32).collect()
            }
            MetaInit::Labels => {
                let classes = self.0.shape.last().copied().unwrap_or(1);
                (0..size).map(|i| f32::from(u8::from(i / classes % classes == i % classes))).collect()
            }
        })
    }

    /// The part as an objective reads it, from its trained form.
    fn read(&self, trained: &Tensor) -> Tensor {
        let tensor = if self.0.learned { trained.clone() } else { trained.stop_gradient() };
        if self.0.positive { tensor.exp() } else { tensor }
    }
}

/// θ: its parts, and how they are trained and saved.
#[derive(Clone, Debug, PartialEq)]
pub struct Theta {
    /// The parts, in the order in which programs take them.
    pub parts: Vec<Part>,
    objective: String,
    /// The position of `log_std`, right after `y`, if the policy is Gaussian.
    log_std: Option<usize>,
}

impl Theta {
    /// The parts that `objective` declares, with the labels of a Gaussian policy split into `y` and `log_std`.
    pub fn new(objective: &dyn Objective, d: &Dimensions) -> Self {
        let mut parts = objective.theta().to_vec();
        let mut log_std = None;
        if let (Policy::Gaussian(n), Some(y)) = (d.policy, parts.iter().position(|part| part.name == "y")) {
            let part = |name: &str, shape: &[usize]| MetaParameter {
                name: name.into(),
                shape: shape.to_vec(),
                ..parts[y].clone()
            };
            let means = part("y", &[d.k, n]);
            // The published code draws this label from N(0, 1) too. Here it starts at a standard deviation of 1, so
            // that every seed starts alike.
            let row = MetaParameter { init: MetaInit::Constant(0.0), ..part(LOG_STD, &[1, n]) };
            parts.splice(y..=y, [means, row]);
            log_std = Some(y + 1);
        }
        let parts = parts.into_iter().map(Part).collect();
        Theta { parts, objective: objective.id().to_owned(), log_std }
    }

    /// The trained form of all parts at the start of a run with `seed`. η starts at `inner_lr` if that is given.
    pub fn initial(&self, seed: u64, inner_lr: Option<f32>) -> Vec<Vec<f32>> {
        let start = |part: &Part| match inner_lr.filter(|_| part.name() == "inner_lr") {
            Some(rate) => part.to_trained(vec![rate]),
            None => part.initial(seed),
        };
        self.parts.iter().map(start).collect()
    }

    /// Adds inputs for the trained form of all parts to `graph`.
    pub fn inputs(&self, graph: &Graph) -> Vec<Tensor> {
        self.parts.iter().map(|part| graph.input(part.trained_name(), part.shape())).collect()
    }

    /// θ as its objective reads it, from the trained form.
    pub fn read(&self, trained: &[Tensor]) -> Vec<Tensor> {
        let mut theta: Vec<Tensor> =
            self.parts.iter().zip(trained).map(|(part, tensor)| part.read(tensor)).collect();
        if let Some(at) = self.log_std {
            let log_std = theta.remove(at);
            let all = log_std.broadcast_to(&theta[at - 1].shape());
            let labels = Tensor::concat(&[&theta[at - 1], &all], -1);
            theta.splice(at - 1..at, labels);
        }
        theta
    }

    /// The values of θ as a dataset file holds them, from the trained form.
    pub fn to_values(&self, trained: impl IntoIterator<Item = Vec<f32>>) -> Vec<NamedTensor> {
        let value = |(part, data): (&Part, Vec<f32>)| NamedTensor {
            name: part.name().to_owned(),
            shape: part.shape().to_vec(),
            data: part.to_value(data),
        };
        self.parts.iter().zip(trained).map(value).collect()
    }

    /// The trained form of θ, from the values in a dataset file. `find` looks up a part by its name.
    ///
    /// # Errors
    /// [`Error::Usage`]: the file lacks a part, or has it with another shape.
    pub fn from_values(&self, find: impl Fn(&str) -> Option<NamedTensor>) -> Result<Vec<NamedTensor>> {
        let trained = |part: &Part| match find(part.name()) {
            Some(NamedTensor { shape, data, .. }) if shape == part.shape() => {
                Ok(NamedTensor { name: part.trained_name(), shape, data: part.to_trained(data) })
            }
            _ => Err(Error::usage(format!(
                "the dataset has no `{}` of shape {:?}, which objective `{}` needs",
                part.name(),
                part.shape(),
                self.objective
            ))),
        };
        self.parts.iter().map(trained).collect()
    }
}

/// Whether the tensors of a dataset file include an encoder.
pub fn has_encoder(tensors: &[NamedTensor]) -> bool {
    tensors.iter().any(|tensor| tensor.name.starts_with(ENCODER))
}

/// Reads ξ from the tensors of a dataset file. Returns its parameters in the order of those of `student`, and the
/// number of layers they cover.
///
/// # Errors
/// [`Error::Usage`]: the encoder belongs to another learner.
pub fn encoder_from(tensors: &[NamedTensor], student: &Student) -> Result<(Vec<NamedTensor>, usize)> {
    let encoder: Vec<_> =
        tensors.iter().filter_map(|tensor| Some((tensor.name.strip_prefix(ENCODER)?, tensor))).collect();
    let found = |p: &Parameter| encoder.iter().find(|(name, t)| *name == p.name && t.shape == p.shape);
    let layers = student.parameters().iter().filter(|p| found(p).is_some()).map(|p| p.layer + 1).max();
    let layers = layers.unwrap_or(0);
    let expected = student.parameters().iter().filter(|p| p.layer < layers);
    let own: Option<Vec<_>> = expected.map(|p| found(p).map(|(_, t)| NamedTensor::clone(t))).collect();
    match own.filter(|own| own.len() == encoder.len()) {
        Some(own) => Ok((own, layers)),
        None => Err(Error::usage(
            "the dataset's encoder does not fit this learner: it works only with the learner it was trained with",
        )),
    }
}

/// The order of everything that is trained: θ, ξ, then the critic's parameters. Programs take and return tensors in
/// this order.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// θ, whose parts come first.
    pub theta: Theta,
    /// The names of the tensors, e.g. `x`, `y`, `log_inner_lr`, `encoder.…`, `critic.…`.
    pub names: Vec<String>,
    /// Dimensions.
    pub shapes: Vec<Vec<usize>>,
    /// Whether each tensor is learned or keeps its initial value.
    pub learned: Vec<bool>,
    /// How many tensors belong to θ and ξ, which descend the objective's loss. The rest are the critic's.
    pub meta_learned: usize,
}

impl Layout {
    /// The layout for θ, a student, and a critic if there is one.
    pub fn new<'a>(theta: Theta, student: &Student, critic: impl Into<Option<&'a Student>>) -> Self {
        let mut layout = Layout {
            names: theta.parts.iter().map(Part::trained_name).collect(),
            shapes: theta.parts.iter().map(|part| part.shape().to_vec()).collect(),
            learned: theta.parts.iter().map(Part::learned).collect(),
            meta_learned: 0,
            theta,
        };
        let mut add = |prefix: &str, p: &Parameter| {
            layout.names.push(format!("{prefix}{}", p.name));
            layout.shapes.push(p.shape.clone());
            layout.learned.push(true);
        };
        student.encoder().for_each(|p| add(ENCODER, p));
        critic.into().into_iter().flat_map(Student::parameters).for_each(|p| add(CRITIC, p));
        layout.meta_learned = layout.theta.parts.len() + student.encoder().count();
        layout
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nothing is trained; θ is never empty.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Adds inputs for all tensors to `graph`, with `prefix` before their names.
    pub fn inputs(&self, graph: &Graph, prefix: &str) -> Vec<Tensor> {
        let inputs = self.names.iter().zip(&self.shapes);
        inputs.map(|(name, shape)| graph.input(format!("{prefix}{name}"), shape)).collect()
    }

    /// Adds inputs for ξ to `graph`.
    pub fn encoder_inputs(student: &Student, graph: &Graph) -> Vec<Tensor> {
        student.encoder().map(|p| graph.input(format!("{ENCODER}{}", p.name), &p.shape)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(positive: bool, learned: bool, init: MetaInit) -> Part {
        Part(MetaParameter { name: "rate".into(), shape: vec![3], init, learned, positive })
    }

    #[test]
    fn positive_parts_are_trained_as_logarithms() {
        let part = part(true, true, MetaInit::Constant(0.02));
        assert_eq!(part.trained_name(), "log_rate");
        assert_eq!(part.initial(0), [0.02f32.ln(); 3]);
        assert_eq!(part.to_value(part.to_trained(vec![1.0, 2.0, 0.5])), [1.0, 2.0, 0.5]);
    }

    #[test]
    fn fixed_parts_have_no_gradient() {
        let graph = Graph::new();
        let trained = graph.input("rate", &[3]);
        for learned in [true, false] {
            let read = part(false, learned, MetaInit::Constant(1.0)).read(&trained);
            let gradient = crate::graph::grad(&read.sum(), std::slice::from_ref(&trained)).remove(0);
            let plan = crate::execute::Plan::compile(&graph, &[gradient]).unwrap();
            let device = crate::execute::Device::cpu(1);
            let outputs = device.run(&plan, &[device.tensor(&[5.0; 3], &[3])]);
            assert_eq!(device.read(&outputs[0]), [f32::from(u8::from(learned)); 3]);
        }
    }

    #[test]
    fn names_of_older_checkpoints() {
        for (old, new) in [
            ("x", "x"),
            ("first_moment/log_inner_lr", "first_moment/log_inner_lr"),
            ("encoder/layers.0.weight", "encoder.layers.0.weight"),
            ("second_moment/critic/layers.0.bias", "second_moment/critic.layers.0.bias"),
            ("observed/mean", "normalizer.mean"),
            ("rewarded/count", "reward_normalizer.count"),
        ] {
            assert_eq!(current_name(old), new);
            assert_eq!(current_name(new), new);
        }
    }
}

//! The graphs of one meta-epoch, traced from a learner and an objective and compiled once.
use super::learner::{Learner, Parameter, declare};
use super::objective::{Batch, Inner, Network, Objective, Theta};
use super::optimiser::{Adam, clip_by_norm};
use crate::execute::{Device, Plan, Tensor as Numbers};
use crate::graph::{Graph, GraphError, Tensor, grad};

/// Sizes that all programs share.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimensions {
    /// Instances of θ.
    pub k: usize,
    /// Dimensions of an observation.
    pub observation: Vec<usize>,
    /// Outputs of the policy.
    pub outputs: usize,
    /// l: layers before this one are the encoder ξ (0: full distillation; all: direct PPO).
    pub encoder_layers: usize,
}

impl Dimensions {
    fn batch(&self, rows: usize) -> Vec<usize> {
        std::iter::once(rows).chain(self.observation.iter().copied()).collect()
    }
}

/// How the outer loop learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpdateRule {
    /// Adam's constants.
    pub adam: Adam,
    /// Largest norm of the gradient.
    pub max_grad_norm: f64,
    /// Clip θ, ξ and the critic by their joint norm (as published) instead of θ with ξ and the critic apart.
    pub joint_norm: bool,
    /// Weight of the critic's loss (matters under a joint norm only).
    pub value_coefficient: f64,
}

/// A learner with its declared parameters, split into ξ and φ.
pub struct Student {
    /// The network.
    pub learner: Box<dyn Learner>,
    /// All parameters, in order of declaration.
    pub parameters: Vec<Parameter>,
    /// Which belong to φ: taught by the inner step, fresh every meta-epoch.
    pub taught: Vec<bool>,
}

impl Student {
    /// Declares `learner`'s parameters.
    ///
    /// # Errors
    /// The learner's tracing error.
    pub fn new(learner: Box<dyn Learner>, d: &Dimensions) -> Result<Self, GraphError> {
        let parameters = declare(&*learner, &d.observation, d.outputs)?;
        let taught = parameters.iter().map(|p| p.layer >= d.encoder_layers).collect();
        Ok(Student { learner, parameters, taught })
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.parameters.iter().map(|p| p.layer + 1).max().unwrap_or(0)
    }

    /// The parameters of ξ.
    pub fn encoder(&self) -> impl Iterator<Item = &Parameter> {
        self.parameters.iter().zip(&self.taught).filter(|(_, t)| !**t).map(|(p, _)| p)
    }

    fn network(&self, d: &Dimensions) -> Network<'_> {
        Network { learner: &*self.learner, parameters: &self.parameters, outputs: d.outputs }
    }

    fn inputs(&self, graph: &Graph) -> Vec<Tensor> {
        self.parameters.iter().map(|p| graph.input(format!("learner/{}", p.name), &p.shape)).collect()
    }
}

/// What the outer loop trains, in the order of every program's inputs and outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// `x`, `y`, `log_inner_lr`, `encoder/…`, `critic/…`.
    pub names: Vec<String>,
    /// Their dimensions.
    pub shapes: Vec<Vec<usize>>,
    /// How many belong to θ and ξ; the rest are the critic's.
    pub of_theta: usize,
}

/// θ's tensors come first in [`Trained`]: `x`, `y`, `log_inner_lr`.
pub const THETA: usize = 3;

impl Trained {
    /// The list for a student and a critic.
    pub fn new(student: &Student, critic: &Student, d: &Dimensions) -> Self {
        let mut names = vec!["x".to_owned(), "y".into(), "log_inner_lr".into()];
        let mut shapes = vec![d.batch(d.k), vec![d.k, d.outputs], vec![]];
        for p in student.encoder() {
            names.push(format!("encoder/{}", p.name));
            shapes.push(p.shape.clone());
        }
        let of_theta = names.len();
        for p in &critic.parameters {
            names.push(format!("critic/{}", p.name));
            shapes.push(p.shape.clone());
        }
        Trained { names, shapes, of_theta }
    }
}

fn theta(values: &[Tensor]) -> Theta {
    Theta { x: values[0].clone(), y: values[1].clone(), inner_lr: values[2].exp() }
}

/// The parameters before the inner step: ξ from `encoder`, φ from `fresh`, in order of declaration.
fn initial(student: &Student, encoder: &[Tensor], fresh: &[Tensor]) -> Vec<Tensor> {
    let mut encoder = encoder.iter();
    let pick = |(fresh, taught): (&Tensor, &bool)| {
        if *taught { fresh.clone() } else { encoder.next().unwrap_or(fresh).clone() }
    };
    fresh.iter().zip(&student.taught).map(pick).collect()
}

/// φ → φ′: inputs θ, ξ, then all of the learner's parameters; outputs the taught parameters.
pub fn teach(student: &Student, objective: &dyn Objective, d: &Dimensions) -> Result<Plan, GraphError> {
    let graph = Graph::new();
    let values = vec![
        graph.input("x", &d.batch(d.k)),
        graph.input("y", &[d.k, d.outputs]),
        graph.input("log_inner_lr", &[]),
    ];
    let encoder: Vec<Tensor> =
        student.encoder().map(|p| graph.input(format!("encoder/{}", p.name), &p.shape)).collect();
    let fresh = student.inputs(&graph);
    let taught = inner(student, objective, d, &theta(&values), &initial(student, &encoder, &fresh));
    Plan::compile(&graph, &taught)
}

fn inner(
    student: &Student,
    objective: &dyn Objective,
    d: &Dimensions,
    theta: &Theta,
    initial: &[Tensor],
) -> Vec<Tensor> {
    let graph = theta.x.graph().clone();
    graph.scope(format!("objective `{}`, inner step", objective.id()), || {
        let inner = Inner { theta, network: student.network(d), initial, taught: &student.taught };
        objective.inner(&inner)
    })
}

/// Log-probabilities of a discrete policy for `rows` observations: inputs all parameters, observations.
pub fn act(student: &Student, d: &Dimensions, rows: usize) -> Result<Plan, GraphError> {
    let graph = Graph::new();
    let parameters = student.inputs(&graph);
    let observations = graph.rows("observation", &d.batch(rows));
    let outputs = student.network(d).apply(&parameters, &observations);
    Plan::compile(&graph, &[outputs.log_softmax(-1)])
}

/// Values of `rows` observations: inputs the critic's parameters, observations.
pub fn judge(critic: &Student, d: &Dimensions, rows: usize) -> Result<Plan, GraphError> {
    let graph = Graph::new();
    let parameters = critic.inputs(&graph);
    let observations = graph.rows("observation", &d.batch(rows));
    let network = Network { outputs: 1, ..critic.network(d) };
    Plan::compile(&graph, &[network.apply(&parameters, &observations)])
}

/// One outer update on a minibatch: the inner step, the loss behind it, gradients through both, Adam.
pub struct Update {
    /// Inputs: trained values, first moments, second moments, the learner's parameters, [`SCALARS`], the
    /// batch (observations, actions, log-probabilities, advantages, returns). Outputs: the trained values,
    /// first and second moments after the update, then the metrics.
    pub plan: Plan,
    /// Names of the metrics.
    pub metrics: Vec<&'static str>,
}

/// Scalar inputs of [`Update`]: learning rates of θ with ξ and of the critic, Adam's two corrections.
pub const SCALARS: [&str; 4] = ["lr", "critic_lr", "correction1", "correction2"];

/// Traces and compiles an [`Update`] for minibatches of `rows`.
pub fn update(
    student: &Student,
    critic: &Student,
    objective: &dyn Objective,
    rule: &UpdateRule,
    d: &Dimensions,
    rows: usize,
) -> Result<Update, GraphError> {
    let graph = Graph::new();
    let trained = Trained::new(student, critic, d);
    let named = |prefix: &str| -> Vec<Tensor> {
        let inputs = trained.names.iter().zip(&trained.shapes);
        inputs.map(|(name, shape)| graph.input(format!("{prefix}{name}"), shape)).collect()
    };
    let (values, first, second) = (named(""), named("first_moment/"), named("second_moment/"));
    let fresh = student.inputs(&graph);
    let scalars = SCALARS.map(|name| graph.input(name, &[]));
    let batch = Batch {
        observations: graph.rows("observation", &d.batch(rows)),
        actions: graph.int_rows("action", &[rows, 1]),
        log_probs: graph.rows("log_prob", &[rows, 1]),
        advantages: graph.rows("advantage", &[rows, 1]),
    };
    let returns = graph.rows("return", &[rows, 1]);

    let (of_theta, of_critic) = values.split_at(trained.of_theta);
    let initial = initial(student, &of_theta[THETA..], &fresh);
    let taught = inner(student, objective, d, &theta(of_theta), &initial);
    let outer = graph.scope(format!("objective `{}`, outer loss", objective.id()), || {
        objective.outer(&student.network(d).apply(&taught, &batch.observations), &batch)
    });
    let network = Network { outputs: 1, ..critic.network(d) };
    let errors = network.apply(of_critic, &batch.observations) - &returns;
    let value_loss = errors.square().mean() * 0.5;

    let theta_gradients = grad(&outer.loss, of_theta);
    let critic_gradients = grad(&(&value_loss * rule.value_coefficient), of_critic);
    let mut norms = vec![];
    let mut clipped = vec![];
    let groups: Vec<Vec<Tensor>> = if rule.joint_norm {
        vec![theta_gradients.into_iter().chain(critic_gradients).collect()]
    } else {
        vec![theta_gradients, critic_gradients]
    };
    for group in groups {
        if let Some((gradients, norm)) = clip_by_norm(&group, rule.max_grad_norm) {
            clipped.extend(gradients);
            norms.push(norm);
        }
    }
    let [lr, critic_lr, correction1, correction2] = &scalars;
    let mut columns = [vec![], vec![], vec![]];
    for i in 0..values.len() {
        let lr = if i < trained.of_theta { lr } else { critic_lr };
        let moments = [&first[i], &second[i]];
        let new = rule.adam.step(&values[i], &clipped[i], moments, lr, [correction1, correction2]);
        columns.iter_mut().zip(new).for_each(|(column, tensor)| column.push(tensor));
    }
    let mut outputs: Vec<Tensor> = columns.into_iter().flatten().collect();
    let mut metrics = vec!["value_loss", "grad_norm"];
    outputs.push(value_loss);
    outputs.extend(norms.into_iter().next());
    for (name, tensor) in outer.metrics {
        metrics.push(name);
        outputs.push(tensor);
    }
    Ok(Update { plan: Plan::compile(&graph, &outputs)?, metrics })
}

/// Fresh parameters on `device`.
pub fn sample(student: &Student, device: &Device, stream: &mut super::random::Stream) -> Vec<Numbers> {
    student.parameters.iter().map(|p| device.tensor(&p.sample(stream), &p.shape)).collect()
}

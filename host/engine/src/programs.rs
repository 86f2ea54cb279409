//! The programs of a meta-epoch: graphs that are traced from a learner and an objective and compiled once.
use std::collections::BTreeMap;

use potstill_plugin_api::{Column, Data};

use crate::error::{Error, Result};
use crate::execute::{Array, Device, Plan};
use crate::graph::{DType, Graph, Tensor, grad};
use crate::objective::{Judged, Objective, Outer, merge};
use crate::optimizer::{Adam, Optimizer, clip_by_norm};
use crate::policy::Policy;
use crate::random::Stream;
use crate::student::{Dimensions, Student};
use crate::theta::{Layout, Theta};

/// How the outer loop turns gradients into updates.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateRule {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The largest L2 norm of a gradient; larger ones are scaled down.
    pub max_grad_norm: f64,
    /// Whether the gradients of θ, ξ and the critic are clipped by their joint norm, as in the published code, instead
    /// of θ and ξ by one norm and the critic by another.
    pub joint_norm: bool,
    /// The weight of the critic's loss. With Adam it matters only through the clipping of gradients.
    pub value_coefficient: f64,
    /// Factors on the learning rate of single parts of θ, by name. The factor of a part that is not listed is 1.
    pub scale: BTreeMap<String, f64>,
}

impl Default for UpdateRule {
    /// The update rule of PPMO on cart-pole.
    fn default() -> Self {
        UpdateRule {
            optimizer: Optimizer::Adam(Adam { beta1: 0.9, beta2: 0.999, eps: 1e-5 }),
            max_grad_norm: 0.5,
            joint_norm: false,
            value_coefficient: 0.5,
            scale: BTreeMap::new(),
        }
    }
}

/// Compiles one step of the inner rule φ → φ′; [`Teaching`](crate::inner::Teaching) is for any number. The plan's inputs
/// are θ, ξ, then all of the learner's parameters; its outputs are all of the learner's parameters after the inner rule.
///
/// # Errors
/// An error of tracing the learner or the objective.
pub fn teach(student: &Student, objective: &dyn Objective, d: &Dimensions) -> Result<Plan> {
    let graph = Graph::new();
    let theta = Theta::new(objective, d);
    let inputs = theta.inputs(&graph);
    let encoder = Layout::encoder_inputs(student, &graph);
    let fresh = student.phi(&student.inputs(&graph));
    let taught = inner(student, objective, &theta.read(&inputs), &encoder, &fresh, d)?;
    Ok(Plan::compile(&graph, &merge(&student.phi_mask, &encoder, &taught))?)
}

/// Traces the inner rule φ → φ′ and checks its result.
///
/// # Errors
/// An error of the objective, or a result that does not have the shapes of φ.
pub fn inner(
    student: &Student,
    objective: &dyn Objective,
    theta: &[Tensor],
    encoder: &[Tensor],
    fresh: &[Tensor],
    d: &Dimensions,
) -> Result<Vec<Tensor>> {
    // Direct PPO leaves nothing to teach.
    let (Some(first), Some(_)) = (theta.first(), fresh.first()) else { return Ok(vec![]) };
    let graph = first.graph().clone();
    let taught = graph.scope(format!("objective `{}`, inner rule", objective.id()), || {
        objective.inner(&student.network(encoder, d), theta, fresh)
    })?;
    graph.check()?;
    check_taught(&taught, fresh).map_err(|cause| wrong(objective, "inner", cause))?;
    Ok(taught)
}

/// Checks that an inner rule returned as many parameters as it got, with the same shapes.
fn check_taught(taught: &[Tensor], fresh: &[Tensor]) -> Result<(), String> {
    if taught.len() != fresh.len() {
        return Err(format!("it gave {} parameters, expected {}", taught.len(), fresh.len()));
    }
    for (i, (taught, fresh)) in taught.iter().zip(fresh).enumerate() {
        let (got, expected) = ((taught.shape(), taught.dtype()), (fresh.shape(), fresh.dtype()));
        if got != expected {
            let (got, expected) = (described(got), described(expected));
            return Err(format!("it gave {got} for parameter {i}, expected {expected}"));
        }
    }
    Ok(())
}

/// Describes a tensor in an error.
fn described((shape, dtype): (Vec<usize>, DType)) -> String {
    let what = if dtype == DType::Int { "indices" } else { "a tensor" };
    format!("{what} of shape {shape:?}")
}

/// The error of an objective that broke a rule other than the graph's own.
fn wrong(objective: &dyn Objective, function: &str, cause: String) -> Error {
    Error::Plugin { plugin: objective.id().to_owned(), function: function.into(), cause }
}

/// Compiles a policy for `rows` observations. The plan's inputs are all of the student's parameters, then the
/// observations; its output is `[rows, outputs]`, with log-probabilities as the outputs of a categorical policy.
///
/// # Errors
/// An error of tracing the learner.
pub fn act(student: &Student, d: &Dimensions, rows: usize) -> Result<Plan> {
    let graph = Graph::new();
    let parameters = student.inputs(&graph);
    let observations = graph.rows("observation", &d.batch(rows));
    let outputs = student.learner.forward(&parameters, &observations)?;
    let outputs = match d.policy {
        Policy::Categorical(_) => outputs.log_softmax(-1),
        Policy::Gaussian(_) => outputs,
    };
    Ok(Plan::compile(&graph, &[outputs])?)
}

/// Compiles a critic for `rows` observations. The plan's inputs are the critic's parameters, then the observations; its
/// output is the values, `[rows, 1]`.
///
/// # Errors
/// An error of tracing the learner.
pub fn value(critic: &Student, d: &Dimensions, rows: usize) -> Result<Plan> {
    let graph = Graph::new();
    let parameters = critic.inputs(&graph);
    let observations = graph.rows("observation", &d.batch(rows));
    let values = critic.learner.forward(&parameters, &observations)?;
    Ok(Plan::compile(&graph, &[values])?)
}

/// One outer update on a minibatch: the inner step, the loss of the taught learner, the gradients through both, and the
/// optimizer's step.
pub struct Update {
    /// The compiled graph. Its inputs are the trained values, their first moments, their second moments, the learner's
    /// parameters, [`SCALARS`], and the batch ([`BatchInputs`]). Its outputs are the trained values, first moments and
    /// second moments after the update, then the metrics.
    pub plan: Plan,
    /// The names of the metrics.
    pub metrics: Vec<String>,
}

/// The scalar inputs of [`Update`]: the learning rate of θ and ξ, that of the critic, and Adam's two corrections.
pub const SCALARS: [&str; 4] = ["lr", "critic_lr", "correction1", "correction2"];

/// The inputs of a graph that a batch fills, in this order: observations and actions; for rollouts also
/// log-probabilities; advantages and returns if there is a critic; then the outputs, the values and the teacher's outputs
/// if the objective reads them; last the progress, if the objective reads it.
pub struct BatchInputs {
    observations: Tensor,
    /// The returns, where a critic learns them.
    returns: Option<Tensor>,
    /// The columns that the objective reads, in the order of [`Objective::columns`].
    pub columns: Vec<Tensor>,
}

impl BatchInputs {
    /// Adds the inputs of a batch of `rows` transitions to `graph`.
    ///
    /// # Errors
    /// The objective reads a column that only rollouts have, but the data are offline.
    pub fn trace(graph: &Graph, objective: &dyn Objective, d: &Dimensions, rows: usize) -> Result<Self> {
        let reads = |column: Column| objective.columns().contains(&column);
        let column = |name: &str, width: usize| graph.rows(name, &[rows, width]);
        let observations = graph.rows("observation", &d.batch(rows));
        let actions = match d.policy {
            Policy::Categorical(n) => graph.indices_below(n, "action", &[rows, 1]),
            Policy::Gaussian(n) => column("action", n),
        };
        let mut batch = vec![(Column::Observations, observations.clone()), (Column::Actions, actions)];
        let mut returns = None;
        if objective.data() == Data::Rollouts {
            batch.push((Column::LogProbs, column("log_prob", 1)));
            if needs_critic(objective) {
                batch.push((Column::Advantages, column("advantage", 1)));
                returns = Some(column("return", 1));
                batch.extend(returns.iter().map(|returns| (Column::Returns, returns.clone())));
            }
            let further = [
                (Column::Outputs, "outputs", d.outputs()),
                (Column::Values, "value", 1),
                (Column::Teacher, "teacher", d.outputs()),
            ];
            for (wanted, name, width) in further {
                if reads(wanted) {
                    batch.push((wanted, column(name, width)));
                }
            }
        }
        if reads(Column::Progress) {
            batch.push((Column::Progress, graph.input("progress", &[1, 1])));
        }
        let find = |wanted: &Column| match batch.iter().find(|(column, _)| column == wanted) {
            Some((_, tensor)) => Ok(tensor.clone()),
            None => {
                let what = format!("offline data have no `{}`, only observations and actions", wanted.name());
                Err(wrong(objective, "columns", what))
            }
        };
        let columns = objective.columns().iter().map(find).collect::<Result<_>>()?;
        Ok(BatchInputs { observations, returns, columns })
    }
}

/// Whether `objective` reads a column that a critic makes. Without one, none is trained.
pub fn needs_critic(objective: &dyn Objective) -> bool {
    let of_critic = [Column::Advantages, Column::Returns, Column::Values];
    objective.data() == Data::Rollouts && objective.columns().iter().any(|c| of_critic.contains(c))
}

/// Traces the outer loss and checks its result.
///
/// # Errors
/// An error of the objective, or a loss or metric that is not a scalar.
pub fn outer(
    student: &Student,
    objective: &dyn Objective,
    judged: &Judged<'_>,
    encoder: &[Tensor],
    d: &Dimensions,
) -> Result<Outer> {
    let Some(first) = judged.theta.first() else {
        return Err(wrong(objective, "meta-parameters", "theta is empty".into()));
    };
    let graph = first.graph().clone();
    let outer = graph.scope(format!("objective `{}`, outer loss", objective.id()), || {
        objective.outer(&student.network(encoder, d), judged)
    })?;
    graph.check()?;
    for (name, tensor) in outer.metrics.iter().map(|(n, t)| (n.as_str(), t)).chain([("loss", &outer.loss)]) {
        if !tensor.shape().is_empty() || tensor.dtype() != DType::Float {
            let got = described((tensor.shape(), tensor.dtype()));
            return Err(wrong(objective, "outer", format!("`{name}` is {got}, expected a scalar")));
        }
    }
    Ok(outer)
}

/// What an update is traced from.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) student: &'a Student,
    /// The critic, if the objective [needs](needs_critic) one.
    pub(crate) critic: Option<&'a Student>,
    pub(crate) objective: &'a dyn Objective,
    pub(crate) rule: &'a UpdateRule,
    pub(crate) d: &'a Dimensions,
    /// The order of everything that is trained.
    pub(crate) layout: &'a Layout,
}

/// The gradients of a taught learner's losses on a batch.
pub(crate) struct Losses {
    /// Those of the objective's loss, one for each tensor that was asked for.
    pub(crate) gradients: Vec<Tensor>,
    /// Those of the critic's weighted loss, one for each parameter of the critic.
    pub(crate) of_critic: Vec<Tensor>,
    /// The critic's loss, if there is a critic, and the objective's metrics.
    pub(crate) value_loss: Option<Tensor>,
    pub(crate) metrics: Vec<(String, Tensor)>,
}

impl Parts<'_> {
    /// Traces the losses of the learner whose parameters φ were `fresh` and are now `taught`, and their gradients: that of
    /// the objective with respect to `wrt`. `values` are θ, ξ and the critic.
    ///
    /// # Errors
    /// An error of tracing the objective or the critic.
    pub(crate) fn losses(
        self,
        values: &[Tensor],
        [fresh, taught]: [&[Tensor]; 2],
        batch: &BatchInputs,
        wrt: &[Tensor],
    ) -> Result<Losses> {
        let Parts { student, critic, objective, rule, d, layout } = self;
        let (meta_learned, critic_values) = values.split_at(layout.meta_learned);
        let (theta, encoder) = (layout.theta.read(meta_learned), &meta_learned[layout.theta.parts.len()..]);
        let judged = Judged { theta: &theta, fresh, taught, columns: &batch.columns };
        let Outer { loss, metrics } = outer(student, objective, &judged, encoder, d)?;
        let gradients = grad(&loss, wrt);
        let (mut value_loss, mut of_critic) = (None, vec![]);
        if let (Some(critic), Some(returns)) = (critic, &batch.returns) {
            let errors = critic.learner.forward(critic_values, &batch.observations)? - returns;
            let loss = errors.square().mean() * 0.5;
            of_critic = grad(&(&loss * rule.value_coefficient), critic_values);
            value_loss = Some(loss);
        }
        Ok(Losses { gradients, of_critic, value_loss, metrics })
    }

    /// Traces the optimizer's step along the clipped gradients: those of θ and ξ, and those of the critic. `state` are the
    /// values, their first and their second moments. Returns the state after the step, and the norm of the first gradients
    /// before clipping.
    pub(crate) fn descend(
        self,
        [values, first, second]: [&[Tensor]; 3],
        gradients: [Vec<Tensor>; 2],
        [lr, critic_lr, correction1, correction2]: &[Tensor; 4],
    ) -> (Vec<Tensor>, Option<Tensor>) {
        let Parts { rule, layout, .. } = self;
        let groups = if rule.joint_norm { vec![gradients.concat()] } else { gradients.to_vec() };
        let mut clipped = vec![];
        let mut norms = vec![];
        for group in groups {
            if let Some((gradients, norm)) = clip_by_norm(&group, rule.max_grad_norm) {
                clipped.extend(gradients);
                norms.push(norm);
            }
        }
        let mut new = [vec![], vec![], vec![]];
        for i in 0..values.len() {
            if !layout.learned[i] {
                let same = [&values[i], &first[i], &second[i]];
                new.iter_mut().zip(same).for_each(|(column, tensor)| column.push(tensor.clone()));
                continue;
            }
            let lr = if i < layout.meta_learned { lr } else { critic_lr };
            let lr = match layout.theta.parts.get(i).and_then(|part| rule.scale.get(part.name())) {
                Some(&scale) => &(lr * scale),
                None => lr,
            };
            let moments = [&first[i], &second[i]];
            let step = rule.optimizer.step(&values[i], &clipped[i], moments, lr, [correction1, correction2]);
            new.iter_mut().zip(step).for_each(|(column, tensor)| column.push(tensor));
        }
        (new.into_iter().flatten().collect(), norms.into_iter().next())
    }
}

/// Traces and compiles an [`Update`] for minibatches of `rows` transitions, of a learner that takes one step of the inner
/// rule; [`Updating`](crate::inner::Updating) is for any number. There is a critic if the objective [needs](needs_critic)
/// one.
///
/// # Errors
/// An error of tracing the learner, the critic or the objective.
pub fn update<'a>(
    student: &Student,
    critic: impl Into<Option<&'a Student>>,
    objective: &dyn Objective,
    rule: &UpdateRule,
    d: &Dimensions,
    rows: usize,
) -> Result<Update> {
    let graph = Graph::new();
    let critic = critic.into();
    let layout = Layout::new(Theta::new(objective, d), student, critic);
    let [values, first, second] = ["", "first_moment/", "second_moment/"].map(|p| layout.inputs(&graph, p));
    let fresh = student.inputs(&graph);
    let scalars = SCALARS.map(|name| graph.input(name, &[]));
    let batch = BatchInputs::trace(&graph, objective, d, rows)?;

    let meta_learned = &values[..layout.meta_learned];
    let (theta, encoder) = (layout.theta.read(meta_learned), &meta_learned[layout.theta.parts.len()..]);
    let fresh = student.phi(&fresh);
    let taught = inner(student, objective, &theta, encoder, &fresh, d)?;
    let parts = Parts { student, critic, objective, rule, d, layout: &layout };
    let losses = parts.losses(&values, [&fresh, &taught], &batch, meta_learned)?;
    let gradients = [losses.gradients, losses.of_critic];
    let (new, norm) = parts.descend([&values, &first, &second], gradients, &scalars);

    let own = [("value_loss", losses.value_loss), ("grad_norm", norm)];
    let own = own.into_iter().filter_map(|(name, metric)| Some((name.to_owned(), metric?)));
    let (metrics, measured): (Vec<String>, Vec<Tensor>) = own.chain(losses.metrics).unzip();
    let outputs = [new, measured].concat();
    Ok(Update { plan: Plan::compile(&graph, &outputs)?, metrics })
}

/// Draws initial values for all of the student's parameters and uploads them to `device`.
pub fn sample(student: &Student, device: &Device, stream: &mut Stream) -> Vec<Array> {
    student.parameters().iter().map(|p| device.tensor(&p.sample(stream), &p.shape)).collect()
}

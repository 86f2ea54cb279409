//! The host's side of calls to native learners and objectives, in this process or a separate one. They answer in
//! numbers, which are checked and resolved to tensors here.
use std::sync::Arc;

use potstill_plugin_api::{Column, Data, MetaParameter, OptionValue, Space, Task};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::{FailedCall, Failure};
use super::declared::{check_learner, check_outputs};
use super::settings::to_json;
use super::trace::{self, Ask, Call, scope};
use potstill_engine::error::Result;
use potstill_engine::graph::{Graph, Tensor};
use potstill_engine::learner::{Learner, LearnerDistribution, Parameter};
use potstill_engine::objective::{Judged, Network, Objective, Outer};

/// Answers the questions of a plugin while it traces.
pub type Answer<'a> = &'a mut dyn FnMut(Ask) -> Vec<u32>;

/// What a learner declares when it is drawn.
#[derive(Debug, Serialize, Deserialize)]
pub struct Architecture {
    /// The name of the architecture.
    pub name: String,
    /// The parameters, in the order of [`RawLearner::forward`].
    pub parameters: Vec<Parameter>,
}

/// A distribution of learners as a loader provides it.
pub trait RawLearners: Send + Sync {
    /// Draws an architecture for this observation space and number of outputs.
    ///
    /// # Errors
    /// The plugin refused or failed.
    fn draw(
        &self,
        settings: &[(String, OptionValue)],
        observation: &Space,
        outputs: usize,
        seed: u64,
        answer: Answer<'_>,
    ) -> Result<(Box<dyn RawLearner>, Architecture), FailedCall>;
}

/// A learner as a loader provides it.
pub trait RawLearner: Send + Sync {
    /// Traces the network on the observations `x`. Returns the output tensor.
    ///
    /// # Errors
    /// The errors of [`RawLearners::draw`].
    fn forward(&self, parameters: &[u32], x: u32, answer: Answer<'_>) -> Result<u32, Failure>;
}

/// What an objective declares for its task.
#[derive(Debug, Serialize, Deserialize)]
pub struct Declared {
    /// Its source of data.
    pub data: Data,
    /// The parts of θ.
    pub theta: Vec<MetaParameter>,
    /// The columns of a batch that it reads.
    pub columns: Vec<Column>,
}

/// The same as [`Judged`], with numbers in place of tensors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RawJudged {
    /// θ, in the order of [`Declared::theta`].
    pub theta: Vec<u32>,
    /// φ, the parameters before the inner rule.
    pub fresh: Vec<u32>,
    /// φ′, the parameters after the inner rule.
    pub taught: Vec<u32>,
    /// The batch, in the order of [`Declared::columns`].
    pub columns: Vec<u32>,
}

/// The same as [`Outer`], with numbers in place of tensors.
#[derive(Debug, Serialize, Deserialize)]
pub struct RawLoss {
    /// The scalar that θ descends.
    pub loss: u32,
    /// Scalars to log, by name.
    pub metrics: Vec<(String, u32)>,
}

/// An objective for one task, as a loader provides it.
pub trait RawObjective: Send + Sync {
    /// Traces the inner rule. Returns φ′, in the order of `fresh`.
    ///
    /// # Errors
    /// The errors of [`RawLearners::draw`].
    fn inner(&self, theta: &[u32], fresh: &[u32], answer: Answer<'_>) -> Result<Vec<u32>, Failure>;
    /// Traces the outer loss.
    ///
    /// # Errors
    /// The errors of [`RawLearners::draw`].
    fn outer(&self, judged: &RawJudged, answer: Answer<'_>) -> Result<RawLoss, Failure>;
}

/// A [`LearnerDistribution`] that wraps [`RawLearners`].
pub struct TracedLearners<R> {
    id: Arc<str>,
    raw: R,
    settings: Vec<(String, OptionValue)>,
}

impl<R: RawLearners> TracedLearners<R> {
    /// Wraps `raw`, the distribution of the plugin `id`. `settings` holds every option.
    pub fn new(id: &str, raw: R, settings: Vec<(String, OptionValue)>) -> Self {
        TracedLearners { id: id.into(), raw, settings }
    }
}

impl<R: RawLearners> LearnerDistribution for TracedLearners<R> {
    fn id(&self) -> &str {
        &self.id
    }

    fn specification(&self) -> Value {
        to_json(&self.settings)
    }

    fn draw(&self, observation: &Space, outputs: usize, seed: u64) -> Result<Box<dyn Learner>> {
        // `parameters` may trace on a graph; only its errors matter.
        let graph = Graph::new();
        graph.scope(scope(&self.id, "parameters"), || {
            let call = Call::new(&graph, None);
            let drawn = self.raw.draw(&self.settings, observation, outputs, seed, &mut trace::answer);
            let (raw, Architecture { name, parameters }) = drawn.map_err(|fault| fault.error(&self.id))?;
            call.finish(Ok(vec![]), "parameters")?;
            check_learner(&name, &parameters)
                .map_err(|(function, cause)| Failure::Broken(cause).at(function).error(&self.id))?;
            let learner = TracedLearner { id: self.id.clone(), raw, name, parameters, outputs };
            Ok(Box::new(learner) as Box<dyn Learner>)
        })
    }
}

struct TracedLearner {
    id: Arc<str>,
    raw: Box<dyn RawLearner>,
    name: String,
    parameters: Vec<Parameter>,
    outputs: usize,
}

impl Learner for TracedLearner {
    fn name(&self) -> &str {
        &self.name
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn forward(&self, parameters: &[Tensor], observations: &Tensor) -> Result<Tensor> {
        let graph = observations.graph();
        graph.scope(scope(&self.id, "forward"), || {
            let call = Call::new(graph, None);
            let given = call.give(parameters);
            let x = call.give(std::slice::from_ref(observations))[0];
            let said = self.raw.forward(&given, x, &mut trace::answer);
            let error = |failure: Failure| failure.at("forward").error(&self.id);
            let result = call.finish(said.map(|output| vec![output]).map_err(error), "forward")?;
            let result = result.into_iter().next().unwrap_or_else(|| observations.clone());
            check_outputs(&result, observations, self.outputs)
                .map_err(|cause| error(Failure::Broken(cause)))?;
            Ok(result)
        })
    }
}

/// An [`Objective`] that wraps a [`RawObjective`].
pub struct TracedObjective<R> {
    id: String,
    raw: R,
    settings: Vec<(String, OptionValue)>,
    declared: Declared,
}

impl<R: RawObjective> TracedObjective<R> {
    /// Makes the objective with `make`, from `settings` and `task`.
    ///
    /// # Errors
    /// The errors of `make`: the plugin refused or failed, or its answers break the contract.
    pub fn new(
        id: &str,
        settings: Vec<(String, OptionValue)>,
        task: &Task,
        make: impl FnOnce(&[(String, OptionValue)], &Task) -> Result<(R, Declared), FailedCall>,
    ) -> Result<Self> {
        let (raw, declared) = make(&settings, task).map_err(|fault| fault.error(id))?;
        Ok(TracedObjective { id: id.to_owned(), raw, settings, declared })
    }
}

impl<R: RawObjective> Objective for TracedObjective<R> {
    fn id(&self) -> &str {
        &self.id
    }

    fn specification(&self) -> Value {
        to_json(&self.settings)
    }

    fn data(&self) -> Data {
        self.declared.data
    }

    fn theta(&self) -> &[MetaParameter] {
        &self.declared.theta
    }

    fn columns(&self) -> &[Column] {
        &self.declared.columns
    }

    fn inner(&self, network: &Network<'_>, theta: &[Tensor], fresh: &[Tensor]) -> Result<Vec<Tensor>> {
        let call = Call::on(theta, fresh, Some(network));
        let (theta, fresh) = (call.give(theta), call.give(fresh));
        let said = self.raw.inner(&theta, &fresh, &mut trace::answer);
        call.finish(said.map_err(|failure| failure.at("inner").error(&self.id)), "inner")
    }

    fn outer(&self, network: &Network<'_>, judged: &Judged<'_>) -> Result<Outer> {
        let call = Call::on(judged.theta, judged.columns, Some(network));
        let given = RawJudged {
            theta: call.give(judged.theta),
            fresh: call.give(judged.fresh),
            taught: call.give(judged.taught),
            columns: call.give(judged.columns),
        };
        let said = self.raw.outer(&given, &mut trace::answer);
        let error = |failure: Failure| failure.at("outer").error(&self.id);
        let said = said.map(|RawLoss { loss, metrics }| (loss, metrics)).map_err(error);
        call.finish_outer(said, |cause| error(Failure::Broken(cause)))
    }
}

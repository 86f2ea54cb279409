//! Learners and objectives in a separate process.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use potstill_plugin_api::{OptionValue, Space, Task};

use super::message::Request;
use super::process::{IsolatedPlugin, Process};
use crate::plugin::check::{FailedCall, Failure};
use crate::plugin::limits::TimeLimit;
use crate::plugin::traced::{
    Answer, Architecture, Declared, RawJudged, RawLearner, RawLearners, RawLoss, RawObjective,
};

/// A process that several learners share.
type Shared = Arc<Mutex<Process>>;

fn lock(process: &Mutex<Process>) -> MutexGuard<'_, Process> {
    process.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A distribution of learners in a separate process.
pub(crate) struct IsolatedLearners(Shared);

impl IsolatedLearners {
    pub(crate) fn new(plugin: IsolatedPlugin) -> Self {
        IsolatedLearners(Arc::new(Mutex::new(plugin.process)))
    }
}

impl RawLearners for IsolatedLearners {
    fn draw(
        &self,
        settings: &[(String, OptionValue)],
        observation: &Space,
        outputs: usize,
        seed: u64,
        answer: Answer<'_>,
    ) -> Result<(Box<dyn RawLearner>, Architecture), FailedCall> {
        let (settings, observation) = (settings.to_vec(), observation.clone());
        let request = Request::DrawLearner { settings, observation, outputs, seed };
        let ((number, drawn), _) = lock(&self.0).call("make", TimeLimit::Start, (&request, &[]), answer)?;
        Ok((Box::new(IsolatedLearner { process: self.0.clone(), number }), drawn))
    }
}

struct IsolatedLearner {
    process: Shared,
    number: u32,
}

impl RawLearner for IsolatedLearner {
    fn forward(&self, parameters: &[u32], x: u32, answer: Answer<'_>) -> Result<u32, Failure> {
        let request = Request::Forward { learner: self.number, parameters: parameters.to_vec(), x };
        let done = lock(&self.process).call("forward", TimeLimit::Step, (&request, &[]), answer);
        done.map(|(output, _)| output).map_err(|fault| fault.failure)
    }
}

impl Drop for IsolatedLearner {
    fn drop(&mut self) {
        let request = Request::DropLearner { learner: self.number };
        // If this fails, the next call reports it.
        let _ = lock(&self.process).plain::<()>("destroy", TimeLimit::Step, (&request, &[]));
    }
}

/// An objective in a separate process.
pub(crate) struct IsolatedObjective(Mutex<Process>);

impl IsolatedObjective {
    /// Makes the objective.
    ///
    /// # Errors
    /// The plugin refused or failed, or its process ended.
    pub(crate) fn make(
        plugin: IsolatedPlugin,
        settings: &[(String, OptionValue)],
        task: &Task,
    ) -> Result<(Self, Declared), FailedCall> {
        let mut process = plugin.process;
        let request = Request::MakeObjective { settings: settings.to_vec(), task: task.clone() };
        let (declared, _) = process.plain("make", TimeLimit::Start, (&request, &[]))?;
        Ok((IsolatedObjective(Mutex::new(process)), declared))
    }
}

impl RawObjective for IsolatedObjective {
    fn inner(&self, theta: &[u32], fresh: &[u32], answer: Answer<'_>) -> Result<Vec<u32>, Failure> {
        let request = Request::Inner { theta: theta.to_vec(), fresh: fresh.to_vec() };
        let done = lock(&self.0).call("inner", TimeLimit::Step, (&request, &[]), answer);
        done.map(|(taught, _)| taught).map_err(|fault| fault.failure)
    }

    fn outer(&self, judged: &RawJudged, answer: Answer<'_>) -> Result<RawLoss, Failure> {
        let request = Request::Outer(judged.clone());
        let done = lock(&self.0).call("outer", TimeLimit::Step, (&request, &[]), answer);
        done.map(|(loss, _)| loss).map_err(|fault| fault.failure)
    }
}

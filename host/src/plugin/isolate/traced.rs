//! The roles that trace: learners and objectives.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use potstill_plugin_api::{OptionValue, Space, Task};

use super::message::Request;
use super::process::{IsolatedPlugin, Limit, Process};
use crate::plugin::check::{Failure, Fault};
use crate::plugin::traced::{
    Answer, Declared, DrawnLearner, RawJudged, RawLearner, RawLearners, RawLoss, RawObjective,
};

/// A process that several learners live in.
type Shared = Arc<Mutex<Process>>;

fn lock(process: &Mutex<Process>) -> MutexGuard<'_, Process> {
    process.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A distribution of learners in a process of its own.
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
    ) -> Result<(Box<dyn RawLearner>, DrawnLearner), Fault> {
        let (settings, observation) = (settings.to_vec(), observation.clone());
        let request = Request::Draw { settings, observation, outputs, seed };
        let ((number, drawn), _) = lock(&self.0).call("make", Limit::Start, (&request, &[]), answer)?;
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
        let done = lock(&self.process).call("forward", Limit::Step, (&request, &[]), answer);
        done.map(|(output, _)| output).map_err(|fault| fault.failure)
    }
}

impl Drop for IsolatedLearner {
    fn drop(&mut self) {
        let request = Request::Forget { learner: self.number };
        // What went wrong is told by whatever is called next.
        let _ = lock(&self.process).plain::<()>("destroy", Limit::Step, (&request, &[]));
    }
}

/// An objective in a process of its own.
pub(crate) struct IsolatedObjective(Mutex<Process>);

impl IsolatedObjective {
    /// Makes it.
    ///
    /// # Errors
    /// The plugin refused or failed, or its process ended.
    pub(crate) fn make(
        plugin: IsolatedPlugin,
        settings: &[(String, OptionValue)],
        task: &Task,
    ) -> Result<(Self, Declared), Fault> {
        let mut process = plugin.process;
        let request = Request::Begin { settings: settings.to_vec(), task: task.clone() };
        let (declared, _) = process.plain("make", Limit::Start, (&request, &[]))?;
        Ok((IsolatedObjective(Mutex::new(process)), declared))
    }
}

impl RawObjective for IsolatedObjective {
    fn inner(&self, theta: &[u32], fresh: &[u32], answer: Answer<'_>) -> Result<Vec<u32>, Failure> {
        let request = Request::Inner { theta: theta.to_vec(), fresh: fresh.to_vec() };
        let done = lock(&self.0).call("inner", Limit::Step, (&request, &[]), answer);
        done.map(|(taught, _)| taught).map_err(|fault| fault.failure)
    }

    fn outer(&self, judged: &RawJudged, answer: Answer<'_>) -> Result<RawLoss, Failure> {
        let request = Request::Outer(judged.clone());
        let done = lock(&self.0).call("outer", Limit::Step, (&request, &[]), answer);
        done.map(|(loss, _)| loss).map_err(|fault| fault.failure)
    }
}

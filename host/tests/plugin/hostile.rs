//! Tests plugins that misbehave in every way. Each leads to one error that names the plugin, the function and the cause, and
//! the host continues.
mod component;
mod environment;
mod learner;
#[cfg(target_os = "linux")]
mod memory;
mod objective;

use potstill::engine::inner::Inner;
use potstill::engine::objective::Objective;
use potstill::engine::policy::Policy;
use potstill::engine::programs::{Update, UpdateRule, act, teach, update};
use potstill::engine::student::{Dimensions, Student};
use potstill::plugin::Registry;
use potstill_plugin_api::{Space, Task};

use crate::hurried::hurried;
use crate::{registry, repository, settings};

/// One of the hostile guests.
pub(crate) struct Guest {
    /// The registry with all the time that the guest's manifest requests.
    pub(crate) patient: Registry,
    /// The registry with a limit of one second per call.
    hurried: Registry,
    _folder: tempfile::TempDir,
}

impl Guest {
    pub(crate) fn of(name: &str) -> Self {
        #[cfg(target_os = "linux")]
        memory::limit();
        let folder = repository("tests").join(name);
        let copy = hurried(&folder, 1.0, 1.0);
        let hurried = registry(&[copy.path().to_owned()]);
        Guest { patient: registry(&[folder]), hurried, _folder: copy }
    }

    /// Returns the registry in which to run `mode`. Only endless loops get the short time limit: any other mode must reach
    /// its own limit first, however slow the machine is.
    pub(crate) fn for_mode(&self, mode: &str) -> &Registry {
        if mode.contains("loop") { &self.hurried } else { &self.patient }
    }
}

fn dimensions() -> Dimensions {
    Dimensions {
        k: 3,
        observation: Space::unbounded([4]),
        policy: Policy::Categorical(2),
        encoder_layers: 0,
        inner: Inner::default(),
    }
}

/// Draws a learner from `registry` and makes a student of it.
fn student(registry: &Registry, id: &str, options: &[(&str, &str)]) -> potstill::Result<Student> {
    let (learners, d) = (registry.learner(id, &settings(options))?, dimensions());
    Student::new(learners.draw(&d.observation, d.outputs(), 1)?, &d)
}

fn objective(
    registry: &Registry,
    id: &str,
    options: &[(&str, &str)],
) -> potstill::Result<Box<dyn Objective>> {
    let d = dimensions();
    let (outputs, observation) = (d.outputs(), d.observation);
    let task = Task { observation, action: Space::Discrete { n: outputs }, instances: d.k, outputs };
    registry.objective(id, &settings(options), &task)
}

/// Traces everything that a meta-epoch traces.
fn trace(student: &Student, objective: &dyn Objective) -> potstill::Result<Update> {
    let d = dimensions();
    let mlp = registry(&[]).learner("mlp", &settings(&[("width", "8")]))?;
    let critic = Student::critic(mlp.draw(&d.observation, 1, 0)?, &d)?;
    let rule = UpdateRule::default();
    teach(student, objective, &d)?;
    act(student, &d, 5)?;
    update(student, &critic, objective, &rule, &d, 7)
}

/// Checks the one error that `mode` of the guest `id` leads to.
#[track_caller]
fn assert_told<T>(id: &str, mode: &str, result: potstill::Result<T>, cause: &str) {
    let Err(error) = result else { panic!("{mode} was not noticed") };
    let error = error.to_string();
    assert!(error.contains(&format!("`{id}`")) && error.contains(cause), "{mode}: expected {cause}: {error}");
    assert!(error.chars().count() < 1200, "{mode}: {} characters", error.chars().count());
    assert!(!error.chars().any(|c| c.is_control() && c != '\n'), "{mode}: {error:?}");
}

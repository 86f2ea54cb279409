//! What all tasks share: one simulation behind the SDK's trait.
use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use potstill_sdk::host::setup_folder;
use potstill_sdk::{
    Action, Environment, Frame, OptionKind, OptionSchema, Options, RenderMode, Rng, Space, Spec, Step,
};

use crate::library::Library;
use crate::locate::Search;
use crate::picture::{self, View};
use crate::simulation::{Model, Simulation};

/// What a step was worth.
pub struct Judgement {
    pub(crate) reward: f64,
    pub(crate) terminated: bool,
}

/// One of Gymnasium's environments: how an episode starts, what is seen and what it is worth. The arithmetic is
/// Gymnasium's in `f64`, in its order; what NumPy keeps in `f32`, the cost of the action, is `f32` here.
pub trait Task: Sized + Send + Sync + 'static {
    /// As [`Environment::ID`].
    const ID: &'static str;
    /// As [`Environment::SUMMARY`].
    const SUMMARY: &'static str;
    /// The file in Gymnasium's folder of models.
    const MODEL: &'static str;
    /// Steps after which Gymnasium truncates.
    const MAX_EPISODE_STEPS: u32 = 1000;
    /// The return at which Gymnasium calls it solved.
    const REWARD_THRESHOLD: Option<f32> = None;
    /// How it is drawn.
    const VIEW: View;

    /// The arguments of Gymnasium's constructor that change what is computed.
    fn options() -> Vec<OptionSchema>;
    /// The task for this model.
    ///
    /// # Errors
    /// The model lacks what the task speaks of.
    fn new(options: &Options, model: &Model) -> Result<Self, String>;
    /// Steps of MuJoCo in a step of the environment.
    fn frames(&self) -> usize;
    /// Changes positions and velocities of the model's own state into those that an episode starts with.
    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]);
    /// Appends the observation.
    fn observe(&self, simulation: &Simulation, observation: &mut Vec<f64>);
    /// The number that the next step's reward compares with, such as where the body is.
    fn mark(&self, simulation: &Simulation) -> f64;
    /// Judges the step after which the simulation is; `before` is the mark before it, `seconds` what it took.
    fn judge(&self, simulation: &Simulation, action: &[f32], before: f64, seconds: f64) -> Judgement;
}

/// One copy of a task.
pub struct Mujoco<T> {
    task: T,
    pub(crate) simulation: Simulation,
    /// Of the last step or reset.
    pub(crate) observation: Vec<f64>,
    /// The one before it, for the step that fails.
    before: Vec<f64>,
    mark: f64,
    fault: Option<String>,
}

impl<T: Task> Mujoco<T> {
    pub(crate) fn with(model: Arc<Model>, options: &Options) -> Result<Self, String> {
        let task = T::new(options, &model)?;
        let mut simulation = Simulation::new(model)?;
        simulation.reset(|_, _| {})?;
        let mut copy =
            Mujoco { task, simulation, observation: vec![], before: vec![], mark: 0.0, fault: None };
        copy.look();
        Ok(copy)
    }

    fn look(&mut self) {
        self.observation.clear();
        self.task.observe(&self.simulation, &mut self.observation);
        self.mark = self.task.mark(&self.simulation);
    }

    /// Starts an episode from a state that `noise` makes of the model's own.
    pub(crate) fn start(&mut self, noise: impl FnOnce(&T, &mut [f64], &mut [f64])) -> Result<(), String> {
        self.simulation.reset(|qpos, qvel| noise(&self.task, qpos, qvel))?;
        self.look();
        Ok(())
    }

    /// One step, in Gymnasium's precision.
    ///
    /// # Errors
    /// The episode cannot go on; the observation is still the one before.
    pub(crate) fn advance(&mut self, action: &[f32]) -> Result<Judgement, String> {
        let frames = self.task.frames();
        self.simulation.step(action, frames)?;
        let seconds = self.simulation.model.timestep() * frames as f64;
        let judgement = self.task.judge(&self.simulation, action, self.mark, seconds);
        std::mem::swap(&mut self.observation, &mut self.before);
        self.look();
        if self.is_finite() && (judgement.reward as f32).is_finite() {
            return Ok(judgement);
        }
        std::mem::swap(&mut self.observation, &mut self.before);
        Err("the simulation became unstable (an observation or reward beyond single precision)".into())
    }

    /// Whether the observation is made of numbers, in single precision.
    fn is_finite(&self) -> bool {
        self.observation.iter().all(|value| (*value as f32).is_finite())
    }

    fn write(&self, observation: &mut [f32]) {
        for (out, value) in observation.iter_mut().zip(&self.observation) {
            *out = *value as f32;
        }
    }
}

struct Found {
    library: Option<&'static Library>,
    /// Files of Gymnasium's, and where they are.
    models: Vec<(&'static str, PathBuf)>,
}

/// The model of a file of Gymnasium's, by the library that [`Search`] finds first.
fn model(file: &'static str) -> Result<Arc<Model>, String> {
    // What is found is found once a process. A failure is not kept: the user may install what is missing.
    static FOUND: Mutex<Found> = Mutex::new(Found { library: None, models: vec![] });
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let Found { library, models } = &mut *found;
    let search = OnceCell::new();
    let search = || search.get_or_init(|| Search::here(setup_folder().as_deref()));
    let library = match library {
        Some(library) => library,
        None => library.insert(Library::open(&search().library()?)?),
    };
    let path = match models.iter().find(|(known, _)| *known == file) {
        Some((_, path)) => path.clone(),
        None => {
            let path = search().model(file)?;
            models.push((file, path.clone()));
            path
        }
    };
    Model::load(library, &path)
}

impl<T: Task> Environment for Mujoco<T> {
    const ID: &'static str = T::ID;
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = T::SUMMARY;

    type Scalar = f32;

    fn options() -> Vec<OptionSchema> {
        let mut all = T::options();
        all.push(OptionSchema {
            name: "threads".into(),
            help: "Threads that step the copies, 0 for all cores; results do not depend on it.".into(),
            kind: OptionKind::Integer { min: 0, max: 1024 },
            default: 0i64.into(),
        });
        all
    }

    fn threads(options: &Options) -> usize {
        options.integer("threads").map_or(1, |threads| threads as usize)
    }

    fn new(options: &Options) -> Result<Self, String> {
        Mujoco::with(model(T::MODEL)?, options)
    }

    fn spec(&self) -> Spec {
        let size = self.observation.len();
        let (low, high) = self
            .simulation
            .model
            .control_range()
            .iter()
            .map(|[low, high]| (*low as f32, *high as f32))
            .unzip();
        Spec {
            observation: Space::Box {
                shape: vec![size],
                low: vec![f32::NEG_INFINITY; size],
                high: vec![f32::INFINITY; size],
            },
            action: Space::Box { shape: vec![self.simulation.model.nu], low, high },
            max_episode_steps: Some(T::MAX_EPISODE_STEPS),
            reward_threshold: T::REWARD_THRESHOLD,
            max_return: None,
        }
    }

    fn reset(&mut self, rng: &mut Rng, observation: &mut [f32]) {
        if let Err(error) = self.start(|task, qpos, qvel| task.start(rng, qpos, qvel)) {
            panic!("no episode can be started: {error}");
        }
        self.write(observation);
    }

    fn step(&mut self, action: Action<'_>, _: &mut Rng, observation: &mut [f32]) -> Step {
        let Action::Continuous(action) = action else {
            unreachable!("the SDK gives actions of the space's kind");
        };
        let judged = self.advance(action);
        self.write(observation);
        match judged {
            Ok(Judgement { reward, terminated }) => {
                Step { reward: reward as f32, terminated, truncated: false }
            }
            Err(fault) => {
                self.fault = Some(fault);
                Step { reward: 0.0, terminated: false, truncated: true }
            }
        }
    }

    fn render(&self, mode: RenderMode) -> Result<Frame, String> {
        Ok(match mode {
            RenderMode::Rgb => picture::pixels(&self.simulation, T::VIEW),
            RenderMode::Text => picture::text(&self.simulation, T::VIEW),
        })
    }

    fn fault(&mut self) -> Option<String> {
        self.fault.take()
    }

    /// The number that the next reward compares with, then MuJoCo's integration state, as little-endian `f64`.
    fn snapshot(&self, state: &mut Vec<u8>) -> bool {
        let Ok(numbers) = self.simulation.state() else { return false };
        state.extend(std::iter::once(self.mark).chain(numbers).flat_map(f64::to_le_bytes));
        true
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let (numbers, rest) = state.as_chunks::<8>();
        let numbers: Vec<f64> = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        let Some((mark, state)) = numbers.split_first().filter(|_| rest.is_empty()) else {
            return Err(format!("the snapshot has {} bytes, not whole numbers", state.len()));
        };
        if !numbers.iter().all(|value| value.is_finite()) {
            return Err("the snapshot holds a number that is not finite".into());
        }
        self.simulation.restore(state)?;
        self.look();
        if !self.is_finite() {
            self.start(|_, _, _| {})?;
            return Err("the snapshot's numbers are no state of a simulation".into());
        }
        self.mark = *mark;
        Ok(())
    }
}

//! What all tasks share: one simulation behind the SDK's trait.
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use potstill_sdk::host::setup_folder;
use potstill_sdk::{
    Action, Environment, Frame, OptionKind, OptionSchema, Options, RenderMode, Rng, Space, Spec, Step,
};

use crate::layout::KNOWN;
use crate::library::Library;
use crate::locate::Search;
use crate::painter::Painter;
use crate::picture::{self, View};
use crate::renderer::Camera;
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
    /// The model's positions, velocities and controls, on which everything below relies.
    const SIZES: [usize; 3];
    /// Steps after which Gymnasium truncates.
    const MAX_EPISODE_STEPS: u32 = 1000;
    /// The return at which Gymnasium calls it solved.
    const REWARD_THRESHOLD: Option<f32> = None;
    /// How it is drawn as flat shapes.
    const VIEW: View;
    /// From where MuJoCo's renderer looks: as Gymnasium, which takes its `DEFAULT_CAMERA_CONFIG` only where the model
    /// has no camera `track`.
    const CAMERA: Camera = Camera::Named(c"track");

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
    painter: Painter,
    max_episode_steps: u32,
    /// Of the last step or reset.
    pub(crate) observation: Vec<f64>,
    /// The one before it, for the step that fails.
    before: Vec<f64>,
    mark: f64,
    fault: Option<String>,
}

impl<T: Task> Mujoco<T> {
    pub(crate) fn with(model: Arc<Model>, options: &Options) -> Result<Self, String> {
        let sizes = [model.nq, model.nv, model.nu];
        if sizes != T::SIZES {
            let ([q, v, u], [nq, nv, nu]) = (T::SIZES, sizes);
            return Err(format!(
                "{} has {nq} positions, {nv} velocities and {nu} controls, Gymnasium's has {q}, {v} and {u}",
                T::MODEL
            ));
        }
        let task = T::new(options, &model)?;
        let painter = Painter::new(options, &model)?;
        let max_episode_steps = options.integer("max-episode-steps")? as u32;
        let mut simulation = Simulation::new(model)?;
        simulation.reset(|_, _| {})?;
        let mut copy = Mujoco {
            task,
            simulation,
            painter,
            max_episode_steps,
            observation: vec![],
            before: vec![],
            mark: 0.0,
            fault: None,
        };
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

/// What this process found already. A failure is not kept: the user may install what is missing.
struct Found {
    /// In the order in which they were found.
    libraries: Vec<&'static Library>,
    /// Files of Gymnasium's, and where they are.
    models: Vec<(&'static str, PathBuf)>,
}

static FOUND: Mutex<Found> = Mutex::new(Found { libraries: vec![], models: vec![] });

/// As [`choose`], once a process.
fn library(version: Option<&str>) -> Result<&'static Library, String> {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = |library: &Library| version.is_none_or(|version| library.version == version);
    if let Some(library) = found.libraries.iter().find(|library| wanted(library)) {
        return Ok(library);
    }
    let library = choose(&Search::here(setup_folder().as_deref()), version)?;
    found.libraries.push(library);
    Ok(library)
}

/// MuJoCo of this version, or, without one, the MuJoCo that `search` finds first.
///
/// # Errors
/// There is none, or none of this version; one that comes before it cannot be used.
pub(crate) fn choose(search: &Search, version: Option<&str>) -> Result<&'static Library, String> {
    let mut others = vec![];
    for path in search.libraries() {
        let library = Library::open(&path)?;
        if version.is_none_or(|version| library.version == version) {
            return Ok(library);
        }
        others.push(format!("{} ({})", library.version, path.display()));
    }
    match version {
        Some(version) if !others.is_empty() => Err(format!(
            "MuJoCo {version} is wanted, and what is here is {}; `potstill plugin setup mujoco --version {version}` \
             installs it, or let MUJOCO_PATH name its folder",
            others.join(", ")
        )),
        _ => Err(search.no_library()),
    }
}

/// A model of Gymnasium's in the MuJoCo of this version.
fn model(file: &'static str, version: &str) -> Result<Arc<Model>, String> {
    let library = library(Some(version))?;
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let path = match found.models.iter().find(|(known, _)| *known == file) {
        Some((_, path)) => path.clone(),
        None => {
            let path = Search::here(setup_folder().as_deref()).model(file)?;
            found.models.push((file, path.clone()));
            path
        }
    };
    drop(found);
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
            name: "max-episode-steps".into(),
            help: "Steps after which an episode is cut short.".into(),
            kind: OptionKind::Integer { min: 1, max: 1_000_000 },
            default: i64::from(T::MAX_EPISODE_STEPS).into(),
        });
        all.push(OptionSchema {
            name: "threads".into(),
            help: "Threads that step the copies, 0 for all cores; results do not depend on it.".into(),
            kind: OptionKind::Integer { min: 0, max: 1024 },
            default: 0i64.into(),
        });
        all.push(Painter::option());
        // What a run records, so that it never goes on with another MuJoCo.
        let here = library(None).map_or(KNOWN[0].0, |library| library.version);
        all.push(OptionSchema {
            name: "mujoco".into(),
            help: "Version of MuJoCo; by default the one that is found first.".into(),
            kind: OptionKind::Text { choices: vec![] },
            default: here.into(),
        });
        all
    }

    fn threads(options: &Options) -> usize {
        options.integer("threads").map_or(1, |threads| threads as usize)
    }

    fn new(options: &Options) -> Result<Self, String> {
        Mujoco::with(model(T::MODEL, options.text("mujoco")?)?, options)
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
            max_episode_steps: Some(self.max_episode_steps),
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
        match mode {
            RenderMode::Rgb => self.painter.draw(&self.simulation, T::VIEW, T::CAMERA),
            RenderMode::Text => Ok(picture::text(&self.simulation, T::VIEW)),
        }
    }

    fn fault(&mut self) -> Option<String> {
        self.fault.take()
    }

    /// As little-endian `f64`: MuJoCo's version, whose states others do not have; the number that the next reward
    /// compares with; MuJoCo's integration state.
    fn snapshot(&self, state: &mut Vec<u8>) -> bool {
        let Ok(numbers) = self.simulation.state() else { return false };
        let ours = [f64::from(self.simulation.model.version()), self.mark];
        state.extend(ours.into_iter().chain(numbers).flat_map(f64::to_le_bytes));
        true
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let (numbers, rest) = state.as_chunks::<8>();
        let numbers: Vec<f64> = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        let ([version, mark, state @ ..], []) = (&numbers[..], rest) else {
            return Err(format!("the snapshot has {} bytes, not whole numbers", state.len()));
        };
        if *version != f64::from(self.simulation.model.version()) {
            return Err("the snapshot is of another version of MuJoCo".into());
        }
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

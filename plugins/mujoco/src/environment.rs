//! The code that all tasks share: one simulation behind the SDK's trait.
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use potstill_sdk::packages::Packages;
use potstill_sdk::{
    Action, Environment, Frame, OptionKind, OptionSchema, Options, RenderMode, Rng, Space, Spec, Step,
};

use crate::layout::KNOWN;
use crate::library::Library;
use crate::locate::{self, WANTED, libraries};
use crate::painter::Painter;
use crate::picture::{self, View};
use crate::renderer::Camera;
use crate::simulation::{Model, Simulation};

/// The outcome of a step.
pub struct Judgment {
    pub(crate) reward: f64,
    pub(crate) terminated: bool,
}

/// One of Gymnasium's environments: how an episode starts, its observations and its rewards. The arithmetic is Gymnasium's
/// in `f64`, in its order, except the cost of the action, which NumPy keeps in `f32`.
pub trait Task: Sized + Send + Sync + 'static {
    /// The id, as [`Environment::ID`].
    const ID: &'static str;
    /// The summary, as [`Environment::SUMMARY`].
    const SUMMARY: &'static str;
    /// The model's file in Gymnasium's folder of models.
    const MODEL: &'static str;
    /// The numbers of positions, velocities and controls that the task's code relies on.
    const SIZES: [usize; 3];
    /// Steps after which Gymnasium truncates.
    const MAX_EPISODE_STEPS: u32 = 1000;
    /// The return at which Gymnasium considers it solved.
    const REWARD_THRESHOLD: Option<f32> = None;
    /// The view in which it is drawn as flat shapes.
    const VIEW: View;
    /// The camera of MuJoCo's renderer. As in Gymnasium, `DEFAULT_CAMERA_CONFIG` is used only if the model has no camera
    /// `track`.
    const CAMERA: Camera = Camera::Named(c"track");

    /// The arguments of Gymnasium's constructor that affect the simulation.
    fn options() -> Vec<OptionSchema>;
    /// Makes the task for this model.
    ///
    /// # Errors
    /// The model lacks something that the task refers to.
    fn new(options: &Options, model: &Model) -> Result<Self, String>;
    /// The number of MuJoCo's steps in a step of the environment.
    fn frames(&self) -> usize;
    /// Changes the positions and velocities of the model's initial state into those at the start of an episode.
    fn start(&self, rng: &mut Rng, qpos: &mut [f64], qvel: &mut [f64]);
    /// Appends the observation.
    fn observe(&self, simulation: &Simulation, observation: &mut Vec<f64>);
    /// The value that the next step's reward is computed from, such as the position of the body.
    fn mark(&self, simulation: &Simulation) -> f64;
    /// Computes the outcome of the step just taken. `before` is the mark before it, and `seconds` its simulated duration.
    fn judge(&self, simulation: &Simulation, action: &[f32], before: f64, seconds: f64) -> Judgment;
}

/// One copy of a task.
pub struct Mujoco<T> {
    task: T,
    pub(crate) simulation: Simulation,
    painter: Painter,
    max_episode_steps: u32,
    /// The observation of the last step or reset.
    pub(crate) observation: Vec<f64>,
    /// The observation before it, for a step that fails.
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

    /// Starts an episode from the model's initial state, changed by `noise`.
    pub(crate) fn start(&mut self, noise: impl FnOnce(&T, &mut [f64], &mut [f64])) -> Result<(), String> {
        self.simulation.reset(|qpos, qvel| noise(&self.task, qpos, qvel))?;
        self.look();
        Ok(())
    }

    /// Takes one step, in Gymnasium's precision.
    ///
    /// # Errors
    /// The episode cannot go on; the observation is still the one before.
    pub(crate) fn advance(&mut self, action: &[f32]) -> Result<Judgment, String> {
        let frames = self.task.frames();
        self.simulation.step(action, frames)?;
        let seconds = self.simulation.model.timestep() * frames as f64;
        let judgment = self.task.judge(&self.simulation, action, self.mark, seconds);
        std::mem::swap(&mut self.observation, &mut self.before);
        self.look();
        if self.is_finite() && (judgment.reward as f32).is_finite() {
            return Ok(judgment);
        }
        std::mem::swap(&mut self.observation, &mut self.before);
        Err("the simulation became unstable (an observation or reward beyond single precision)".into())
    }

    /// Whether the observation is finite in single precision.
    fn is_finite(&self) -> bool {
        self.observation.iter().all(|value| (*value as f32).is_finite())
    }

    fn write(&self, observation: &mut [f32]) {
        for (out, value) in observation.iter_mut().zip(&self.observation) {
            *out = *value as f32;
        }
    }
}

/// The files that this process has found. A failure is not kept, because the user may install what is missing.
struct Found {
    /// The libraries, in the order in which they were found.
    libraries: Vec<&'static Library>,
    /// Gymnasium's model files and their paths.
    models: Vec<(&'static str, PathBuf)>,
}

static FOUND: Mutex<Found> = Mutex::new(Found { libraries: vec![], models: vec![] });

/// As [`choose`], once per process.
fn library(version: Option<&str>) -> Result<&'static Library, String> {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = |library: &Library| version.is_none_or(|version| library.version == version);
    if let Some(library) = found.libraries.iter().find(|library| wanted(library)) {
        return Ok(library);
    }
    let library = choose(&Packages::search(WANTED), version)?;
    found.libraries.push(library);
    Ok(library)
}

/// Opens MuJoCo of this version or, without a version, the one that is found first.
///
/// # Errors
/// There is none, or none of this version; one that comes before it cannot be used.
pub(crate) fn choose(packages: &Packages, version: Option<&str>) -> Result<&'static Library, String> {
    let mut others = vec![];
    for path in libraries(packages) {
        let library = Library::open(&path)?;
        if version.is_none_or(|version| library.version == version) {
            return Ok(library);
        }
        others.push(format!("{} ({})", library.version, path.display()));
    }
    match version {
        Some(version) if !others.is_empty() => Err(format!(
            "MuJoCo {version} is required, but only {} was found; `potstill plugin setup mujoco --version {version}` \
             installs it, or set MUJOCO_PATH to its folder",
            others.join(", ")
        )),
        _ => Err(packages.missing("MuJoCo's library")),
    }
}

/// Loads one of Gymnasium's models into the MuJoCo of this version.
fn model(file: &'static str, version: &str) -> Result<Arc<Model>, String> {
    let library = library(Some(version))?;
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let path = match found.models.iter().find(|(known, _)| *known == file) {
        Some((_, path)) => path.clone(),
        None => {
            let path = locate::model(&Packages::search(WANTED), file)?;
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
            help: "Steps after which an episode is truncated.".into(),
            kind: OptionKind::Integer { min: 1, max: 1_000_000 },
            default: i64::from(T::MAX_EPISODE_STEPS).into(),
        });
        all.push(OptionSchema {
            name: "threads".into(),
            help: "Threads that step the copies; 0 for all cores. Results do not depend on it.".into(),
            kind: OptionKind::Integer { min: 0, max: 1024 },
            default: 0i64.into(),
        });
        all.push(Painter::option());
        // A run records this option, so that it never continues with another MuJoCo.
        let here = library(None).map_or(KNOWN[0].0, |library| library.version);
        all.push(OptionSchema {
            name: "mujoco".into(),
            help: "Version of MuJoCo; the default is the first one found.".into(),
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
            Ok(Judgment { reward, terminated }) => {
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

    /// Writes little-endian `f64`s: MuJoCo's version, since other versions have other states; the mark that the next
    /// reward is computed from; and MuJoCo's integration state.
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
            return Err("the snapshot contains a number that is not finite".into());
        }
        self.simulation.restore(state)?;
        self.look();
        if !self.is_finite() {
            self.start(|_, _, _| {})?;
            return Err("the snapshot's numbers are not a state of a simulation".into());
        }
        self.mark = *mark;
        Ok(())
    }
}

//! N copies of an environment of Gymnasium as the host steps them.
use std::time::Duration;

use bytemuck::Pod;
use potstill_sdk::{
    Actions, Batch, BatchVariant, Frame, OptionSchema, Options, Outcomes, RenderMode, Rows, Space, Spec,
};
use serde_json::{Value, json};

use crate::catalog::KNOWN;
use crate::copies::Copies;
use crate::crew::{CREW, Crew};
use crate::shared::{Array, Shared};
use crate::worker::Task;

/// The environment of `KNOWN[N]`.
pub struct Known<const N: usize>;

/// `gym/make-v0`: whatever the user's Gymnasium makes.
pub struct Make;

/// N copies of an environment.
pub struct Gymnasium {
    spec: Spec,
    shared: Shared,
    pub(crate) copies: Copies,
}

/// The options. Environments differ in the wrappers that they need to be numbers, and in whether their bytes are pictures.
fn options(wrappers: &str, images: bool) -> Vec<OptionSchema> {
    vec![
        OptionSchema::text(
            "kwargs",
            "Arguments of `gymnasium.make`: a JSON object such as {\"continuous\": true}.",
            &[],
            "",
        ),
        OptionSchema::text(
            "wrappers",
            "Wrappers, the innermost first: module:Class, separated by commas.",
            &[],
            wrappers,
        ),
        OptionSchema::integer(
            "max-episode-steps",
            "Truncate episodes after this many steps; 0 for the environment's own limit.",
            0..=i64::from(i32::MAX),
            0,
        ),
        OptionSchema::boolean(
            "images",
            "Take bytes from 0 to 255, (height, width) or (height, width, channels), for pictures.",
            images,
        ),
        OptionSchema::text(
            "render",
            "The render_mode to make copies with; auto sets what the environment has when it draws.",
            &["auto", "rgb_array", "ansi", "none"],
            "auto",
        ),
        OptionSchema::integer(
            "workers",
            "Python processes that step the copies; 0 for one per core.",
            0..=1024,
            0,
        ),
        OptionSchema::number(
            "timeout",
            "Seconds that a worker may take for an answer.",
            0.01..=86400.0,
            60.0,
        ),
    ]
}

impl<const N: usize> BatchVariant for Known<N> {
    type Batch = Gymnasium;
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn names() -> [&'static str; 2] {
        [KNOWN[N].id, KNOWN[N].summary]
    }

    fn schemas() -> Vec<OptionSchema> {
        // What a MiniGrid shows is a dictionary with a text, and codes of objects rather than a picture.
        let grid = KNOWN[N].name.starts_with("minigrid:");
        options(if grid { "minigrid.wrappers:ImgObsWrapper" } else { "" }, !grid)
    }

    fn make(num_envs: usize, options: &Options) -> Result<Gymnasium, String> {
        Gymnasium::new(&CREW, KNOWN[N].name, num_envs, options)
    }
}

impl BatchVariant for Make {
    type Batch = Gymnasium;
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn names() -> [&'static str; 2] {
        ["gym/make-v0", "Any environment of your Gymnasium, by its id."]
    }

    fn schemas() -> Vec<OptionSchema> {
        let help = "Gymnasium's id, such as Acrobot-v1, or module:Env-v0 if a module registers it.";
        let mut all = vec![OptionSchema::text("id", help, &[], "")];
        all.extend(options("", true));
        all
    }

    fn make(num_envs: usize, options: &Options) -> Result<Gymnasium, String> {
        match options.text("id")? {
            "" => Err("name the environment: --set id=Acrobot-v1, or --set id=module:Env-v0".into()),
            id => Gymnasium::new(&CREW, id, num_envs, options),
        }
    }
}

impl Gymnasium {
    /// Makes `count` copies of what Gymnasium calls `name`, with workers of `crew`.
    ///
    /// # Errors
    /// There is no Gymnasium, it does not know or cannot make the environment, or a space or an option is not supported.
    pub(crate) fn new(crew: &Crew, name: &str, count: usize, options: &Options) -> Result<Self, String> {
        let limit = Duration::from_secs_f64(options.number("timeout")?);
        let workers = match options.integer("workers")? {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            workers => workers as usize,
        };
        let mut arguments = json!({
            "id": name,
            "kwargs": options.text("kwargs")?,
            "wrappers": options.text("wrappers")?,
            "max_episode_steps": options.integer("max-episode-steps")?,
            "images": options.boolean("images")?,
            "render": options.text("render")?,
        });
        let (seats, which) = crew.hire(workers.min(count), workers, limit)?;
        let copies = Copies::new(seats, count, limit);
        let made = copies.ask(Task::Make, |share| {
            let mut arguments = arguments.clone();
            arguments["count"] = share.count.into();
            arguments.to_string().into_bytes()
        });
        let made = made.map_err(|error| format!("{error}, in {which}"))?;
        arguments = serde_json::from_slice(made.first().map_or(&[], Vec::as_slice))
            .map_err(|error| format!("a worker's answer cannot be read: {error}"))?;
        if made.iter().any(|other| *other != made[0]) {
            return Err("its copies differ in their spaces".into());
        }
        let spec = specification(&arguments).ok_or("a worker's answer lacks a field")?;
        for space in [&spec.observation, &spec.action] {
            space.validate().map_err(|error| error.to_string())?;
        }
        let (shared, file) = Shared::new(&spec, count)
            .map_err(|error| format!("no room for the observations of {count} copies: {error}"))?;
        copies.ask(Task::Attach, |share| shared.layout(file.path(), share.first).to_string().into_bytes())?;
        Ok(Gymnasium { spec, shared, copies })
    }
}

/// The specification that a worker sends.
fn specification(said: &Value) -> Option<Spec> {
    let limit = said["max_episode_steps"].as_u64().and_then(|steps| u32::try_from(steps).ok());
    Some(Spec {
        observation: space(&said["observation"])?,
        action: space(&said["action"])?,
        max_episode_steps: limit.filter(|steps| *steps > 0),
        reward_threshold: said["reward_threshold"].as_f64().map(|threshold| threshold as f32),
        max_return: None,
    })
}

fn space(said: &Value) -> Option<Space> {
    let sizes = |name: &str| -> Option<Vec<usize>> {
        said[name].as_array()?.iter().map(|size| Some(size.as_u64()? as usize)).collect()
    };
    let bounds = |name: &str| -> Option<Vec<f32>> {
        said[name].as_array()?.iter().map(|bound| Some(bound.as_f64()? as f32)).collect()
    };
    Some(match said["kind"].as_str()? {
        "box" => Space::Box { shape: sizes("shape")?, low: bounds("low")?, high: bounds("high")? },
        "image" => Space::Image { shape: sizes("shape")? },
        "discrete" => Space::Discrete { n: said["n"].as_u64()? as usize },
        "multi-discrete" => Space::MultiDiscrete { nvec: sizes("nvec")? },
        _ => return None,
    })
}

impl Batch for Gymnasium {
    fn spec(&self) -> Spec {
        self.spec.clone()
    }

    fn reset(&mut self, seeds: &[u64], observations: Rows<'_>) -> Result<(), String> {
        self.shared.write(Array::Seeds, seeds);
        self.copies.ask(Task::Reset, |_| vec![])?;
        match observations {
            Rows::Float(rows) => rows.copy_from_slice(self.shared.read(Array::Observations)),
            Rows::Byte(rows) => rows.copy_from_slice(self.shared.read(Array::Observations)),
        }
        Ok(())
    }

    fn step(&mut self, actions: Actions<'_>, out: Outcomes<'_>) -> Result<(), String> {
        match actions {
            Actions::Discrete(values) => self.shared.write(Array::Actions, values),
            Actions::Continuous(values) => self.shared.write(Array::Actions, values),
        }
        self.copies.ask(Task::Step, |_| vec![])?;
        let shared = &self.shared;
        out.rewards.copy_from_slice(shared.read(Array::Rewards));
        out.terminated.copy_from_slice(shared.read(Array::Terminated));
        out.truncated.copy_from_slice(shared.read(Array::Truncated));
        let ended = out
            .terminated
            .iter()
            .zip(&*out.truncated)
            .map(|(terminated, truncated)| terminated | truncated != 0);
        match (out.observations, out.final_observations) {
            (Rows::Float(rows), Rows::Float(finals)) => observe(shared, ended, rows, finals),
            (Rows::Byte(rows), Rows::Byte(finals)) => observe(shared, ended, rows, finals),
            _ => return Err("the host has room for observations of another type".into()),
        }
        Ok(())
    }

    fn render(&mut self, index: usize, mode: RenderMode) -> Result<Frame, String> {
        let text = mode == RenderMode::Text;
        let payload = |index: usize| {
            let mut payload = (index as u32).to_le_bytes().to_vec();
            payload.push(text.into());
            payload
        };
        let drawn = self.copies.ask_one(index, Task::Draw, payload)?;
        if text {
            return Ok(Frame::Text(String::from_utf8_lossy(&drawn).into_owned()));
        }
        let header = drawn
            .split_first_chunk::<4>()
            .and_then(|(width, rest)| Some((width, rest.split_first_chunk::<4>()?)));
        let (width, (height, pixels)) = header.ok_or("a worker's picture is cut short")?;
        let [width, height] = [width, height].map(|size| u32::from_le_bytes(*size));
        if pixels.len() as u64 != 3 * u64::from(width) * u64::from(height) {
            return Err("a worker's picture has another size than it says".into());
        }
        Ok(Frame::Rgb { width, height, pixels: pixels.to_vec() })
    }
}

/// Copies all observations to `rows`, and to `finals` the last ones of episodes that ended, without gaps.
fn observe<T: Pod>(shared: &Shared, ended: impl Iterator<Item = bool>, rows: &mut [T], finals: &mut [T]) {
    rows.copy_from_slice(shared.read(Array::Observations));
    let (all, size) = (shared.read::<T>(Array::Finals), rows.len() / shared.copies());
    let last = all.chunks_exact(size).zip(ended).filter(|(_, ended)| *ended).map(|(row, _)| row);
    for (row, place) in last.zip(finals.chunks_exact_mut(size)) {
        place.copy_from_slice(row);
    }
}

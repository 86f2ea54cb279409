//! `potstill play`: draws the episodes of an agent in the terminal and as a GIF.
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use potstill_plugin_api::Frame;

use super::output::{Force, Kind, Output};
use super::{say, target, tell};
use crate::engine::policy::Acting;
use crate::engine::policy::{Policy, clamp};
use crate::engine::random::{Stream, stream};
use crate::error::{Error, Result};
use crate::plugin::text::counted;
use crate::plugin::{Environments, Observations, Registry, RenderMode};
use crate::run::write_atomically;
use crate::terminal::draw;

/// Watch an agent in the terminal, or as a GIF
///
/// Given a dataset or a run, it first trains a fresh learner on the dataset. Where the environment draws nothing, or
/// standard output is no terminal, the return and the length of each episode are printed all the same.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  potstill play runs/five\n  potstill play agent.safetensors --gif agent.gif --greedy"
)]
pub(super) struct Play {
    /// An agent file, a dataset file or a run directory
    pub(super) target: PathBuf,
    /// Also write the episodes as a GIF
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    gif: Option<PathBuf>,
    #[command(flatten)]
    force: Force,
    /// Number of episodes
    #[arg(long, default_value_t = 1, help_heading = "Episodes")]
    episodes: usize,
    /// Stop each episode after this many steps
    #[arg(long, default_value_t = 1000, help_heading = "Episodes")]
    steps: usize,
    /// Take the most probable action instead of sampling
    #[arg(long, help_heading = "Episodes")]
    greedy: bool,
    /// Watch the learner before its gradient step, for comparison
    #[arg(long, help_heading = "Episodes")]
    untaught: bool,
    /// Seed of the learner, the episodes and the actions
    #[arg(long, default_value_t = 0, help_heading = "Episodes")]
    seed: u64,
    /// Do not draw in the terminal
    #[arg(long, help_heading = "Output")]
    quiet: bool,
}

/// A GIF shows every second step: 25 pictures per second for cart-pole's 50 steps.
const STEPS_PER_PICTURE: usize = 2;
/// The time between pictures, in hundredths of a second.
const DELAY: u16 = 4;

/// The time that a step is shown in the terminal.
const STEP: Duration = Duration::from_millis(20);
/// The time that the start of an episode is shown, and its end twice as long.
const HOLD: Duration = Duration::from_millis(500);

impl Play {
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        if self.episodes == 0 || self.steps == 0 {
            return Err(Error::usage("--episodes and --steps must be at least 1"));
        }
        let out = self.gif.as_deref().map(|path| Output::new(path, Kind::Gif, &self.force, &[&self.target]));
        let out = out.transpose()?;
        let agent = target::agent(&self.target, registry, self.seed, self.untaught)?;
        let mut environments = agent.make_environment(registry)?;
        let (outputs, policy) = (agent.outputs(1)?, agent.policy()?);
        let mut random = stream(self.seed, "play", 0);
        let mut gif = out.map(Gif::new);
        let draws = !self.quiet && std::io::stdout().is_terminal();
        let mut screen = Screen { draws, picture: String::new() };
        for episode in 1..=self.episodes {
            let (total, steps, failed) = self.episode(
                environments.as_mut(),
                &outputs,
                policy,
                &mut random,
                gif.as_mut(),
                &mut screen,
            )?;
            let steps = counted(steps, "step");
            let failed = super::eval::faults(failed.into());
            say(&format!("episode {episode}: return {total:.1} in {steps}{failed}"))?;
        }
        if let Some(gif) = gif {
            let (path, pictures) = gif.finish()?;
            say(&format!("{} in {}", counted(pictures, "picture"), path.display()))?;
        }
        Ok(())
    }

    /// Plays one episode; gives its return, its number of steps, and whether its simulation failed.
    fn episode(
        &self,
        environments: &mut dyn Environments,
        outputs: &dyn Fn(&Observations) -> Vec<f32>,
        policy: Policy,
        random: &mut Stream,
        mut gif: Option<&mut Gif>,
        screen: &mut Screen,
    ) -> Result<(f32, usize, bool)> {
        use rand::Rng;
        let space = environments.spec().action.clone();
        let mut observations = environments.reset(&[random.random()])?;
        let mut total = 0.0;
        for step in 0..self.steps {
            if let Some(gif) = gif.as_deref_mut().filter(|_| step % STEPS_PER_PICTURE == 0) {
                gif.add(environments.render(0, RenderMode::Rgb)?)?;
            }
            screen.show(environments, step, total)?;
            let acting = if self.greedy { Acting::Greedy } else { Acting::Sampled };
            let chosen = policy.choose(&outputs(&observations), acting, random);
            let transition = environments.step(&clamp(&chosen.actions, &space))?;
            total += transition.rewards[0];
            let failed = transition.faults[0];
            if transition.terminated[0] || transition.truncated[0] {
                let how = if transition.terminated[0] { "terminated" } else { "truncated" };
                screen.end(step + 1, total, how)?;
                return Ok((total, step + 1, failed));
            }
            observations.clone_from(&transition.observations);
        }
        screen.show(environments, self.steps, total)?;
        screen.end(self.steps, total, "stopped by --steps")?;
        Ok((total, self.steps, false))
    }
}

/// The terminal, on which an episode is drawn.
struct Screen {
    /// Whether there is a terminal, and an environment that draws text.
    draws: bool,
    /// The state drawn last.
    picture: String,
}

impl Screen {
    /// Draws the state of an episode after `step` steps with this return.
    fn show(&mut self, environments: &mut dyn Environments, step: usize, total: f32) -> Result<()> {
        if !self.draws {
            return Ok(());
        }
        match environments.render(0, RenderMode::Text) {
            Ok(Frame::Text(text)) => self.picture = text.trim_end().to_owned(),
            Ok(Frame::Rgb { .. }) => return Ok(()),
            // A plugin that broke down gives the same error at the next step.
            Err(why) => {
                self.draws = false;
                let id = environments.spec().id.clone();
                let pictures = match environments.render(0, RenderMode::Rgb) {
                    Ok(_) => "; `--gif FILE` writes its pictures",
                    Err(_) => "",
                };
                tell(&format!("`{id}` is not drawn here ({why}){pictures}"));
                return Ok(());
            }
        }
        draw(&format!("{}\nstep {step}  return {total:.0}", self.picture), step == 0)?;
        std::thread::sleep(if step == 0 { HOLD } else { STEP });
        Ok(())
    }

    /// Keeps the end of an episode on the screen for a moment. Its last state cannot be drawn where the environment has
    /// reset itself: then the one before it stays.
    fn end(&self, steps: usize, total: f32, how: &str) -> Result<()> {
        if self.draws {
            draw(&format!("{}\nstep {steps}  return {total:.0}  {how}", self.picture), false)?;
            std::thread::sleep(2 * HOLD);
        }
        Ok(())
    }
}

/// A GIF being made.
struct Gif {
    out: Output,
    /// The encoder, which needs the size of the first picture.
    encoder: Option<gif::Encoder<Vec<u8>>>,
    size: (u16, u16),
    pictures: usize,
}

impl Gif {
    fn new(out: Output) -> Self {
        Gif { out, encoder: None, size: (0, 0), pictures: 0 }
    }

    fn fail(&self, error: impl std::fmt::Display) -> Error {
        Error::file(self.out.path(), format!("the GIF could not be written: {error}"))
    }

    fn add(&mut self, frame: Frame) -> Result<()> {
        let Frame::Rgb { width, height, pixels } = frame else {
            return Err(self.fail("the environment draws no pictures"));
        };
        let (Ok(w), Ok(h)) = (u16::try_from(width), u16::try_from(height)) else {
            return Err(self.fail(format!("pictures of {width} × {height} are too large for a GIF")));
        };
        if self.encoder.is_none() {
            let mut encoder = gif::Encoder::new(vec![], w, h, &[]).map_err(|e| self.fail(e))?;
            encoder.set_repeat(gif::Repeat::Infinite).map_err(|e| self.fail(e))?;
            self.encoder = Some(encoder);
            self.size = (w, h);
        }
        if self.size != (w, h) {
            return Err(self.fail("the environment changes the size of its pictures"));
        }
        let mut picture = gif::Frame::from_rgb_speed(w, h, &pixels, 10);
        picture.delay = DELAY;
        self.pictures += 1;
        let written = self.encoder.as_mut().map(|encoder| encoder.write_frame(&picture));
        match written {
            Some(Err(error)) => Err(self.fail(error)),
            _ => Ok(()),
        }
    }

    /// Writes the file. Returns its path and its number of pictures.
    fn finish(mut self) -> Result<(PathBuf, usize)> {
        if let Some(encoder) = self.encoder.take() {
            let bytes = encoder.into_inner().map_err(|e| self.fail(e))?;
            self.out.write(|path| write_atomically(path, |file| file.write_all(&bytes)))?;
        }
        Ok((self.out.path().to_owned(), self.pictures))
    }
}

//! A game as a reinforcement-learning environment: Gymnasium's `AtariPreprocessing` and `FrameStackObservation`, except that
//! life and reward are left to the host's wrappers.
use md5::{Digest, Md5};
use potstill_sdk::{
    Action, Environment, Frame, OptionSchema, Options, RenderMode, Rng, Space, Spec, Step, Variant,
};

use crate::frame::{Pooled, Reducer, Screens};
use crate::machine::{FIRE, MEMORY, Machine, NOOP, Switches};
use crate::starts::Starts;
use crate::{GAMES, Game, roms};

/// The environment of `GAMES[N]`.
pub struct Atari<const N: usize>;

/// What a frame is.
enum View {
    /// Made from screens.
    Screen(Box<Reducer>),
    /// The console's memory.
    Memory,
}

/// One copy of a game.
pub struct Play {
    pub(crate) machine: Machine,
    starts: Starts,
    view: View,
    /// ALE's numbers of the actions.
    actions: Vec<i32>,
    /// The most frames at the start of an episode in which nothing is pressed.
    noops: u64,
    skip: usize,
    /// Whether a frame is the maximum of two screens.
    pool: bool,
    sticky: f64,
    /// Whether an episode starts with the button and the action behind it.
    fires: bool,
    /// The last frames, `[frames, channels, height, width]`, the newest at the end.
    pub(crate) stack: Vec<u8>,
    /// The console's memory at the last frames, `[frames, 128]` or in bits `[frames, 1024]`, if it is shown beside them.
    memories: Vec<u8>,
    /// Whether the memory is shown in bits.
    bits: bool,
    /// `[frames · channels, height, width]`, with one more channel for the memory beside the frames.
    shape: [usize; 3],
    screens: Screens,
    /// Whether an episode ended in the last frame of a step. As in Gymnasium, its screen is then missing, and that of the step
    /// before is seen with the others.
    broken_off: bool,
    /// What was pressed in the last frame.
    pub(crate) pressed: i32,
    pub(crate) life_lost: bool,
}

/// Adds a frame to a stack, or fills the stack with it.
fn push(stack: &mut [u8], frame: &[u8], fill: bool) {
    if fill {
        stack.chunks_exact_mut(frame.len()).for_each(|place| place.copy_from_slice(frame));
    } else {
        stack.copy_within(frame.len().., 0);
        let newest = stack.len() - frame.len();
        stack[newest..].copy_from_slice(frame);
    }
}

/// The console's memory: its bytes, or their bits, the most significant first, as 0 and 255.
fn shown(machine: &Machine, bits: bool) -> Vec<u8> {
    let mut memory = [0; MEMORY];
    machine.memory(&mut memory);
    match bits {
        true => {
            memory.iter().flat_map(|byte| (0..8).rev().map(move |bit| 255 * ((byte >> bit) & 1))).collect()
        }
        false => memory.to_vec(),
    }
}

impl Play {
    pub(crate) fn new(game: &Game, options: &Options) -> Result<Self, String> {
        let number = |name: &str| options.integer(name).map(|value| value as usize);
        let rom = roms::find(game.rom)?;
        let switches = Switches {
            max_frames: options.integer("max-frames")? as i32,
            mode: options.integer("mode")? as i32,
            difficulty: options.integer("difficulty")? as i32,
        };
        let mut machine = Machine::open(&rom, switches)?;
        let actions = machine.actions(options.boolean("full-action-space")?);
        let size = number("screen-size")?;
        let [gray, red, green, blue] = machine.palette();
        let channels = match options.boolean("grayscale")? {
            true => vec![gray],
            false => vec![red, green, blue],
        };
        let bits = options.boolean("ram-bits")?;
        let entries = if bits { 8 * MEMORY } else { MEMORY };
        let (view, [channels, height, width]) = match options.text("observation")? {
            "ram" => (View::Memory, [1, 1, entries]),
            _ => {
                let frame = [channels.len(), size, size];
                (View::Screen(Box::new(Reducer::new(machine.size(), [size, size], channels))), frame)
            }
        };
        let frames = number("frame-stack")?;
        let beside = options.text("observation")? == "screen-and-ram";
        if beside && frames * entries > height * width {
            return Err(format!(
                "a channel of {height} × {width} has no room for the memory at {frames} frames"
            ));
        }
        Ok(Play {
            starts: Starts::of(&rom, switches),
            view,
            fires: options.boolean("fire-reset")? && actions.len() > 2 && actions[1] == FIRE,
            actions,
            noops: number("noop-max")? as u64,
            skip: number("frame-skip")?,
            pool: options.boolean("max-pool")?,
            sticky: options.number("repeat-action-probability")?,
            stack: vec![0; frames * channels * height * width],
            memories: vec![0; if beside { frames * entries } else { 0 }],
            bits,
            shape: [frames * channels + usize::from(beside), height, width],
            screens: Screens::all(machine.screen(), machine.size()[1]),
            broken_off: false,
            pressed: NOOP,
            life_lost: false,
            machine,
        })
    }

    /// Starts an episode after a random number of frames.
    fn reset(&mut self, rng: &mut Rng) -> Result<(), String> {
        let frames = if self.noops == 0 { 0 } else { 1 + rng.below(self.noops) as usize };
        self.start(frames)?;
        if self.fires {
            for choice in 1..3 {
                if self.advance(choice, rng).1 {
                    self.start(frames)?;
                }
            }
        }
        self.see(true);
        Ok(())
    }

    /// Starts an episode after so many frames, which the stack does not show yet.
    pub(crate) fn start(&mut self, frames: usize) -> Result<(), String> {
        let start = self.starts.after(frames, &mut self.machine)?;
        start.enter(&mut self.machine)?;
        self.pressed = NOOP;
        self.screens.replace([&start.screen; 3]);
        Ok(())
    }

    /// Does an action for as many frames as are skipped. Returns the sum of their rewards, and whether the episode ended.
    pub(crate) fn advance(&mut self, choice: usize, rng: &mut Rng) -> (f32, bool) {
        let lives = self.machine.lives();
        let mut reward = 0;
        let mut ended = false;
        self.broken_off = false;
        for frame in 0..self.skip {
            if self.sticky == 0.0 || rng.uniform() >= self.sticky {
                self.pressed = self.actions[choice];
            }
            reward += self.machine.act(self.pressed);
            ended = self.machine.terminated() || self.machine.truncated();
            if ended {
                self.broken_off = frame + 1 == self.skip;
                break;
            }
            if frame + 2 == self.skip {
                self.screens.take_before(self.machine.screen());
            } else if frame + 1 == self.skip {
                self.screens.take_last(self.machine.screen());
            }
        }
        self.life_lost = !ended && self.machine.lives() < lives;
        (reward as f32, ended)
    }

    /// Adds what there is to see to the stack, or fills the stack with it.
    pub(crate) fn see(&mut self, fill: bool) {
        let memory;
        let frame = match &mut self.view {
            View::Memory => {
                memory = shown(&self.machine, self.bits);
                &memory[..]
            }
            View::Screen(reducer) => {
                let pooled = match (self.pool && self.skip > 1, self.broken_off) {
                    (false, _) => Pooled::One,
                    (true, false) => Pooled::Two,
                    (true, true) => Pooled::Three,
                };
                reducer.frame(&mut self.screens, pooled)
            }
        };
        push(&mut self.stack, frame, fill);
        if !self.memories.is_empty() {
            push(&mut self.memories, &shown(&self.machine, self.bits), fill);
        }
    }

    /// Writes what there is to see: the frames, then the channel of the memory.
    fn observe(&self, observation: &mut [u8]) {
        let (frames, beside) = observation.split_at_mut(self.stack.len());
        frames.copy_from_slice(&self.stack);
        let (memories, rest) = beside.split_at_mut(self.memories.len());
        memories.copy_from_slice(&self.memories);
        rest.fill(0);
    }

    /// The last screen in colors, `[height, width, 3]`.
    fn colors(&self) -> Vec<u8> {
        let [_, red, green, blue] = self.machine.palette();
        let color = |&color: &u8| [red, green, blue].map(|channel| channel[usize::from(color)]);
        self.screens.last().iter().flat_map(color).collect()
    }

    /// The last screen as characters, of which brighter ones stand for brighter places.
    fn text(&self) -> String {
        const COLUMNS: usize = 80;
        const ROWS: usize = 42;
        const SHADES: &[u8] = b" .:-=+*#%@";
        let [gray, ..] = self.machine.palette();
        let [height, width] = self.machine.size();
        let mut text = String::with_capacity(ROWS * (COLUMNS + 1));
        for row in 0..ROWS {
            for column in 0..COLUMNS {
                let rows = row * height / ROWS..(row + 1) * height / ROWS;
                let columns = column * width / COLUMNS..(column + 1) * width / COLUMNS;
                let pixels = rows.flat_map(|y| columns.clone().map(move |x| y * width + x));
                // Small things in front of a dark background remain visible.
                let brightest =
                    pixels.map(|at| gray[usize::from(self.screens.last()[at])]).max().unwrap_or(0);
                text.push(char::from(SHADES[usize::from(brightest) * SHADES.len() / 256]));
            }
            text.push('\n');
        }
        text
    }

    fn snapshot(&self) -> Result<Vec<u8>, String> {
        let mut state = (self.pressed as u32).to_le_bytes().to_vec();
        let [last, before, older] = self.screens.three();
        [last, before, older, &self.stack, &self.memories]
            .into_iter()
            .for_each(|part| state.extend_from_slice(part));
        state.extend(self.machine.save()?);
        Ok(state)
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let screen = self.screens.last().len();
        let lengths = [4, screen, screen, screen, self.stack.len(), self.memories.len()];
        if state.len() <= lengths.iter().sum() {
            return Err("the snapshot is of another game, or of other options".into());
        }
        let mut rest = state;
        let [pressed, last, before, older, stack, memories] = lengths.map(|length| {
            let (part, behind) = rest.split_at(length);
            rest = behind;
            part
        });
        self.machine.restore(rest)?;
        self.pressed = i32::from_le_bytes(pressed.try_into().expect("four bytes"));
        self.screens.replace([last, before, older]);
        self.stack.copy_from_slice(stack);
        self.memories.copy_from_slice(memories);
        Ok(())
    }
}

impl<const N: usize> Variant for Atari<N> {
    type Environment = Play;

    fn names() -> [&'static str; 2] {
        [GAMES[N].id, GAMES[N].summary]
    }

    fn schemas() -> Vec<OptionSchema> {
        options(GAMES[N].sticky)
    }

    fn make(options: &Options) -> Result<Play, String> {
        Play::new(&GAMES[N], options)
    }
}

/// The options of a game, with these actions repeated at random by default.
pub(crate) fn options(sticky: bool) -> Vec<OptionSchema> {
    vec![
        OptionSchema::integer("frame-skip", "Frames for which an action is done.", 1..=60, 4),
        OptionSchema::boolean("max-pool", "Show the maximum of the last two screens.", true),
        OptionSchema::integer(
            "noop-max",
            "An episode starts with 1 to this many frames in which nothing is pressed; 0 for none.",
            0..=1000,
            30,
        ),
        OptionSchema::integer("screen-size", "Height and width of a frame.", 1..=160, 84),
        OptionSchema::boolean("grayscale", "Show brightness; otherwise red, green and blue.", true),
        OptionSchema::integer("frame-stack", "Frames that are shown together.", 1..=16, 4),
        OptionSchema::boolean(
            "fire-reset",
            "Press the button, and then the action behind it, at the start of an episode.",
            false,
        ),
        OptionSchema::text(
            "observation",
            "What is shown: the screen, the 128 bytes of the console's memory, or both, the memory in a channel behind the frames.",
            &["screen", "ram", "screen-and-ram"],
            "screen",
        ),
        OptionSchema::boolean("ram-bits", "Show the memory as 1024 bits, each 0 or 255.", false),
        OptionSchema::boolean(
            "full-action-space",
            "All 18 actions, not only those that the game uses.",
            false,
        ),
        OptionSchema::number(
            "repeat-action-probability",
            "With this probability, a frame repeats what was pressed in the one before.",
            0.0..=1.0,
            if sticky { 0.25 } else { 0.0 },
        ),
        OptionSchema::integer("mode", "The game's mode; -1 for its default.", -1..=255, -1),
        OptionSchema::integer("difficulty", "The game's difficulty; -1 for its default.", -1..=255, -1),
        OptionSchema::integer(
            "max-frames",
            "Frames after which an episode is truncated.",
            1..=1_000_000_000,
            108_000,
        ),
        OptionSchema::integer(
            "threads",
            "Threads that step the copies; 0 for all cores. Results do not depend on it.",
            0..=1024,
            0,
        ),
    ]
}

impl Environment for Play {
    const ID: &'static str = GAMES[0].id;
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = GAMES[0].summary;

    type Scalar = u8;

    fn threads(options: &Options) -> usize {
        options.integer("threads").map_or(1, |threads| threads as usize)
    }

    fn new(options: &Options) -> Result<Self, String> {
        Play::new(&GAMES[0], options)
    }

    fn spec(&self) -> Spec {
        Spec {
            observation: Space::Image { shape: self.shape.to_vec() },
            action: Space::Discrete { n: self.actions.len() },
            max_episode_steps: None,
            reward_threshold: None,
            max_return: None,
        }
    }

    fn reset(&mut self, rng: &mut Rng, observation: &mut [u8]) {
        if let Err(error) = self.reset(rng) {
            panic!("no episode can be started: {error}");
        }
        self.observe(observation);
    }

    fn step(&mut self, action: Action<'_>, rng: &mut Rng, observation: &mut [u8]) -> Step {
        let (reward, _) = self.advance(action.choice() as usize, rng);
        self.see(false);
        self.observe(observation);
        Step { reward, terminated: self.machine.terminated(), truncated: self.machine.truncated() }
    }

    fn life_lost(&mut self) -> Option<bool> {
        Some(self.life_lost)
    }

    fn render(&self, mode: RenderMode) -> Result<Frame, String> {
        let [height, width] = self.machine.size();
        Ok(match mode {
            RenderMode::Rgb => {
                Frame::Rgb { width: width as u32, height: height as u32, pixels: self.colors() }
            }
            RenderMode::Text => Frame::Text(self.text()),
        })
    }

    /// Writes what was pressed, both screens, the stack and ALE's own state, behind the MD5 of all of it: ALE trusts its state.
    fn snapshot(&self, state: &mut Vec<u8>) -> bool {
        let Ok(own) = self.snapshot() else { return false };
        state.extend_from_slice(&Md5::digest(&own));
        state.extend(own);
        true
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        match state.split_at_checked(16) {
            Some((md5, own)) if Md5::digest(own)[..] == *md5 => self.restore(own),
            _ => Err("the snapshot is damaged".into()),
        }
    }
}

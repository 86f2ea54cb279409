//! A game as a reinforcement-learning environment.
use potstill_sdk::{
    Action, Environment, Frame, OptionSchema, Options, RenderMode, Rng, Space, Spec, Step, Variant,
};

use crate::library::{ACTIONS, LARGE, Library, Machine, SIDE, Value};
use crate::{GAMES, Game};

/// The environment of `GAMES[N]`.
pub struct Procgen<const N: usize>;

/// One copy of a game.
pub struct Play {
    library: &'static Library,
    game: &'static Game,
    levels: Levels,
    /// Options that the library takes as they are.
    flags: Vec<(&'static str, bool)>,
    machine: Option<Machine>,
    /// What was seen before the last step.
    before: Vec<u8>,
    /// Whether the last step ended an episode. The library has then begun the next one by itself.
    ended: bool,
}

/// The levels of a game: how they are made, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Levels {
    /// The library's number of the mode.
    mode: i32,
    start: i32,
    /// How many; 0 for all.
    count: i32,
    sequential: bool,
}

impl Levels {
    /// The levels that the options of `game` name.
    ///
    /// # Errors
    /// The game has no such mode, or there are no such levels.
    pub(crate) fn new(game: &Game, options: &Options) -> Result<Self, String> {
        let number = |name: &str| options.integer(name).map(|value| value as i32);
        let (start, count) = (number("start-level")?, number("num-levels")?);
        let sequential = options.boolean("use-sequential-levels")?;
        let mode = options.text("distribution-mode")?;
        let known = |mode: &str| match mode {
            "exploration" => game.exploration.is_some(),
            "extreme" | "memory" => game.modes.contains(&mode),
            _ => true,
        };
        if !known(mode) {
            let all = MODES.into_iter().filter(|mode| known(mode)).collect::<Vec<_>>().join(", ");
            return Err(format!("{} has no distribution-mode {mode}; it has {all}", game.name));
        }
        let number = match mode {
            "easy" => 0,
            "extreme" => 2,
            "memory" => 10,
            _ => 1,
        };
        if let (Some(level), "exploration") = (game.exploration, mode) {
            if (start, count) != (0, 0) {
                return Err("distribution-mode exploration has one level of its own; leave start-level and num-levels out".into());
            }
            return Ok(Levels { mode: number, start: level, count: 1, sequential });
        }
        match start.checked_add(count) {
            Some(_) => Ok(Levels { mode: number, start, count, sequential }),
            None => Err(format!("levels {start} to {start} + {count} are beyond {}, the last one", i32::MAX)),
        }
    }
}

/// The modes, of which every game has the first two.
const MODES: [&str; 5] = ["easy", "hard", "extreme", "memory", "exploration"];

/// Flags of the library, with their helps and defaults.
const FLAGS: [(&str, &str, &str, bool); 6] = [
    ("center-agent", "center_agent", "The view follows the agent, in games where it can.", true),
    ("use-generated-assets", "use_generated_assets", "Pictures are generated, not drawn by people.", false),
    ("use-monochrome-assets", "use_monochrome_assets", "Everything is a rectangle of one color.", false),
    ("restrict-themes", "restrict_themes", "Use one of several sets of pictures only.", false),
    ("use-backgrounds", "use_backgrounds", "Draw backgrounds; otherwise they are black.", true),
    (
        "paint-vel-info",
        "paint_vel_info",
        "Paint the agent's velocity into the corner, in games where it matters.",
        false,
    ),
];

impl Play {
    pub(crate) fn new(game: &'static Game, options: &Options) -> Result<Self, String> {
        let levels = Levels::new(game, options)?;
        let mut flags = vec![];
        for (name, own, ..) in FLAGS {
            flags.push((own, options.boolean(name)?));
        }
        flags.push(("render_human", options.boolean("large-pictures")?));
        let library = Library::find()?;
        Ok(Play {
            library,
            game,
            levels,
            flags,
            machine: None,
            before: vec![0; 3 * SIDE * SIDE],
            ended: false,
        })
    }

    /// Starts the game anew, with this seed.
    pub(crate) fn start(&mut self, seed: i32) -> Result<(), String> {
        let Levels { mode, start, count, sequential } = self.levels;
        let mut options: Vec<(&str, Value)> = vec![
            ("env_name", Value::Text(self.game.name.into())),
            ("num_levels", Value::Number(count)),
            ("start_level", Value::Number(start)),
            ("num_actions", Value::Number(ACTIONS as i32)),
            ("use_sequential_levels", Value::Flag(sequential)),
            ("debug_mode", Value::Number(0)),
            ("rand_seed", Value::Number(seed)),
            ("distribution_mode", Value::Number(mode)),
        ];
        options.extend(self.flags.iter().map(|(name, flag)| (*name, Value::Flag(*flag))));
        // The old one first: it takes memory.
        self.machine = None;
        self.machine = Some(Machine::new(self.library, &options)?);
        self.ended = false;
        Ok(())
    }

    /// The number of the level that is played.
    #[cfg(test)]
    pub(crate) fn level(&self) -> Option<i32> {
        self.running().level()
    }

    /// The running game.
    fn running(&self) -> &Machine {
        self.machine.as_ref().expect("an episode was started")
    }

    /// A number that identifies the state of this game with these options.
    fn checksum(&self, state: &[u8]) -> u64 {
        let Levels { mode, start, count, sequential } = self.levels;
        let options = format!("{} {mode} {start} {count} {sequential} {:?}\n", self.game.name, self.flags);
        // FNV-1a.
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        options.as_bytes().iter().chain(state).fold(0xcbf2_9ce4_8422_2325, step)
    }
}

/// Deals pixels `[pixels, 3]` to channels `[3, pixels]`.
pub(crate) fn deal(pixels: &[u8], channels: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        #[target_feature(enable = "avx2")]
        fn with_shuffles(pixels: &[u8], channels: &mut [u8]) {
            blocks(pixels, channels);
        }
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { with_shuffles(pixels, channels) };
    }
    blocks(pixels, channels);
}

/// [`deal`] in blocks, which become shuffles.
#[inline(always)]
fn blocks(pixels: &[u8], channels: &mut [u8]) {
    const BLOCK: usize = 32;
    let (red, rest) = channels.split_at_mut(SIDE * SIDE);
    let (green, blue) = rest.split_at_mut(SIDE * SIDE);
    let channels = [red, green, blue].map(|channel| channel.as_chunks_mut::<BLOCK>().0.iter_mut());
    let [red, green, blue] = channels;
    let pixels = pixels.as_chunks::<3>().0.as_chunks::<BLOCK>().0;
    for (((red, green), blue), pixels) in red.zip(green).zip(blue).zip(pixels) {
        for i in 0..BLOCK {
            (red[i], green[i], blue[i]) = (pixels[i][0], pixels[i][1], pixels[i][2]);
        }
    }
}

impl<const N: usize> Variant for Procgen<N> {
    type Environment = Play;

    fn names() -> [&'static str; 2] {
        [GAMES[N].id, GAMES[N].summary]
    }

    fn make(options: &Options) -> Result<Play, String> {
        Play::new(&GAMES[N], options)
    }
}

impl Environment for Play {
    const ID: &'static str = GAMES[0].id;
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = GAMES[0].summary;

    type Scalar = u8;

    fn options() -> Vec<OptionSchema> {
        let levels = 0..=i32::MAX.into();
        let mut options = vec![
            OptionSchema::integer("num-levels", "Number of different levels; 0 for all.", levels.clone(), 0),
            OptionSchema::integer("start-level", "The first level.", levels, 0),
            OptionSchema::boolean(
                "use-sequential-levels",
                "A finished level is followed by the next one in the same episode, which ends with the first that is not \
                 finished.",
                false,
            ),
            OptionSchema::text(
                "distribution-mode",
                "How levels are made. Not every game has extreme, memory and exploration.",
                &MODES,
                "hard",
            ),
        ];
        options.extend(FLAGS.map(|(name, _, help, default)| OptionSchema::boolean(name, help, default)));
        options.push(OptionSchema::boolean(
            "large-pictures",
            "`potstill play` shows pictures of 512 × 512 pixels; each step then takes longer.",
            false,
        ));
        options.push(OptionSchema::integer(
            "threads",
            "Threads that step the copies; 0 for all cores. Results do not depend on it.",
            0..=1024,
            0,
        ));
        options
    }

    fn threads(options: &Options) -> usize {
        options.integer("threads").map_or(1, |threads| threads as usize)
    }

    fn new(options: &Options) -> Result<Self, String> {
        Play::new(&GAMES[0], options)
    }

    fn spec(&self) -> Spec {
        Spec {
            observation: Space::Image { shape: vec![3, SIDE, SIDE] },
            action: Space::Discrete { n: ACTIONS },
            max_episode_steps: None,
            reward_threshold: None,
            max_return: None,
        }
    }

    fn reset(&mut self, rng: &mut Rng, observation: &mut [u8]) {
        // After the end of an episode, the next one has begun.
        if !std::mem::take(&mut self.ended) {
            let seed = rng.below(1 << 31) as i32;
            if let Err(error) = self.start(seed) {
                panic!("no game can be started: {error}");
            }
        }
        deal(self.running().observation(), observation);
    }

    /// The library does not show how an episode ended: the last observation is that before it.
    fn step(&mut self, action: Action<'_>, _: &mut Rng, observation: &mut [u8]) -> Step {
        let machine = self.machine.as_mut().expect("an episode was started");
        self.before.copy_from_slice(machine.observation());
        let (reward, ended) = machine.act(action.choice() as i32);
        deal(if ended { &self.before } else { machine.observation() }, observation);
        self.ended = ended;
        Step { reward, terminated: ended, truncated: false }
    }

    fn render(&self, mode: RenderMode) -> Result<Frame, String> {
        let RenderMode::Rgb = mode else { return Err("Procgen draws pictures, not text".into()) };
        let machine = self.running();
        let (side, pixels) = match machine.large() {
            Some(large) => (LARGE, large),
            None => (SIDE, machine.observation()),
        };
        Ok(Frame::Rgb { width: side as u32, height: side as u32, pixels: pixels.to_vec() })
    }

    /// Writes the library's state behind a checksum: the library trusts it, and ends the process where it is wrong.
    fn snapshot(&self, state: &mut Vec<u8>) -> bool {
        let Some(machine) = &self.machine else { return false };
        let own = machine.save();
        state.extend_from_slice(&self.checksum(&own).to_le_bytes());
        state.extend(own);
        true
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let (checksum, own) = state.split_first_chunk::<8>().ok_or("the snapshot is cut short")?;
        if u64::from_le_bytes(*checksum) != self.checksum(own) {
            return Err("the snapshot is damaged, or of another game or other options".into());
        }
        if self.machine.is_none() {
            self.start(0)?;
        }
        self.machine.as_mut().expect("a game was started").restore(own);
        self.ended = false;
        Ok(())
    }
}

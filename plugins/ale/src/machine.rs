//! A console with a cartridge: the Arcade Learning Environment behind `shim.cpp`.
use std::ffi::{CString, c_char, c_void};
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

/// ALE's number of the action that does nothing.
pub(crate) const NOOP: i32 = 0;
/// ALE's number of the action that presses the button.
pub(crate) const FIRE: i32 = 1;
/// The number of bytes of the console's memory.
pub(crate) const MEMORY: usize = 128;
/// The largest number of actions of a game.
const MOST_ACTIONS: usize = 18;

unsafe extern "C" {
    fn potstill_ale_open(
        rom: *const c_char,
        max_frames: i32,
        mode: i32,
        difficulty: i32,
        error: *mut c_char,
        length: usize,
    ) -> *mut c_void;
    fn potstill_ale_close(machine: *mut c_void);
    fn potstill_ale_actions(machine: *mut c_void, full: bool, actions: *mut i32) -> usize;
    fn potstill_ale_reset(machine: *mut c_void);
    fn potstill_ale_act(machine: *mut c_void, action: i32) -> i32;
    fn potstill_ale_terminated(machine: *mut c_void) -> bool;
    fn potstill_ale_truncated(machine: *mut c_void) -> bool;
    fn potstill_ale_lives(machine: *mut c_void) -> i32;
    fn potstill_ale_screen(machine: *mut c_void, height: *mut usize, width: *mut usize) -> *const u8;
    fn potstill_ale_palette(machine: *mut c_void, gray: *mut u8, rgb: *mut u8);
    fn potstill_ale_memory(machine: *mut c_void, memory: *mut u8);
    fn potstill_ale_save(
        machine: *mut c_void,
        take: unsafe extern "C" fn(*mut c_void, *const c_char, usize),
        to: *mut c_void,
        error: *mut c_char,
        length: usize,
    ) -> bool;
    fn potstill_ale_restore(
        machine: *mut c_void,
        state: *const c_char,
        size: usize,
        error: *mut c_char,
        length: usize,
    ) -> bool;
}

/// The settings of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Switches {
    /// Frames after which an episode is truncated.
    pub(crate) max_frames: i32,
    /// The game's mode, or a negative number for its default.
    pub(crate) mode: i32,
    /// The difficulty, or a negative number for the game's default.
    pub(crate) difficulty: i32,
}

/// A running console.
pub(crate) struct Machine(NonNull<c_void>);

// SAFETY: a machine has no state outside itself, and `&mut` keeps it to one thread at a time.
unsafe impl Send for Machine {}

/// Room for the text of an exception.
struct Text([u8; 256]);

impl Text {
    const EMPTY: Text = Text([0; 256]);

    fn parts(&mut self) -> (*mut c_char, usize) {
        (self.0.as_mut_ptr().cast(), self.0.len())
    }

    fn get(&self) -> String {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(self.0.len());
        String::from_utf8_lossy(&self.0[..end]).into_owned()
    }
}

impl Machine {
    /// Inserts the cartridge. [`Self::reset`] must come before the first frame.
    ///
    /// # Errors
    /// ALE does not know this cartridge, or the game has no such mode or difficulty.
    pub(crate) fn open(rom: &Path, switches: Switches) -> Result<Self, String> {
        // ALE fills static tables when it opens its first machine.
        static OPENING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        let path = rom.to_str().and_then(|path| CString::new(path).ok());
        let path = path.ok_or_else(|| format!("{}: the path is not text", rom.display()))?;
        let Switches { max_frames, mode, difficulty } = switches;
        let mut text = Text::EMPTY;
        let (error, length) = text.parts();
        // SAFETY: the path is NUL-terminated, and there is room for the error.
        let machine =
            unsafe { potstill_ale_open(path.as_ptr(), max_frames, mode, difficulty, error, length) };
        NonNull::new(machine).map(Machine).ok_or_else(|| format!("{}: {}", rom.display(), text.get()))
    }

    /// ALE's numbers of the actions: all 18, or those that the game uses.
    pub(crate) fn actions(&mut self, full: bool) -> Vec<i32> {
        let mut actions = vec![0; MOST_ACTIONS];
        // SAFETY: a live machine, and ALE has no more actions than there is room for.
        let count = unsafe { potstill_ale_actions(self.0.as_ptr(), full, actions.as_mut_ptr()) };
        actions.truncate(count);
        actions
    }

    /// Presses the console's reset switch: starts an episode.
    pub(crate) fn reset(&mut self) {
        // SAFETY: a live machine.
        unsafe { potstill_ale_reset(self.0.as_ptr()) }
    }

    /// Emulates a frame with the joystick in this position and returns the reward.
    pub(crate) fn act(&mut self, action: i32) -> i32 {
        // SAFETY: a live machine. ALE replaces a number that is no action.
        unsafe { potstill_ale_act(self.0.as_ptr(), action) }
    }

    /// Whether the game is over.
    pub(crate) fn terminated(&self) -> bool {
        // SAFETY: a live machine.
        unsafe { potstill_ale_terminated(self.0.as_ptr()) }
    }

    /// Whether the episode reached its last frame.
    pub(crate) fn truncated(&self) -> bool {
        // SAFETY: a live machine.
        unsafe { potstill_ale_truncated(self.0.as_ptr()) }
    }

    /// The lives that are left.
    pub(crate) fn lives(&self) -> i32 {
        // SAFETY: a live machine.
        unsafe { potstill_ale_lives(self.0.as_ptr()) }
    }

    /// The height and width of the screen.
    pub(crate) fn size(&self) -> [usize; 2] {
        let [mut height, mut width] = [0; 2];
        // SAFETY: a live machine, and two numbers that can be written.
        unsafe { potstill_ale_screen(self.0.as_ptr(), &raw mut height, &raw mut width) };
        [height, width]
    }

    /// The screen, `[height, width]`: numbers of colors.
    pub(crate) fn screen(&self) -> &[u8] {
        let [mut height, mut width] = [0; 2];
        // SAFETY: a live machine, whose screen has height × width bytes until the next frame.
        unsafe {
            let pixels = potstill_ale_screen(self.0.as_ptr(), &raw mut height, &raw mut width);
            std::slice::from_raw_parts(pixels, height * width)
        }
    }

    /// For each color: gray, red, green and blue.
    pub(crate) fn palette(&self) -> [[u8; 256]; 4] {
        let (mut gray, mut rgb) = ([0; 256], [0; 3 * 256]);
        // SAFETY: a live machine, and room for 256 colors.
        unsafe { potstill_ale_palette(self.0.as_ptr(), gray.as_mut_ptr(), rgb.as_mut_ptr()) };
        let channel = |channel| std::array::from_fn(|color| rgb[3 * color + channel]);
        [gray, channel(0), channel(1), channel(2)]
    }

    /// Writes the console's memory.
    pub(crate) fn memory(&self, memory: &mut [u8; MEMORY]) {
        // SAFETY: a live machine, whose memory has so many bytes.
        unsafe { potstill_ale_memory(self.0.as_ptr(), memory.as_mut_ptr()) }
    }

    /// The state of everything but the screen.
    pub(crate) fn save(&self) -> Result<Vec<u8>, String> {
        unsafe extern "C" fn take(to: *mut c_void, state: *const c_char, size: usize) {
            // SAFETY: `save` gives a vector, and the shim a text of this size.
            unsafe { *to.cast::<Vec<u8>>() = std::slice::from_raw_parts(state.cast(), size).to_vec() };
        }
        let (mut state, mut text) = (vec![], Text::EMPTY);
        let (error, length) = text.parts();
        // SAFETY: a live machine, the vector that `take` expects, and room for the error.
        let done =
            unsafe { potstill_ale_save(self.0.as_ptr(), take, (&raw mut state).cast(), error, length) };
        if done { Ok(state) } else { Err(text.get()) }
    }

    /// Restores a state that [`Self::save`] returned for the same game. The screen is that of the next frame.
    pub(crate) fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let mut text = Text::EMPTY;
        let (error, length) = text.parts();
        // SAFETY: a live machine, so many bytes, and room for the error.
        let done = unsafe {
            potstill_ale_restore(self.0.as_ptr(), state.as_ptr().cast(), state.len(), error, length)
        };
        if done { Ok(()) } else { Err(text.get()) }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // SAFETY: `open` made it, and nothing uses it any more.
        unsafe { potstill_ale_close(self.0.as_ptr()) }
    }
}

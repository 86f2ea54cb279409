//! Memory that the host and a plugin's process share: the arrays of `reset` and `step`, and the counters by which each
//! waits for the other.
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use memmap2::{MmapOptions, MmapRaw};
use serde::{Deserialize, Serialize};

/// How long to watch a counter before sleeping. Waking a sleeper takes some ten microseconds: shorter waits are
/// watched to their end, longer ones leave the core to others.
const WATCH: Duration = Duration::from_micros(20);
/// Arrays begin at cache lines.
const ALIGNMENT: usize = 64;

/// What `reset` and `step` need room for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Layout {
    /// N.
    pub(super) copies: usize,
    /// Bytes of what is given: the actions or the seeds of all copies.
    pub(super) input: usize,
    /// Bytes of one observation.
    pub(super) observation: usize,
}

/// An array in the memory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Input,
    Observations,
    FinalObservations,
    Rewards,
    Terminated,
    Truncated,
    Faults,
    LivesLost,
}

impl Layout {
    fn sizes(&self) -> [usize; 8] {
        let Layout { copies: n, input, observation } = *self;
        [input, n * observation, n * observation, 4 * n, n, n, n, n]
    }

    /// Where a part begins.
    fn offset(&self, part: usize) -> usize {
        let before = self.sizes()[..part].iter().map(|size| size.next_multiple_of(ALIGNMENT)).sum::<usize>();
        size_of::<Control>() + before
    }

    /// Bytes in all.
    fn length(&self) -> usize {
        self.offset(self.sizes().len())
    }
}

/// One direction: how often something was handed over, what it was last, and whether the receiver sleeps.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Turn {
    count: AtomicU32,
    what: AtomicU32,
    sleeps: AtomicU32,
}

/// Both directions.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Control {
    /// To the plugin's process: [`RESET`] or [`STEP`].
    pub(super) request: Turn,
    /// To the host: [`DONE`], or [`FAILED`] with a message that says how.
    pub(super) reply: Turn,
}

pub(super) const RESET: u32 = 1;
pub(super) const STEP: u32 = 2;
pub(super) const DONE: u32 = 3;
pub(super) const FAILED: u32 = 4;

impl Turn {
    /// How often something was handed over.
    pub(super) fn count(&self) -> u32 {
        self.count.load(Ordering::SeqCst)
    }

    /// What was, last.
    pub(super) fn what(&self) -> u32 {
        self.what.load(Ordering::Relaxed)
    }

    /// Hands over. Whether the receiver sleeps: then a [`WAKE`](super::message::WAKE) has to be sent.
    #[must_use]
    pub(super) fn hand_over(&self, what: u32) -> bool {
        self.what.store(what, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::SeqCst);
        self.rise()
    }

    /// Watches for a while whether there is more than `seen`.
    pub(super) fn watch(&self, seen: u32) -> bool {
        let started = Instant::now();
        loop {
            for _ in 0..64 {
                if self.count() != seen {
                    return true;
                }
                std::hint::spin_loop();
            }
            if started.elapsed() > WATCH {
                return false;
            }
            // The other side may be waiting for this very core: whoever wakes another tends to get it as a neighbor.
            std::thread::yield_now();
        }
    }

    /// Lies down. Whether to sleep: a [`WAKE`](super::message::WAKE) will come; otherwise there is more than `seen`.
    pub(super) fn lie_down(&self, seen: u32) -> bool {
        self.sleeps.store(1, Ordering::SeqCst);
        // The other side counts first and looks for a sleeper then: one of the two notices.
        self.count() == seen || !self.rise()
    }

    /// Ends a sleep; whether there was one. Of the two sides, one is told that it ended it.
    pub(super) fn rise(&self) -> bool {
        self.sleeps.swap(0, Ordering::SeqCst) == 1
    }
}

/// The memory, mapped.
#[derive(Debug)]
pub(super) struct Memory {
    map: MmapRaw,
    layout: Layout,
}

impl Memory {
    /// Gives `file` the size, from the host's side, and maps it.
    ///
    /// # Errors
    /// The system's: no memory.
    pub(super) fn create(file: &File, layout: Layout) -> io::Result<Self> {
        file.set_len(layout.length() as u64)?;
        // A file that shrank would end the host at its next look into it.
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{SealFlags, fcntl_add_seals};
            fcntl_add_seals(file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        }
        Self::map(file, layout)
    }

    /// Maps what the other side has made.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn map(file: &File, layout: Layout) -> io::Result<Self> {
        Ok(Memory { map: MmapOptions::new().len(layout.length()).map_raw(file)?, layout })
    }

    pub(super) fn control(&self) -> &Control {
        // SAFETY: the mapping begins with it, at a page's begin; its fields are atomic, and any bits are values.
        unsafe { &*self.map.as_ptr().cast() }
    }

    /// A part's begin. It is as long as the layout says.
    pub(super) fn part(&self, part: Part) -> *mut u8 {
        self.map.as_mut_ptr().wrapping_add(self.layout.offset(part as usize))
    }

    /// Fills a part with a byte.
    pub(super) fn fill(&self, part: Part, byte: u8) {
        // SAFETY: within the mapping, as `part` says.
        unsafe { std::ptr::write_bytes(self.part(part), byte, self.layout.sizes()[part as usize]) };
    }

    /// Writes the beginning of a part.
    ///
    /// # Panics
    /// `values` are longer than the part.
    pub(super) fn write<T: bytemuck::Pod>(&self, part: Part, values: &[T]) {
        let bytes: &[u8] = bytemuck::cast_slice(values);
        assert!(bytes.len() <= self.layout.sizes()[part as usize], "{part:?} has no room");
        // SAFETY: within the mapping, by the line above.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.part(part), bytes.len()) };
    }

    /// Replaces `into` by the first `count` values of a part.
    ///
    /// # Panics
    /// The part is shorter.
    pub(super) fn read<T: bytemuck::Pod>(&self, part: Part, count: usize, into: &mut Vec<T>) {
        into.resize(count, T::zeroed());
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(into);
        assert!(bytes.len() <= self.layout.sizes()[part as usize], "{part:?} has less");
        // SAFETY: within the mapping, by the line above. Copied before it is looked at: the plugin could still write.
        unsafe { std::ptr::copy_nonoverlapping(self.part(part), bytes.as_mut_ptr(), bytes.len()) };
    }
}

/// A file without a name: it is gone with the last process that has it.
///
/// # Errors
/// The system's.
pub(super) fn nameless_file() -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{MemfdFlags, memfd_create};
        Ok(File::from(memfd_create(c"potstill", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?))
    }
    #[cfg(not(target_os = "linux"))]
    tempfile::tempfile()
}

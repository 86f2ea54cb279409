//! The memory that this process shares with its workers: actions, observations, rewards and flags of N copies.
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytemuck::Pod;
use memmap2::MmapMut;
use potstill_sdk::{Space, Spec};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

/// The arrays, in the order of the file. Each begins on a cache line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Array {
    /// `u64 [N]`.
    Seeds,
    /// `u32` or `f32`, `[N, components]`.
    Actions,
    /// `u8` or `f32`, `[N, size]`.
    Observations,
    /// The last observations of episodes that ended, in the rows of their copies.
    Finals,
    /// `f32 [N]`.
    Rewards,
    /// `u8 [N]`, 0 or 1, as the next.
    Terminated,
    Truncated,
}

const NAMES: [&str; 7] = ["seeds", "actions", "observations", "finals", "rewards", "terminated", "truncated"];

const LINE: usize = 64;

/// The arrays of N copies.
pub(crate) struct Shared {
    map: MmapMut,
    copies: usize,
    /// Where each array is, and how many bytes it has.
    places: [(usize, usize); 7],
}

/// A file of zeros. They are all written: a file with holes would fail only when it is used, and by a signal.
fn filled(folder: &Path, length: usize) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(folder)?;
    io::copy(&mut io::repeat(0).take(length as u64), file.as_file_mut())?;
    Ok(file)
}

impl Shared {
    /// Makes the arrays of `copies` copies, all zeros, in a file that workers can map. It is gone once it is dropped, and the
    /// memory stays.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) fn new(spec: &Spec, copies: usize) -> io::Result<(Shared, NamedTempFile)> {
        let scalar = if matches!(spec.observation, Space::Image { .. }) { 1 } else { 4 };
        let observations = scalar * spec.observation.size();
        let widths = [8, 4 * spec.action.size(), observations, observations, 4, 1, 1];
        let (mut places, mut end) = ([(0, 0); 7], 0);
        for (place, width) in places.iter_mut().zip(widths) {
            *place = (end, width * copies);
            end += (width * copies).next_multiple_of(LINE);
        }
        // Memory rather than a disk, where there is such a folder with enough room.
        let file = filled(Path::new("/dev/shm"), end).or_else(|_| filled(&std::env::temp_dir(), end))?;
        // SAFETY: only the workers know the file, and they change its contents only while they are asked.
        let map = unsafe { MmapMut::map_mut::<&File>(file.as_file()) }?;
        Ok((Shared { map, copies, places }, file))
    }

    /// Where the arrays are, for a worker whose first copy is `first`.
    pub(crate) fn layout(&self, path: &Path, first: usize) -> Value {
        let offsets: serde_json::Map<String, Value> =
            NAMES.iter().zip(self.places).map(|(name, (at, _))| ((*name).to_owned(), at.into())).collect();
        json!({ "path": path, "copies": self.copies, "first": first, "offsets": offsets })
    }

    /// N.
    pub(crate) fn copies(&self) -> usize {
        self.copies
    }

    /// An array. No worker may be at work.
    pub(crate) fn read<T: Pod>(&self, array: Array) -> &[T] {
        let (at, length) = self.places[array as usize];
        bytemuck::cast_slice(&self.map[at..][..length])
    }

    /// Fills an array with `values`. No worker may be at work.
    pub(crate) fn write<T: Pod>(&mut self, array: Array, values: &[T]) {
        let (at, length) = self.places[array as usize];
        self.map[at..][..length].copy_from_slice(bytemuck::cast_slice(values));
    }
}

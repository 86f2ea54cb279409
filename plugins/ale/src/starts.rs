//! How episodes start: after a number of frames in which nothing is pressed. Each start is emulated once and restored from then
//! on, for all machines with the same game.
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::machine::{Machine, NOOP, Switches};

/// The start of an episode.
pub(crate) struct Start {
    state: Vec<u8>,
    /// The screen.
    pub(crate) screen: Vec<u8>,
}

impl Start {
    fn of(machine: &Machine) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Start { state: machine.save()?, screen: machine.screen().to_vec() }))
    }

    /// Brings a machine with the same game to this start.
    pub(crate) fn enter(&self, machine: &mut Machine) -> Result<(), String> {
        machine.restore(&self.state)
    }
}

/// The starts of one game, by the number of frames.
#[derive(Clone, Default)]
pub(crate) struct Starts(Arc<Mutex<Vec<Arc<Start>>>>);

impl Starts {
    /// The starts of the game in this file with these switches.
    pub(crate) fn of(rom: &Path, switches: Switches) -> Self {
        static ALL: Mutex<Option<HashMap<(PathBuf, Switches), Starts>>> = Mutex::new(None);
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.get_or_insert_default().entry((rom.to_owned(), switches)).or_default().clone()
    }

    /// The start after `frames` frames, which `machine` emulates if no machine has done so before.
    pub(crate) fn after(&self, frames: usize, machine: &mut Machine) -> Result<Arc<Start>, String> {
        let mut starts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while starts.len() <= frames {
            match starts.last() {
                None => machine.reset(),
                Some(last) => {
                    last.enter(machine)?;
                    machine.act(NOOP);
                    // As in Gymnasium, a game that ends by itself starts anew.
                    if machine.terminated() || machine.truncated() {
                        machine.reset();
                    }
                }
            }
            starts.push(Start::of(machine)?);
        }
        Ok(starts[frames].clone())
    }
}

//! Native plugins in separate processes, where a crash, hang or exit becomes one error in the host.
//!
//! A plugin's process is the `potstill` program itself, started with a hidden command ([`serve()`]) that loads one library
//! and runs it through [`native`](super::native) as the host would. Two channels connect the processes:
//!
//! ```text
//! socket        message.rs: one-time calls, and questions while a plugin traces
//! memory        memory.rs: the arrays of `reset` and `step`, which the plugin reads and writes in place
//! ```
//!
//! One process serves one set of environments, one distribution of learners or one objective. It ends when the host drops
//! it or ends. If it ends earlier, closes the socket, writes invalid data to it or does not answer in time, this and every
//! later call return the same error ([`process`]).
mod environment;
mod memory;
mod message;
mod process;
mod serve;
mod traced;

pub(crate) use environment::IsolatedEnvironments;
pub(crate) use process::{IsolatedLibrary, IsolatedPlugin};
pub(crate) use serve::serve;
pub(crate) use traced::{IsolatedLearners, IsolatedObjective};

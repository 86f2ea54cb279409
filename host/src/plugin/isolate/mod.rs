//! Native plugins in processes of their own: what crashes, hangs or exits there becomes an error here.
//!
//! The process is the `potstill` program itself, started with a hidden command ([`serve()`]), which loads one library and
//! runs it behind [`native`](super::native) as the host would. Between the two are
//!
//! ```text
//! a socket      messages (message.rs): everything that happens once, and questions while a plugin traces
//! memory        memory.rs: the arrays of `reset` and `step`, which the plugin reads and writes in place
//! ```
//!
//! One process serves one set of environments, one distribution of learners or one objective. It ends when the host
//! lets go of it or is gone; when it ends earlier, closes the socket, writes nonsense to it or does not answer in time,
//! [`process`] says so, once and for ever.
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

//! From Potstill's plugin contract to the roles of its engine, for plugins of every loader.
//!
//! A plugin answers in plain numbers, which may be wrong; the engine relies on what it is told. Between them stand:
//!
//! - [`check`]: every answer of every environment is checked, once.
//! - [`declared`]: what learners and objectives say of themselves is checked, once.
//! - [`trace`]: the graph that learners and objectives write, every argument checked.
//! - [`traced`]: learners and objectives that answer in numbers, as roles of the engine.
//! - [`settings`]: the options that plugins declare and users set.
//! - [`text`]: text that plugins wrote, made fit for terminals and logs.
//! - [`native`]: the C contract (`potstill.h`), called in this process. A program whose plugins are all linked needs no
//!   other loader: see [`NativePlugin::linked`](native::NativePlugin::linked).
//!
//! Nothing here reads a file or opens a library: that is the program's.

pub mod check;
pub mod declared;
pub mod native;
pub mod settings;
pub mod text;
pub mod trace;
pub mod traced;

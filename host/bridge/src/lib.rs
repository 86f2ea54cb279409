//! Turns plugins of any loader into the roles of Potstill's engine.
//!
//! A plugin answers in plain numbers, which may be wrong, but the engine relies on them. The modules of this crate
//! stand between the two:
//!
//! - [`check`] checks every answer of every environment.
//! - [`declared`] checks what learners and objectives declare.
//! - [`trace`] adds the operations of learners and objectives to the graph, and checks every argument.
//! - [`traced`] turns learners and objectives that answer in numbers into roles of the engine.
//! - [`settings`] checks the options that plugins declare and parses those that users set.
//! - [`text`] makes text from plugins safe for terminals and logs.
//! - [`native`] calls plugins through the C contract (`potstill.h`) in this process. A program whose plugins are all
//!   linked needs no other loader: see [`NativePlugin::linked`](native::NativePlugin::linked).
//!
//! This crate reads no files and opens no libraries; the program does.

pub mod check;
pub mod declared;
pub mod native;
pub mod settings;
pub mod text;
pub mod trace;
pub mod traced;

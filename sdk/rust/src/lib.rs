//! What the author of a Potstill plugin writes against, in Rust.
//!
//! An author writes *one* environment: how it starts, what a step does. The SDK makes N copies of it, gives each
//! its own random stream, resets those whose episode ended in the same step (keeping the final observation),
//! enforces the time limit and speaks the contract. The same source compiles to a sandboxed component
//! (`potstill plugin build`) and to native code.
//!
//! # A whole plugin
//! `Cargo.toml` needs `crate-type = ["cdylib", "rlib"]` and this crate; `src/lib.rs` is:
//! ```
//! use potstill_sdk::{Action, Environment, OptionKind, OptionSchema, Options, Rng, Space, Spec, Step, export_environment};
//!
//! /// A walk on a line: left or right until either end; the right one pays.
//! pub struct Walk {
//!     length: i64,
//!     position: i64,
//! }
//!
//! impl Environment for Walk {
//!     const ID: &'static str = "acme/walk-v1";
//!     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
//!     const SUMMARY: &'static str = "A walk on a line whose right end pays 1.";
//!     type Scalar = f32;
//!
//!     fn options() -> Vec<OptionSchema> {
//!         let kind = OptionKind::Integer { min: 2, max: 1000 };
//!         vec![OptionSchema { name: "length".into(), help: "Places from end to end.".into(), kind, default: 10i64.into() }]
//!     }
//!
//!     fn new(options: &Options) -> Result<Self, String> {
//!         Ok(Walk { length: options.integer("length")?, position: 0 })
//!     }
//!
//!     fn spec(&self) -> Spec {
//!         Spec {
//!             observation: Space::Box { shape: vec![1], low: vec![0.0], high: vec![1.0] },
//!             action: Space::Discrete { n: 2 },
//!             max_episode_steps: Some(200),
//!             reward_threshold: None,
//!             max_return: None,
//!         }
//!     }
//!
//!     fn reset(&mut self, rng: &mut Rng, observation: &mut [f32]) {
//!         self.position = 1 + rng.below(self.length as u64 - 1) as i64;
//!         observation[0] = self.position as f32 / self.length as f32;
//!     }
//!
//!     fn step(&mut self, action: Action<'_>, _: &mut Rng, observation: &mut [f32]) -> Step {
//!         self.position += if action.choice() == 1 { 1 } else { -1 };
//!         observation[0] = self.position as f32 / self.length as f32;
//!         let won = self.position >= self.length;
//!         Step { reward: won.into(), terminated: won || self.position <= 0, truncated: false }
//!     }
//! }
//!
//! export_environment!(Walk);
//! # fn main() {
//! # let options = [("length".to_owned(), 10i64.into())].into_iter().collect();
//! # let mut walks = (native_environment().make)(3, &options).unwrap();
//! # walks.reset(&[1, 2, 3]).unwrap();
//! # }
//! ```
//! Beside the component lies `plugin.toml`, which says who the plugin is before any of its code runs; see
//! `plugins/nd-cartpole` for one.
//!
//! # Rules
//! - Draw random numbers from the [`Rng`] you are handed and from nowhere else: equal seeds must give equal
//!   episodes.
//! - Observations and rewards are finite; the host ends a plugin that gives a NaN.
//! - A panic ends the plugin, and its message reaches the user. What a user can cause is an `Err`.
//! - For results that are the same natively and in the sandbox, take `sin` and friends from the `libm` crate: those
//!   of `std` differ from platform to platform.

mod environment;
pub mod native;
mod rng;
mod vectorised;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod guest;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[allow(missing_docs, unreachable_pub)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../plugin-api/wit",
        world: "environment-plugin",
        pub_export_macro: true,
        default_bindings_module: "potstill_sdk::bindings",
    });
}

pub use environment::{Action, Environment, Options, RenderMode, Scalar, Spec, Step};
pub use native::Observations;
pub use potstill_plugin_api::{Frame, OptionKind, OptionSchema, OptionValue, Space};
pub use rng::Rng;
pub use vectorised::{Actions, Transition};

/// Makes this crate a plugin that provides an [`Environment`].
///
/// For WebAssembly it exports the contract's functions. For any other target it defines
/// `pub fn native_environment() -> NativeEnvironment`, through which a host runs the same source without a
/// sandbox. Once per crate.
#[macro_export]
macro_rules! export_environment {
    ($environment:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Component = $crate::guest::Component<$environment>;
    $crate::bindings::export!(Component with_types_in $crate::bindings);
        };

        /// The environment of this crate as native code.
        #[cfg(not(target_family = "wasm"))]
        pub fn native_environment() -> $crate::native::NativeEnvironment {
            $crate::native::NativeEnvironment::of::<$environment>()
        }
    };
}

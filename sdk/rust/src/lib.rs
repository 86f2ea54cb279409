//! The Rust SDK for authors of Potstill plugins: environments, learners and objectives.
//!
//! An author writes *one* environment: how an episode starts and what a step does. The SDK makes N copies of it, gives
//! each its own random stream, resets a copy in the same step in which its episode ends (keeping the final
//! observation), enforces the time limit and implements the plugin contract. The same source compiles to a sandboxed
//! component (`potstill plugin build`) and to native code.
//!
//! # A whole plugin
//! `Cargo.toml` needs `crate-type = ["cdylib", "rlib"]` and this crate; `src/lib.rs` is:
//! ```
//! use potstill_sdk::{Action, Environment, OptionKind, OptionSchema, Options, Rng, Space, Spec, Step, export_environment};
//!
//! /// A walk on a line: left or right until either end is reached; the right end pays a reward.
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
//! # let options: Options = [("length".to_owned(), 10i64.into())].into_iter().collect();
//! # let (mut walk, mut rng, mut observation) = (Walk::new(&options).unwrap(), Rng::seeded(1), [0.0]);
//! # walk.reset(&mut rng, &mut observation);
//! # assert!(!walk.step(Action::Discrete(1), &mut rng, &mut observation).truncated);
//! # }
//! ```
//! The component's folder also holds `plugin.toml`, which tells the host what the plugin is before any of its code
//! runs; see `plugins/nd-cartpole` for an example.
//!
//! # Rules
//! - Draw random numbers only from the [`Rng`] that you are given: equal seeds must give equal episodes.
//! - Observations and rewards must be finite; the host stops a plugin that returns a NaN.
//! - A panic stops the plugin, and its message reaches the user. Return an `Err` for anything that a user can cause.
//! - For results that are the same natively and in the sandbox, take `sin` and the like from the `libm` crate: those
//!   of `std` differ between platforms.

mod batch;
mod environment;
mod graph;
pub mod host;
mod learner;
pub mod loss;
mod objective;
#[cfg(not(target_family = "wasm"))]
pub mod packages;
mod rng;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod vectorised;

#[cfg(any(not(target_family = "wasm"), feature = "linked"))]
#[doc(hidden)]
pub mod native;

#[cfg(all(target_family = "wasm", not(feature = "linked")))]
#[doc(hidden)]
pub mod guest;

#[cfg(all(target_family = "wasm", not(feature = "linked")))]
#[doc(hidden)]
#[allow(missing_docs, unreachable_pub)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "environment-plugin",
        pub_export_macro: true,
        default_bindings_module: "potstill_sdk::bindings",
    });

    pub mod of_learner {
        wit_bindgen::generate!({
            path: "wit",
            world: "learner-plugin",
            pub_export_macro: true,
            export_macro_name: "export_learner_component",
            default_bindings_module: "potstill_sdk::bindings::of_learner",
            with: {
                "potstill:plugin/types@0.1.0": super::potstill::plugin::types,
                "potstill:plugin/log@0.1.0": super::potstill::plugin::log,
            },
        });
    }

    pub mod of_objective {
        wit_bindgen::generate!({
            path: "wit",
            world: "objective-plugin",
            pub_export_macro: true,
            export_macro_name: "export_objective_component",
            default_bindings_module: "potstill_sdk::bindings::of_objective",
            with: {
                "potstill:plugin/types@0.1.0": super::potstill::plugin::types,
                "potstill:plugin/log@0.1.0": super::potstill::plugin::log,
                "potstill:plugin/graph@0.1.0": super::of_learner::potstill::plugin::graph,
            },
        });
    }
}

pub use batch::{Batch, BatchVariant, Outcomes, Rows};
pub use environment::{Action, Environment, Options, RenderMode, Scalar, Spec, Step, Variant};
pub use graph::{Tensor, grad};
pub use learner::{Learner, Parameters};
pub use objective::{Network, Objective, Outcome, Outer, Theta, default_theta};
pub use potstill_plugin_api::{
    Column, Data, Frame, Init, LearnerShape, MetaInit, MetaParameter, OptionKind, OptionSchema, OptionValue,
    Space, Task,
};
pub use rng::Rng;
pub use vectorised::{Actions, Transition};

#[doc(hidden)]
pub use potstill_plugin_api::abi;

/// Makes this crate a plugin that provides an [`Environment`]. On WebAssembly the macro exports the functions of the
/// component contract; on any other target it exports the entry point of the C contract. Use it once per library.
#[macro_export]
macro_rules! export_environment {
    ($environment:ty) => {
        $crate::component! {
            type Component = $crate::guest::environment::Component<$environment>;
            $crate::bindings::export!(Component with_types_in $crate::bindings);
        }
        $crate::native_symbol!(environment $environment);
    };
}

/// Exports several environments from one shared library: `export_environments!(HopperV4, HopperV5)`. If a name has
/// several versions, the name without a version refers to the first of them. Environments that share their code can be
/// [`Variant`]s. A component provides only one environment; see [`export_environment!`].
#[macro_export]
macro_rules! export_environments {
    ($($environment:ty),+ $(,)?) => {
        $crate::component! {
            compile_error!("a component provides one environment: use export_environment!, or build a shared library for several");
        }
        $crate::native_symbol!(environment $($environment),+);
    };
}

/// Exports one or several environments whose copies are stepped together ([`BatchVariant`]) from one shared library. A component
/// cannot provide them.
#[macro_export]
macro_rules! export_batches {
    ($($variant:ty),+ $(,)?) => {
        $crate::component! {
            compile_error!("a component provides one Environment: use export_environment!, or build a shared library");
        }
        $crate::native_symbol!(batch $($variant),+);
    };
}

/// Makes this crate a plugin that provides a [`Learner`]. Otherwise it works like [`export_environment!`].
#[macro_export]
macro_rules! export_learner {
    ($learner:ty) => {
        $crate::component! {
            type Component = $crate::guest::learner::Component<$learner>;
            $crate::bindings::of_learner::export_learner_component!(Component with_types_in $crate::bindings::of_learner);
        }
        $crate::native_symbol!(learner $learner);
    };
}

/// Makes this crate a plugin that provides an [`Objective`]. Otherwise it works like [`export_environment!`].
#[macro_export]
macro_rules! export_objective {
    ($objective:ty) => {
        $crate::component! {
            type Component = $crate::guest::objective::Component<$objective>;
            $crate::bindings::of_objective::export_objective_component!(Component with_types_in $crate::bindings::of_objective);
        }
        $crate::native_symbol!(objective $objective);
    };
}

/// Expands to the given items in a component, and to nothing elsewhere.
#[cfg(all(target_family = "wasm", not(feature = "linked")))]
#[doc(hidden)]
#[macro_export]
macro_rules! component {
    ($($item:item)*) => {
        const _: () = {
            $($item)*
        };
    };
}

#[cfg(any(not(target_family = "wasm"), feature = "linked"))]
#[doc(hidden)]
#[macro_export]
macro_rules! component {
    ($($item:item)*) => {};
}

#[doc(hidden)]
#[macro_export]
macro_rules! native_symbol {
    ($role:ident $($plugin:ty),+) => {
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            /// The entry point of the C contract; see `potstill.h`.
            #[unsafe(no_mangle)]
            pub extern "C" fn potstill_plugin(host: *const $crate::abi::Host) -> *const $crate::abi::Plugin {
                static PLUGINS: ::std::sync::OnceLock<$crate::native::Chain> = ::std::sync::OnceLock::new();
                $crate::native::remember(host);
                let described = || $crate::native::Chain::new([$($crate::native::$role::<$plugin>()),+]);
                PLUGINS.get_or_init(described).first()
            }
        };
    };
}

/// Defines `pub extern "C" fn builtin`, the entry point for a program that links the plugin. Unlike the exported symbol,
/// it belongs to its module, so a program can link many plugins: `builtin!(environment Walk);`,
/// `builtin!(learner Net);`, `builtin!(objective Loss);`.
#[macro_export]
macro_rules! builtin {
    ($role:ident $plugin:ty) => {
        $crate::linked! {
        /// The entry point of this plugin for a program that links it.
        pub extern "C" fn builtin(host: *const $crate::abi::Host) -> *const $crate::abi::Plugin {
            static PLUGIN: ::std::sync::OnceLock<$crate::native::Chain> = ::std::sync::OnceLock::new();
            $crate::native::remember(host);
            PLUGIN.get_or_init(|| $crate::native::Chain::new([$crate::native::$role::<$plugin>()])).first()
        }
        }
    };
}

/// Expands to the given items where plugins are linked or loaded as shared libraries, and to nothing in a component.
#[cfg(any(not(target_family = "wasm"), feature = "linked"))]
#[doc(hidden)]
#[macro_export]
macro_rules! linked {
    ($($item:item)*) => {
        $($item)*
    };
}

#[cfg(all(target_family = "wasm", not(feature = "linked")))]
#[doc(hidden)]
#[macro_export]
macro_rules! linked {
    ($($item:item)*) => {};
}

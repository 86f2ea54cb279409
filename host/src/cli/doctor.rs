//! `potstill doctor`: reports what this machine can run, and how to add the rest.
use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;
use potstill_plugin_api::Dependencies;
use serde_json::json;

use super::plugin::setup::state;
use super::{print_json, say_below};
use crate::author::{python_package, toolchains};
use crate::error::{Error, Result};
use crate::execute::Device;
use crate::plugin::text::counted;
use crate::plugin::{Loader, Registry, install};

/// Report what this machine can do, with the command that adds what is missing
#[derive(Args)]
#[command(after_help = "Examples:\n  potstill doctor\n  potstill doctor --json")]
pub(super) struct Doctor {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// One thing that this machine has or lacks.
struct Finding {
    name: String,
    /// What was found; or why nothing was, and the command that adds it.
    found: Result<String, String>,
}

impl Doctor {
    /// Prints the findings.
    ///
    /// # Errors
    /// The sandbox does not work: no component can run here.
    pub(super) fn run(&self, registry: &Registry) -> Result<()> {
        let here = Path::new(".");
        let sandbox = sandbox(registry);
        let broken = sandbox.is_err();
        let mut findings = vec![
            Finding { name: "processor".into(), found: Ok(processor()) },
            Finding { name: "sandbox".into(), found: sandbox },
            Finding { name: "cache".into(), found: cache(registry) },
            Finding { name: "CUDA".into(), found: gpu("cuda") },
            Finding { name: "wgpu".into(), found: gpu("wgpu") },
            Finding { name: "plugins".into(), found: plugins(registry) },
        ];
        for (name, found) in toolchains(here) {
            findings.push(Finding { name: name.into(), found: found.map_err(|error| error.to_string()) });
        }
        let setups: BTreeMap<&str, &Dependencies> = registry
            .entries()
            .iter()
            .filter(|entry| entry.rejected.is_none())
            .filter_map(|entry| entry.setup.as_ref())
            .map(|setup| (&*setup.name, setup))
            .collect();
        for (name, setup) in &setups {
            findings.push(Finding { name: format!("setup of {name}"), found: state(setup) });
        }
        // Once the plugin is installed, its set-up brings the simulator.
        if !setups.values().flat_map(|setup| &setup.wheels).any(|wheel| wheel.package == "mujoco") {
            let missing = "not here; install it:\n    python3 -m pip install mujoco==2.3.7 gymnasium";
            let found = python_package(here, "mujoco").map(|version| format!("mujoco {version}"));
            findings.push(Finding { name: "MuJoCo".into(), found: found.ok_or_else(|| missing.into()) });
        }
        if self.json {
            let object = |finding: &Finding| match &finding.found {
                Ok(what) => json!({ "name": finding.name, "found": true, "what": what }),
                Err(why) => json!({ "name": finding.name, "found": false, "what": why }),
            };
            print_json(&findings.iter().map(object).collect::<Vec<_>>())?;
        } else {
            for Finding { name, found } in &findings {
                let (sign, what) = match found {
                    Ok(what) => ('✓', what),
                    Err(why) => ('–', why),
                };
                say_below(&format!("{sign} {name:21} "), what)?;
            }
        }
        match broken {
            true => Err(Error::usage("plugins cannot run in the sandbox here")),
            false => Ok(()),
        }
    }
}

fn processor() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    #[cfg(target_arch = "x86_64")]
    let kernels = match (is_x86_feature_detected!("avx512f"), is_x86_feature_detected!("avx2")) {
        (true, _) => "AVX-512",
        (false, true) => "AVX2",
        _ => "SSE2 only: several times slower than with AVX2",
    };
    #[cfg(not(target_arch = "x86_64"))]
    let kernels = std::env::consts::ARCH;
    format!("{}, {kernels}", counted(cores, "core"))
}

/// Resets one cart-pole in the sandbox, to see whether components run.
fn sandbox(registry: &Registry) -> Result<String, String> {
    let mut environments =
        registry.make_environments("nd-cartpole", &[], 1).map_err(|error| error.to_string())?;
    environments.reset(&[0]).map_err(|error| error.to_string())?;
    Ok("components run".into())
}

/// Where compiled components are kept.
fn cache(registry: &Registry) -> Result<String, String> {
    registry.cache().map(|folder| folder.display().to_string()).ok_or(
        "none, so every command compiles its components: POTSTILL_CACHE is empty, or there is no folder for it, or \
         others could read or write potstill/cache-key in your data folder"
            .into(),
    )
}

fn gpu(name: &str) -> Result<String, String> {
    match Device::named(name, 1) {
        Ok(device) => Ok(device.name()),
        Err(Error::Device { what, .. }) => Err(what),
        Err(error) => Err(error.to_string()),
    }
}

fn plugins(registry: &Registry) -> Result<String, String> {
    let count = |of: &dyn Fn(&&crate::plugin::Entry) -> bool| registry.entries().iter().filter(of).count();
    let built_in = count(&|entry| entry.loader == Loader::Builtin);
    let found = count(&|entry| entry.loader != Loader::Builtin);
    let rejected = count(&|entry| entry.rejected.is_some());
    let folder = install::folder()
        .map_or("nowhere: this user has no data folder".into(), |folder| folder.display().to_string());
    let rejected = match rejected {
        0 => String::new(),
        n => format!("; {n} cannot be used (`potstill plugin list` says why)"),
    };
    Ok(format!("{built_in} built in, {found} found{rejected}; `plugin install` puts them into {folder}"))
}

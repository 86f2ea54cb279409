//! Tests that errors end an episode or become messages, and never end the process.
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{defaults, installed, library, model, scratch, versions};
use crate::environment::Mujoco;
use crate::library::Library;
use crate::simulation::{Model, Simulation};
use crate::{Hopper, Humanoid};

/// A heap of balls that falls on the floor, with this much memory for the solver.
fn heap(folder: &Path, bytes: usize) -> PathBuf {
    let ball = |i: usize| {
        let (x, y, z) = (i % 3, i / 3 % 3, i / 9);
        format!(
            "<body pos='{} {} {}'><freejoint/><geom size='.1'/></body>",
            x as f64 * 0.15,
            y as f64 * 0.15,
            0.3 + z as f64 * 0.15
        )
    };
    let path = folder.join(format!("{bytes}.xml"));
    let bodies: String = (0..18).map(ball).collect();
    let text = format!(
        "<mujoco><size memory='{bytes}'/><worldbody><geom type='plane' size='5 5 .1'/>{bodies}</worldbody></mujoco>"
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// In every version, MuJoCo's own error (no memory for the solver) from deep inside `mj_step` becomes a value. The
/// simulation starts anew, and the same error occurs again.
#[test]
fn an_error_of_mujoco_s_is_a_value() {
    let Some(folder) = installed() else { return };
    let scratch = scratch("error");
    for (version, packages) in versions(&folder) {
        let library = library(&packages);
        let mut met = 0;
        for kib in [8, 16, 32, 64, 128, 256] {
            let Ok(model) = Model::load(library, &heap(&scratch, kib * 1024)) else { continue };
            let Ok(mut simulation) = Simulation::new(model) else { continue };
            for _ in 0..3 {
                let fallen = simulation
                    .reset(|_, _| {})
                    .and_then(|()| (0..1000).try_for_each(|_| simulation.step(&[], 1)));
                let Err(error) = fallen else { break };
                assert!(error.starts_with("MuJoCo raised an error: "), "{version}: {error}");
                assert!(error.contains("stack") || error.contains("memory"), "{version}: {error}");
                met += 1;
            }
        }
        println!("{version}: {met} errors");
        assert!(met >= 3, "{version}");
        // The library still works.
        let mut copy =
            Mujoco::<Hopper<4>>::with(model::<Hopper<4>>(&folder, library), &defaults::<Hopper<4>>())
                .unwrap();
        copy.advance(&[0.0; 3]).unwrap();
    }
    std::fs::remove_dir_all(scratch).unwrap();
}

#[test]
fn an_unstable_simulation_is_a_fault_and_the_next_episode_is_none() {
    let Some(folder) = installed() else { return };
    for (version, packages) in versions(&folder) {
        let library = library(&packages);
        let model = model::<Humanoid<4>>(&folder, library);
        let mut copy = Mujoco::<Humanoid<4>>::with(model.clone(), &defaults::<Humanoid<4>>()).unwrap();
        let mut fresh = Mujoco::<Humanoid<4>>::with(model, &defaults::<Humanoid<4>>()).unwrap();
        for (position, velocity, what) in
            [(1e11, 0.0, "position"), (0.0, 1e11, "velocity"), (0.0, 1e9, "acceleration")]
        {
            copy.start(|_, qpos, qvel| (qpos[2], qvel[3]) = (qpos[2] + position, velocity)).unwrap();
            let before = copy.observation.clone();
            let fault = copy.advance(&[0.1; 17]).err().unwrap();
            assert!(
                fault.starts_with("the simulation became unstable") && fault.contains(what),
                "{version}: {fault}"
            );
            assert_eq!(copy.observation, before, "the last that was good");
            copy.start(|_, _, _| {}).unwrap();
            fresh.start(|_, _, _| {}).unwrap();
            for _ in 0..20 {
                let rewards = [&mut copy, &mut fresh].map(|copy| copy.advance(&[0.1; 17]).unwrap().reward);
                assert_eq!(rewards[0].to_bits(), rewards[1].to_bits(), "{version}");
            }
        }
        let refused = copy.advance(&[f32::NAN; 17]).err().unwrap();
        assert_eq!(refused, "the action is not 17 finite numbers");
    }
}

#[test]
fn a_broken_model_is_mujoco_s_own_message_with_the_file() {
    let Some(folder) = installed() else { return };
    let scratch = scratch("model");
    for (version, packages) in versions(&folder) {
        let library = library(&packages);
        for (name, text, why) in [
            ("cut.xml", "<mujoco><worldbody><body>", "XML"),
            ("empty.xml", "", "XML"),
            (
                "joint.xml",
                "<mujoco><worldbody><joint name='knee'/></worldbody></mujoco>",
                "World body cannot have joints",
            ),
            ("mass.xml", "<mujoco><worldbody><body><freejoint/></body></worldbody></mujoco>", "mass"),
        ] {
            let path = scratch.join(name);
            std::fs::write(&path, text).unwrap();
            let error = Model::load(library, &path).err().unwrap();
            let start = format!("MuJoCo cannot read the model {}: ", path.display());
            assert!(
                error.starts_with(&start) && error.contains(why) && !error.contains('\n'),
                "{version}: {error}"
            );
        }
        let other = Model::load(library, &heap(&scratch, 1 << 20)).unwrap();
        let error = Mujoco::<Hopper<4>>::with(other, &defaults::<Hopper<4>>()).err().unwrap();
        let sizes = "has 126 positions, 108 velocities and 0 controls, Gymnasium's has 6, 6 and 3";
        assert_eq!(error, format!("hopper.xml {sizes}"), "{version}");
        let error = Model::load(library, &scratch.join("none.xml")).err().unwrap();
        assert!(error.contains("none.xml: "), "{version}: {error}");
    }
    std::fs::remove_dir_all(scratch).unwrap();
}

#[test]
fn an_unknown_version_and_what_is_not_mujoco_are_refused() {
    let scratch = scratch("unknown");
    let build = |name: &str, code: &str| {
        let (source, library) = (scratch.join(name).with_extension("c"), scratch.join(name));
        std::fs::write(&source, code).unwrap();
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status().unwrap();
        assert!(built.success());
        Library::open(&library).err().unwrap()
    };
    let error = build(
        "libmujoco.so.9.9.9",
        "int mj_version(void) { return 999; } const char *mj_versionString(void) { return \"9.9.9\"; }",
    );
    assert!(
        error.ends_with(
            "libmujoco.so.9.9.9 is MuJoCo 9.9.9, which this plugin does not support (it supports 2.3.7, 3.1.6, 3.2.7, \
             3.3.7, 3.17.0); `potstill plugin setup mujoco` installs 2.3.7 beside it"
        ),
        "{error}"
    );
    let error = build("libmujoco.so", "int nothing;");
    assert!(error.ends_with("has no function mj_version: it is not MuJoCo or is too old"), "{error}");
    std::fs::remove_dir_all(scratch).unwrap();
}

//! Tests every environment with every supported version of MuJoCo.
use potstill_plugin_api::{Manifest, abi};
use potstill_sdk::testing::assert_provides;
use potstill_sdk::{Environment, Rng};

use super::{defaults, installed, library, model, versions};
use crate::environment::{Mujoco, Task};
use crate::layout::{KNOWN, Layout};
use crate::{Ant, HalfCheetah, Hopper, Humanoid, HumanoidStandup, InvertedDoublePendulum, Reacher, Walker2d};

fn play<T: Task>(copy: &mut Mujoco<T>, steps: usize, rng: &mut Rng) -> Vec<u64> {
    let mut all = vec![];
    for _ in 0..steps {
        let range = copy.simulation.model.control_range().to_vec();
        let action: Vec<f32> = range.iter().map(|[low, high]| rng.uniform_in(*low, *high) as f32).collect();
        let judgment = copy.advance(&action).unwrap();
        all.push(judgment.reward.to_bits());
        all.extend(copy.observation.iter().map(|value| value.to_bits()));
    }
    all
}

/// Sizes are Gymnasium's, and a restored state continues to the bit, even in another copy.
fn plays<T: Task>(folder: &std::path::Path, size: usize, actions: usize) {
    for (version, packages) in versions(folder) {
        let model = model::<T>(folder, library(&packages));
        let new = || Mujoco::<T>::with(model.clone(), &defaults::<T>()).unwrap();
        let (mut copy, mut rng) = (new(), Rng::seeded(5));
        let (observation, mut out) = (copy.spec().observation, vec![0.0; size]);
        assert_eq!((observation.size(), copy.spec().action.size()), (size, actions), "{} {version}", T::ID);
        copy.reset(&mut rng, &mut out);
        play(&mut copy, 20, &mut rng);
        let mut state = vec![];
        assert!(copy.snapshot(&mut state));
        let after = play(&mut copy, 20, &mut rng.clone());
        for mut copy in [copy, new()] {
            copy.restore(&state).unwrap();
            assert!(play(&mut copy, 20, &mut rng.clone()) == after, "{} {version}", T::ID);
        }
    }
}

#[test]
fn every_environment_plays_by_every_version_and_goes_on_from_its_snapshots() {
    let Some(folder) = installed() else { return };
    plays::<Hopper<4>>(&folder, 11, 3);
    plays::<Hopper<5>>(&folder, 11, 3);
    plays::<HalfCheetah<4>>(&folder, 17, 6);
    plays::<HalfCheetah<5>>(&folder, 17, 6);
    plays::<Walker2d<4>>(&folder, 17, 6);
    plays::<Walker2d<5>>(&folder, 17, 6);
    plays::<InvertedDoublePendulum<4>>(&folder, 11, 1);
    plays::<InvertedDoublePendulum<5>>(&folder, 9, 1);
    plays::<Reacher<4>>(&folder, 11, 2);
    plays::<Reacher<5>>(&folder, 10, 2);
    plays::<Ant<4>>(&folder, 27, 8);
    plays::<Ant<5>>(&folder, 105, 8);
    plays::<Humanoid<4>>(&folder, 376, 17);
    plays::<Humanoid<5>>(&folder, 348, 17);
    plays::<HumanoidStandup<4>>(&folder, 376, 17);
    plays::<HumanoidStandup<5>>(&folder, 348, 17);
}

/// The manifest lists what the library contains, in the same order.
#[test]
fn the_manifest_says_what_the_library_provides() {
    unsafe extern "C" {
        fn potstill_plugin(host: *const abi::Host) -> *const abi::Plugin;
    }
    let manifest = Manifest::parse(include_str!("../../plugin.toml")).unwrap();
    // SAFETY: it is this crate's own, and takes no host for one that offers nothing.
    unsafe { assert_provides(potstill_plugin(std::ptr::null()), &manifest) };
    assert_eq!(manifest.provides.len(), 16);
    let wheels = manifest.setup.unwrap().wheels;
    let versions: Vec<&str> = wheels.iter().filter(|w| w.package == "mujoco").map(|w| &*w.version).collect();
    assert_eq!(versions, KNOWN.map(|(version, _)| version), "what is known can be set up, the default first");
}

/// Each table of offsets is of the version in its name.
#[test]
fn libraries_answer_the_version_of_their_table() {
    let Some(folder) = installed() else { return };
    for ((name, layout), (version, packages)) in KNOWN.iter().zip(versions(&folder)) {
        let layout: &Layout = layout;
        assert_eq!((name, library(&packages).layout.version), (&version, layout.version));
    }
}

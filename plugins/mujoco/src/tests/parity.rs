//! Compares this plugin with Gymnasium from the same states, under the same actions.
use std::path::Path;
use std::process::Command;

use super::{defaults, installed, library, model, site};
use crate::environment::{Mujoco, Task};
use crate::{Ant, HalfCheetah, Hopper, Humanoid, HumanoidStandup, InvertedDoublePendulum, Reacher, Walker2d};

const SEEDS: usize = 5;
const STEPS: usize = 1000;

/// The most by which a trajectory may differ from Gymnasium's; `0.0` means equal to the bit.
#[derive(Clone, Copy)]
struct Tolerance {
    observation: f64,
    reward: f64,
}

struct Reader<'a>(&'a [[u8; 8]]);

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Vec<f64> {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
    }
}

fn differ(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let of = |(a, b): (&f64, &f64)| if a.to_bits() == b.to_bits() { 0.0 } else { (a - b).abs().max(1e-300) };
    ours.iter().zip(theirs).map(of).fold(0.0, f64::max)
}

fn compare<T: Task>(folder: &Path, stack: &str, gymnasium: &str, tolerance: Tolerance) {
    let stack = folder.join(stack);
    let file = folder.join(format!("{gymnasium}.f64"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trajectories.py");
    let mut python = Command::new(stack.join("bin/python"));
    python.arg("-Wignore").arg(script).arg(gymnasium).args([SEEDS, STEPS].map(|n| n.to_string())).arg(&file);
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::read(&file).unwrap();
    std::fs::remove_file(file).unwrap();

    let library = library(&site(&stack).join("mujoco"));
    let mut copy = Mujoco::<T>::with(model::<T>(folder, library), &defaults::<T>()).unwrap();
    let model = copy.simulation.model.clone();
    let mut theirs = Reader(bytes.as_chunks().0);
    let (mut seen, mut judged, mut episodes, mut steps) = (0f64, 0f64, 0, 0);
    for step in 0..SEEDS * STEPS {
        if theirs.take(1) == [1.0] {
            let (qpos, qvel) = (theirs.take(model.nq), theirs.take(model.nv));
            copy.start(|_, q, v| {
                q.copy_from_slice(&qpos);
                v.copy_from_slice(&qvel);
            })
            .unwrap();
            seen = seen.max(differ(&copy.observation, &theirs.take(copy.observation.len())));
            (episodes, steps) = (episodes + 1, 0);
        }
        let action: Vec<f32> = theirs.take(model.nu).iter().map(|v| *v as f32).collect();
        let judgment = copy.advance(&action).unwrap();
        steps += 1;
        seen = seen.max(differ(&copy.observation, &theirs.take(copy.observation.len())));
        let [reward, terminated, truncated] = theirs.take(3)[..] else { unreachable!() };
        judged = judged.max(differ(&[judgment.reward], &[reward]));
        assert_eq!(judgment.terminated, terminated == 1.0, "{gymnasium} step {step}");
        assert_eq!(steps == T::MAX_EPISODE_STEPS, truncated == 1.0, "{gymnasium} step {step}");
    }
    assert!(theirs.0.is_empty());
    println!("{gymnasium}: {episodes} episodes, observation within {seen:e}, reward within {judged:e}");
    assert!(seen <= tolerance.observation && judged <= tolerance.reward, "{gymnasium}: {seen:e}, {judged:e}");
}

const SAME: Tolerance = Tolerance { observation: 0.0, reward: 0.0 };
/// NumPy's own sine and cosine, and BLAS's dot product, may round differently on another processor.
const ANGLES: Tolerance = Tolerance { observation: 1e-9, reward: 0.0 };
const REACHER: Tolerance = Tolerance { observation: 1e-9, reward: 1e-9 };

#[test]
fn v4_is_gymnasium_s() {
    let Some(folder) = installed() else { return };
    compare::<Hopper<4>>(&folder, "v4", "Hopper-v4", SAME);
    compare::<HalfCheetah<4>>(&folder, "v4", "HalfCheetah-v4", SAME);
    compare::<Walker2d<4>>(&folder, "v4", "Walker2d-v4", SAME);
    compare::<InvertedDoublePendulum<4>>(&folder, "v4", "InvertedDoublePendulum-v4", ANGLES);
    compare::<Reacher<4>>(&folder, "v4", "Reacher-v4", REACHER);
    compare::<Ant<4>>(&folder, "v4", "Ant-v4", SAME);
    compare::<Humanoid<4>>(&folder, "v4", "Humanoid-v4", SAME);
    compare::<HumanoidStandup<4>>(&folder, "v4", "HumanoidStandup-v4", SAME);
}

#[test]
fn v5_is_gymnasium_s() {
    let Some(folder) = installed() else { return };
    compare::<Hopper<5>>(&folder, "v5", "Hopper-v5", SAME);
    compare::<HalfCheetah<5>>(&folder, "v5", "HalfCheetah-v5", SAME);
    compare::<Walker2d<5>>(&folder, "v5", "Walker2d-v5", SAME);
    compare::<InvertedDoublePendulum<5>>(&folder, "v5", "InvertedDoublePendulum-v5", ANGLES);
    compare::<Reacher<5>>(&folder, "v5", "Reacher-v5", REACHER);
    compare::<Ant<5>>(&folder, "v5", "Ant-v5", SAME);
    compare::<Humanoid<5>>(&folder, "v5", "Humanoid-v5", SAME);
    compare::<HumanoidStandup<5>>(&folder, "v5", "HumanoidStandup-v5", SAME);
}

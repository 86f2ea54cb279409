//! Tests of pictures by MuJoCo's own renderer.
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use potstill_sdk::{Environment, Frame, Options, RenderMode, Rng};

use super::{installed, library, model, scratch, site, versions};
use crate::environment::{Mujoco, Task};
use crate::painter::Painter;
use crate::picture::{self, HEIGHT, WIDTH};
use crate::renderer::{Camera, Renderer};
use crate::simulation::Model;
use crate::{Ant, HalfCheetah, Hopper, Humanoid, HumanoidStandup, InvertedDoublePendulum, Reacher, Walker2d};

/// Whether this machine can draw. If not, the test says that it is skipped.
fn opengl() -> bool {
    crate::egl::available().map_err(|error| eprintln!("SKIPPED: {error}")).is_ok()
}

pub(super) fn options<T: Task>(render: &str) -> Options {
    let of = |(name, value)| if name == "render" { (name, render.into()) } else { (name, value) };
    Mujoco::<T>::options().into_iter().map(|option| of((option.name, option.default))).collect()
}

fn copy<T: Task>(model: &Arc<Model>, render: &str) -> Mujoco<T> {
    Mujoco::with(model.clone(), &options::<T>(render)).unwrap()
}

pub(super) fn drawn<T: Task>(copy: &Mujoco<T>) -> Vec<u8> {
    let Frame::Rgb { width, height, pixels } = copy.render(RenderMode::Rgb).unwrap() else {
        panic!("pixels")
    };
    assert_eq!((width as usize, height as usize, pixels.len()), (WIDTH, HEIGHT, WIDTH * HEIGHT * 3));
    pixels
}

pub(super) fn flat<T: Task>(copy: &Mujoco<T>) -> Vec<u8> {
    picture::pixels(&copy.simulation, T::VIEW)
}

/// The mean absolute difference of a channel, of 255.
fn differ(ours: &[u8], theirs: &[u8]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / ours.len() as f64
}

/// Drivers round differently, but one driver always draws the same picture.
const SAME: f64 = 0.05;

fn compare<T: Task>(folder: &Path, stack: &str, gymnasium: &str) {
    const EPISODES: usize = 3;
    const STEPS: usize = 12;
    let stack = folder.join(stack);
    let scratch = scratch(gymnasium);
    let file = scratch.join("pictures");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures.py");
    let mut python = Command::new(stack.join("bin/python"));
    python
        .arg("-Wignore")
        .arg(script)
        .arg(gymnasium)
        .args([EPISODES, STEPS].map(|n| n.to_string()))
        .arg(&file);
    let output = python.env("MUJOCO_GL", "egl").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::read(&file).unwrap();
    std::fs::remove_dir_all(scratch).unwrap();

    let model = model::<T>(folder, library(&site(&stack).join("mujoco")));
    let mut copy = copy::<T>(&model, "gl");
    let (mut theirs, mut before, mut seen) = (&bytes[..], None, vec![]);
    let mut take = |count: usize| {
        let (taken, rest) = theirs.split_at(count);
        theirs = rest;
        taken
    };
    for _ in 0..EPISODES {
        let mut numbers = |count: usize| -> Vec<f64> {
            take(8 * count).as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
        };
        let (qpos, qvel) = (numbers(model.nq), numbers(model.nv));
        copy.start(|_, q, v| {
            q.copy_from_slice(&qpos);
            v.copy_from_slice(&qvel);
        })
        .unwrap();
        for _ in 0..STEPS {
            let action: Vec<f32> = numbers(model.nu).iter().map(|v| *v as f32).collect();
            copy.advance(&action).unwrap();
        }
        let (ours, picture) = (drawn(&copy), take(WIDTH * HEIGHT * 3));
        seen.push(differ(&ours, picture));
        // The bound would notice another episode's picture.
        let other = before.replace(picture).map(|before| differ(before, picture));
        assert!(other.is_none_or(|other| other > 2.0 * SAME), "{gymnasium}: episodes look alike: {other:?}");
    }
    println!("{gymnasium}: mean difference of a channel {seen:?}");
    assert!(seen.iter().all(|seen| *seen <= SAME), "{gymnasium}: {seen:?}");
}

#[test]
fn v4_looks_like_gymnasium_s() {
    let Some(folder) = installed().filter(|_| opengl()) else { return };
    compare::<Hopper<4>>(&folder, "v4", "Hopper-v4");
    compare::<HalfCheetah<4>>(&folder, "v4", "HalfCheetah-v4");
    compare::<Walker2d<4>>(&folder, "v4", "Walker2d-v4");
    compare::<InvertedDoublePendulum<4>>(&folder, "v4", "InvertedDoublePendulum-v4");
    compare::<Reacher<4>>(&folder, "v4", "Reacher-v4");
    compare::<Ant<4>>(&folder, "v4", "Ant-v4");
    compare::<Humanoid<4>>(&folder, "v4", "Humanoid-v4");
    compare::<HumanoidStandup<4>>(&folder, "v4", "HumanoidStandup-v4");
}

#[test]
fn v5_looks_like_gymnasium_s() {
    let Some(folder) = installed().filter(|_| opengl()) else { return };
    compare::<Hopper<5>>(&folder, "v5", "Hopper-v5");
    compare::<HalfCheetah<5>>(&folder, "v5", "HalfCheetah-v5");
    compare::<Walker2d<5>>(&folder, "v5", "Walker2d-v5");
    compare::<InvertedDoublePendulum<5>>(&folder, "v5", "InvertedDoublePendulum-v5");
    compare::<Reacher<5>>(&folder, "v5", "Reacher-v5");
    compare::<Ant<5>>(&folder, "v5", "Ant-v5");
    compare::<Humanoid<5>>(&folder, "v5", "Humanoid-v5");
    compare::<HumanoidStandup<5>>(&folder, "v5", "HumanoidStandup-v5");
}

/// The rewards, observations and final snapshot of a copy that is drawn after each step, or not.
fn played<T: Task>(model: &Arc<Model>, render: Option<&str>) -> (Vec<u64>, Vec<u8>) {
    let mut copy = copy::<T>(model, render.unwrap_or("auto"));
    let (mut rng, mut all, mut state) = (Rng::seeded(3), vec![], vec![]);
    copy.start(|task, qpos, qvel| task.start(&mut Rng::seeded(2), qpos, qvel)).unwrap();
    for _ in 0..6 {
        let range = model.control_range();
        let action: Vec<f32> = range.iter().map(|[low, high]| rng.uniform_in(*low, *high) as f32).collect();
        all.push(copy.advance(&action).unwrap().reward.to_bits());
        all.extend(copy.observation.iter().map(|value| value.to_bits()));
        if render.is_some() {
            let before = flat(&copy);
            let ours = drawn(&copy);
            assert_eq!(render == Some("2d"), ours == before, "{} {render:?}", T::ID);
        }
    }
    assert!(copy.snapshot(&mut state));
    (all, state)
}

#[test]
fn drawing_changes_no_simulation_in_any_version() {
    let Some(folder) = installed().filter(|_| opengl()) else { return };
    for (version, packages) in versions(&folder) {
        let library = library(&packages);
        let (hopper, humanoid) =
            (model::<Hopper<4>>(&folder, library), model::<Humanoid<5>>(&folder, library));
        for render in ["2d", "auto"] {
            assert!(
                played::<Hopper<4>>(&hopper, Some(render)) == played::<Hopper<4>>(&hopper, None),
                "{version}"
            );
            let [with, without] = [Some(render), None].map(|render| played::<Humanoid<5>>(&humanoid, render));
            assert!(with == without, "{version} {render}");
        }
    }
}

/// Copies of two models, made in one thread, are drawn by many threads at the same time and freed in others.
#[test]
fn any_thread_draws() {
    let Some(folder) = installed().filter(|_| opengl()) else { return };
    let library = library(&site(&folder.join("v4")).join("mujoco"));
    let hoppers: Vec<_> = {
        let model = model::<Hopper<4>>(&folder, library);
        (0..12).map(|_| Mutex::new(copy::<Hopper<4>>(&model, "gl"))).collect()
    };
    let ants: Vec<_> = {
        let model = model::<Ant<4>>(&folder, library);
        (0..12).map(|_| Mutex::new(copy::<Ant<4>>(&model, "auto"))).collect()
    };
    for (i, (hopper, ant)) in hoppers.iter().zip(&ants).enumerate() {
        // There are three states, so that a picture of the wrong copy is noticed.
        let lift = (i % 3) as f64 * 0.3;
        hopper.lock().unwrap().start(|_, qpos, _| qpos[1] += lift).unwrap();
        ant.lock().unwrap().start(|_, qpos, _| qpos[2] += lift).unwrap();
    }
    let expected: Vec<_> =
        (0..3).map(|i| (drawn(&*hoppers[i].lock().unwrap()), drawn(&*ants[i].lock().unwrap()))).collect();
    assert!(differ(&expected[0].0, &expected[1].0) > 0.1 && differ(&expected[0].1, &expected[1].1) > 0.1);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (hoppers, ants, expected) = (&hoppers, &ants, &expected);
            scope.spawn(move || {
                for i in (0..12).map(|i| (i + thread) % 12) {
                    assert!(drawn(&*hoppers[i].lock().unwrap()) == expected[i % 3].0, "hopper {i}");
                    assert!(drawn(&*ants[i].lock().unwrap()) == expected[i % 3].1, "ant {i}");
                }
            });
        }
    });
    let (first, second) = (hoppers[0].lock().unwrap().simulation.model.clone(), &ants);
    let second = second[0].lock().unwrap().simulation.model.clone();
    // There is one OpenGL context per model, whatever the number of copies, and none when they are gone.
    assert!(Arc::ptr_eq(&Renderer::of(&first).unwrap(), &Renderer::of(&first).unwrap()));
    std::thread::spawn(move || drop((hoppers, ants))).join().unwrap();
    assert!([first, second].iter().all(|model| model.renderer.lock().unwrap().upgrade().is_none()));
}

/// A picture that fails, and all after it, are drawn flat; if MuJoCo's renderer is required, it is an error.
#[test]
fn a_picture_that_fails_is_flat() {
    type T = Hopper<4>;
    let Some(folder) = installed().filter(|_| opengl()) else { return };
    let model = model::<T>(&folder, library(&site(&folder.join("v5")).join("mujoco")));
    let copy = copy::<T>(&model, "auto");
    let painter = |render| Painter::new(&options::<T>(render), &model).unwrap();
    let draw = |painter: &Painter, camera| match painter.draw(&copy.simulation, T::VIEW, camera)? {
        Frame::Rgb { pixels, .. } => Ok(pixels),
        Frame::Text(text) => panic!("{text}"),
    };
    let (real, nowhere) = (drawn(&copy), Camera::Named(c"nowhere"));
    let (auto, gl) = (painter("auto"), painter("gl"));
    assert!(draw(&auto, T::CAMERA).unwrap() == real && draw(&gl, T::CAMERA).unwrap() == real);
    assert!(draw(&auto, nowhere).unwrap() == flat(&copy) && draw(&auto, T::CAMERA).unwrap() == flat(&copy));
    let error: String = draw(&gl, nowhere).unwrap_err();
    assert_eq!(error, "MuJoCo's renderer failed: the model has no camera `nowhere`");
    assert!(draw(&gl, T::CAMERA).unwrap() == real, "the next one may be drawn");
}

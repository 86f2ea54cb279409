//! Environment steps per second.
//!
//! `cargo bench -p potstill-mujoco` compares the plugin with the C loop beside this file, on one thread each, in pairs, with
//! the MuJoCo that `tests/setup` installed. A ratio is the median of the pairs.
//!
//! `cargo bench -p potstill-mujoco -- NAME COPIES THREADS SECONDS` prints steps per second of wall-clock and of CPU time as
//! JSON, with the MuJoCo that is found. `bench/peers.py` runs it this way.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use potstill_mujoco::{
    Ant, HalfCheetah, Hopper, Humanoid, HumanoidStandup, InvertedDoublePendulum, Mujoco, Reacher, Walker2d,
};
use potstill_sdk::testing::Copies;
use potstill_sdk::{Actions, Environment, Options, Rng, Space};

const PAIRS: usize = 7;

fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the answer's place is valid for writes.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

struct Player<E: Environment> {
    copies: Copies<E>,
    rng: Rng,
    low: Vec<f32>,
    high: Vec<f32>,
    actions: Vec<f32>,
}

impl<E: Environment> Player<E> {
    fn new(count: usize, threads: i64) -> Self {
        let options: Options = E::options()
            .into_iter()
            .map(|option| match &*option.name {
                "threads" => (option.name, threads.into()),
                _ => (option.name, option.default),
            })
            .collect();
        let Space::Box { low, high, .. } = E::new(&options).expect("MuJoCo").spec().action else {
            unreachable!()
        };
        let mut copies = Copies::new(count, &options).expect("MuJoCo");
        copies.reset(&(0..count as u64).collect::<Vec<_>>()).expect("seeds");
        Player {
            copies,
            rng: Rng::seeded(1),
            low: low.repeat(count),
            high: high.repeat(count),
            actions: vec![],
        }
    }

    fn step(&mut self) {
        let rng = &mut self.rng;
        self.actions.clear();
        self.actions.extend(
            self.low.iter().zip(&self.high).map(|(l, h)| rng.uniform_in(f64::from(*l), f64::from(*h)) as f32),
        );
        self.copies.step(Actions::Continuous(&self.actions)).expect("a step");
    }
}

/// Environment steps per second of `[wall-clock, CPU]` time.
fn rate<E: Environment>(copies: usize, threads: i64, seconds: f64) -> [f64; 2] {
    let mut player = Player::<E>::new(copies, threads);
    (0..20).for_each(|_| player.step());
    let (since, cpu, mut steps) = (Instant::now(), cpu_seconds(), 0);
    while since.elapsed().as_secs_f64() < seconds {
        player.step();
        steps += copies;
    }
    [steps as f64 / since.elapsed().as_secs_f64(), steps as f64 / (cpu_seconds() - cpu)]
}

/// The folder of v4's packages, which `tests/setup` installed.
fn site() -> PathBuf {
    let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/mujoco-python/v4/lib");
    let python = std::fs::read_dir(stack).expect("run plugins/mujoco/tests/setup").next();
    python.expect("a Python").expect("a folder").path().join("site-packages")
}

fn built_loop(site: &Path) -> PathBuf {
    let (source, mujoco) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/loop.c"), site.join("mujoco"));
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("loop");
    let library = std::fs::read_dir(&mujoco).expect("mujoco").flatten().map(|entry| entry.path());
    let library =
        library.into_iter().find(|p| p.to_string_lossy().contains("libmujoco.so")).expect("a library");
    let mut cc = Command::new("cc");
    cc.args(["-O3", "-march=native"]).arg(source).arg("-I").arg(mujoco.join("include")).arg("-o").arg(&out);
    cc.arg(library).arg(format!("-Wl,-rpath,{}", mujoco.display())).arg("-lm");
    assert!(cc.status().expect("cc").success());
    out
}

/// Compares the plugin with the loop, which gets `arguments`.
fn pair<E: Environment>(
    site: &Path,
    program: &Path,
    model: &str,
    frames: usize,
    steps: usize,
    arguments: &[&str],
) {
    const COPIES: usize = 16;
    let model = site.join("gymnasium/envs/mujoco/assets").join(model);
    let mut rates: Vec<[f64; 2]> = (0..PAIRS)
        .map(|seed| {
            let mut c = Command::new(program);
            c.arg(&model).args([frames, COPIES, steps, seed].map(|n| n.to_string())).args(arguments);
            let answer = c.output().expect("the loop");
            let seconds: f64 = String::from_utf8_lossy(&answer.stdout).trim().parse().expect("seconds");
            let mut player = Player::<E>::new(COPIES, 1);
            let cpu = cpu_seconds();
            (0..steps).for_each(|_| player.step());
            let all = (COPIES * steps) as f64;
            [all / (cpu_seconds() - cpu), all / seconds]
        })
        .collect();
    rates.sort_by(|a, b| (a[0] / a[1]).total_cmp(&(b[0] / b[1])));
    let ratio = |i: usize| rates[i][0] / rates[i][1];
    println!(
        "{:36} {:8.0} steps/s of CPU, C loop {:8.0}: {:.3} ({:.3} to {:.3})",
        E::ID,
        rates[PAIRS / 2][0],
        rates[PAIRS / 2][1],
        ratio(PAIRS / 2),
        ratio(0),
        ratio(PAIRS - 1),
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [name, copies, threads, seconds] = &arguments[..] {
        let (copies, threads) = (copies.parse().expect("COPIES"), threads.parse().expect("THREADS"));
        let seconds = seconds.parse().expect("SECONDS");
        let [wall, cpu] = match &**name {
            "ant" => rate::<Mujoco<Ant<4>>>(copies, threads, seconds),
            "half-cheetah" => rate::<Mujoco<HalfCheetah<4>>>(copies, threads, seconds),
            "hopper" => rate::<Mujoco<Hopper<4>>>(copies, threads, seconds),
            "humanoid" => rate::<Mujoco<Humanoid<4>>>(copies, threads, seconds),
            "humanoid-standup" => rate::<Mujoco<HumanoidStandup<4>>>(copies, threads, seconds),
            "inverted-double-pendulum" => rate::<Mujoco<InvertedDoublePendulum<4>>>(copies, threads, seconds),
            "reacher" => rate::<Mujoco<Reacher<4>>>(copies, threads, seconds),
            "walker2d" => rate::<Mujoco<Walker2d<4>>>(copies, threads, seconds),
            other => panic!("there is no `{other}`"),
        };
        return println!("{{\"wall\": {wall:.1}, \"cpu\": {cpu:.1}}}");
    }
    let site = site();
    // SAFETY: nothing reads the environment yet.
    unsafe { std::env::set_var("MUJOCO_PATH", &site) };
    let program = built_loop(&site);
    let run = |low: &'static str, high, noise, rule: &[&'static str]| [&[low, high, noise], rule].concat();
    let still = run("-1", "1", "0.1", &[]);
    pair::<Mujoco<Hopper<4>>>(
        &site,
        &program,
        "hopper.xml",
        4,
        1000,
        &run("-1", "1", "0.005", &["1", "0.7", "1e9", "0.2"]),
    );
    pair::<Mujoco<HalfCheetah<4>>>(&site, &program, "half_cheetah.xml", 5, 2000, &still);
    pair::<Mujoco<Walker2d<4>>>(
        &site,
        &program,
        "walker2d.xml",
        4,
        1000,
        &run("-1", "1", "0.005", &["1", "0.8", "2", "1"]),
    );
    pair::<Mujoco<InvertedDoublePendulum<4>>>(
        &site,
        &program,
        "inverted_double_pendulum.xml",
        5,
        2000,
        &run("-1", "1", "0.1", &["0", "-1e9", "1e9", "0.6"]),
    );
    pair::<Mujoco<Reacher<4>>>(&site, &program, "reacher.xml", 2, 4000, &still);
    pair::<Mujoco<Ant<4>>>(
        &site,
        &program,
        "ant.xml",
        5,
        500,
        &run("-1", "1", "0.1", &["2", "0.2", "1", "0"]),
    );
    let upright = run("-0.4", "0.4", "0.01", &["2", "1", "2", "0"]);
    pair::<Mujoco<Humanoid<4>>>(&site, &program, "humanoid.xml", 5, 250, &upright);
    let lying = run("-0.4", "0.4", "0.01", &[]);
    pair::<Mujoco<HumanoidStandup<4>>>(&site, &program, "humanoidstandup.xml", 5, 200, &lying);
}

//! Benchmarks the cost of the sandbox: steps of the cart-pole per second in the sandbox and as native code, on one thread
//! and with all checks and deadlines on. Throughput counts the steps of single environments.
//! `cargo bench --bench environment -- plugins` benchmarks the plugins with discrete actions in `POTSTILL_PLUGIN_PATH`.
#![allow(missing_docs)] // The functions that criterion's macros make have none.
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use potstill::plugin::{Actions, Loader, Registry};
use potstill_plugin_api::Space;
use potstill_sdk::Rng;

fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("nd-cartpole step");
    for num_envs in [1usize, 8, 64, 1024] {
        for (loader, native) in [("native", true), ("sandbox", false)] {
            let mut registry = Registry::of(&[], &[]).expect("a registry");
            registry.prefer_native(native);
            let mut environments =
                registry.make_environments("nd-cartpole-v1", &[], num_envs).expect("cart-poles");
            environments.reset(&(0..num_envs as u64).collect::<Vec<_>>()).expect("observations");
            let mut rng = Rng::seeded(1);
            let mut choose = || Actions::Discrete((0..num_envs).map(|_| rng.below(2) as u32).collect());
            let actions: Vec<Actions> = (0..64).map(|_| choose()).collect();
            let mut next = actions.iter().cycle();
            group.throughput(Throughput::Elements(num_envs as u64));
            group.bench_function(BenchmarkId::new(loader, num_envs), |b| {
                b.iter(|| {
                    environments
                        .step(next.next().expect("a cycle"))
                        .map(|step| step.rewards[0])
                        .expect("a step")
                });
            });
        }
    }
    group.finish();
}

fn plugins(c: &mut Criterion) {
    let registry = Registry::discover(&[], &[], None).expect("a registry");
    let mut group = c.benchmark_group("plugins");
    for entry in registry.entries().iter().filter(|entry| entry.loader == Loader::Wasm) {
        let Some(id) = &entry.id else { continue };
        let mut environments =
            registry.make_environments(&id.to_string(), &[], 64).expect("environments of its defaults");
        let Space::Discrete { n } = environments.spec().action else { continue };
        environments.reset(&(0..64).collect::<Vec<_>>()).expect("observations");
        let mut rng = Rng::seeded(1);
        group.throughput(Throughput::Elements(64));
        group.bench_function(BenchmarkId::new(id.to_string(), 64), |b| {
            b.iter(|| {
                let actions = (0..64).map(|_| rng.below(n as u64) as u32).collect();
                environments.step(&Actions::Discrete(actions)).map(|step| step.rewards[0]).expect("a step")
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(std::time::Duration::from_secs(2));
    targets = step, plugins
}
criterion_main!(benches);

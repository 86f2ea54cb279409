//! What the sandbox costs: steps of the cart-pole per second, in the sandbox (deadline and checks on, as always) and
//! as native code (checks on). One thread; the throughput's element is one step of one environment.
#![allow(missing_docs)] // criterion's macros make functions without.
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use potstill::plugin::{Actions, Registry};
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

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(std::time::Duration::from_secs(2));
    targets = step
}
criterion_main!(benches);

//! The same plan on the CPU and on a GPU. Where there is no GPU, `--device cuda` gives one clear error.
use potstill::Error;
use potstill::engine::policy::Policy;
use potstill::engine::programs::{Dimensions, SCALARS, Student, Trained, UpdateRule, update};
use potstill::execute::Device;
use potstill::plugin::Registry;
use potstill_plugin_api::{Space, Task};

/// One whole PPMO update: every output, read back.
fn outer_update(device: &Device) -> Vec<Vec<f32>> {
    const ROWS: usize = 300;
    let (observation, policy) = (Space::unbounded([8]), Policy::Categorical(4));
    let d = Dimensions { k: 3, observation: observation.clone(), policy, encoder_layers: 1 };
    let registry = Registry::of(&[], &[]).unwrap();
    let mlp = registry.learner("mlp", &[]).unwrap();
    let student = Student::new(mlp.draw(&observation, 4, 0).unwrap(), &d).unwrap();
    let critic = Student::critic(mlp.draw(&observation, 1, 0).unwrap(), &d).unwrap();
    let task = Task { observation, action: Space::Discrete { n: 4 }, instances: 3, outputs: 4 };
    let objective = registry.objective("ppmo", &[], &task).unwrap();
    let rule = UpdateRule::default();
    let plan = update(&student, &critic, &*objective, &rule, &d, ROWS).unwrap().plan;
    let wave = |n: usize, at: usize| -> Vec<f32> { (0..n).map(|i| ((i * 7 + at) as f32).sin()).collect() };

    let mut inputs = vec![];
    let trained = Trained::new(&student, &critic, objective.theta());
    for moment in 0..3 {
        for (i, shape) in trained.shapes.iter().enumerate() {
            let mut values = wave(shape.iter().product(), i);
            let scale = if moment == 0 { 0.3 } else { 0.01 };
            values.iter_mut().for_each(|v| *v = scale * if moment == 2 { v.abs() } else { *v });
            inputs.push(device.tensor(&values, shape));
        }
    }
    for (i, p) in student.parameters().iter().enumerate() {
        let values: Vec<f32> = wave(p.size(), i).iter().map(|v| 0.2 * v).collect();
        inputs.push(device.tensor(&values, &p.shape));
    }
    inputs.extend(SCALARS.map(|_| device.tensor(&[1e-2], &[])));
    let at = inputs.len();
    inputs.push(device.rows(&plan, at, &wave(ROWS * 8, 3), None));
    let actions: Vec<i32> = (0..ROWS as i32).map(|i| i % 4).collect();
    inputs.push(device.int_rows(&plan, at + 1, &actions, None));
    for i in 0..3 {
        inputs.push(device.rows(&plan, at + 2 + i, &wave(ROWS, i), None));
    }
    device.run(&plan, &inputs).iter().map(|t| device.read(t)).collect()
}

#[test]
fn cuda_agrees_with_the_cpu_or_says_what_is_missing() {
    let cpu = outer_update(&Device::cpu(2));
    assert!(cpu.iter().flatten().all(|v| v.is_finite()));
    match Device::named("cuda", 1) {
        Ok(cuda) => {
            for (i, (a, b)) in cpu.iter().zip(&outer_update(&cuda)).enumerate() {
                for (x, y) in a.iter().zip(b) {
                    assert!(
                        (x - y).abs() <= 1e-4 * (1.0 + x.abs()),
                        "output {i}: {x} on the CPU, {y} on CUDA"
                    );
                }
            }
        }
        Err(Error::Device { device, what }) => {
            assert_eq!(device, "cuda:0");
            assert!(what.contains("install") || what.contains("CUDA"), "{what}");
            eprintln!("no CUDA here: {what}");
        }
        Err(other) => panic!("{other}"),
    }
}

//! The same plan on the CPU and on a GPU. Where there is no GPU, `--device cuda` gives one clear error.
use potstill::Error;
use potstill::builtin::{mlp::Mlp, ppmo::Ppmo};
use potstill::engine::learner::LearnerDistribution;
use potstill::engine::optimiser::Adam;
use potstill::engine::programs::{Dimensions, SCALARS, Student, Trained, UpdateRule, update};
use potstill::engine::random::stream;
use potstill::execute::Device;

/// One whole PPMO update: every output, read back.
fn outer_update(device: &Device) -> Vec<Vec<f32>> {
    const ROWS: usize = 300;
    let d = Dimensions { k: 3, observation: vec![8], outputs: 4, encoder_layers: 1 };
    let mut random = stream(7, "cuda", 0);
    let student = Student::new(Mlp::default().draw(&mut random), &d).unwrap();
    let of_critic = Dimensions { outputs: 1, encoder_layers: 0, ..d.clone() };
    let critic = Student::new(Mlp::critic().draw(&mut random), &of_critic).unwrap();
    let adam = Adam { beta1: 0.9, beta2: 0.999, eps: 1e-5 };
    let rule = UpdateRule { adam, max_grad_norm: 0.5, joint_norm: false, value_coefficient: 0.5 };
    let plan = update(&student, &critic, &Ppmo::default(), &rule, &d, ROWS).unwrap().plan;
    let wave = |n: usize, at: usize| -> Vec<f32> { (0..n).map(|i| ((i * 7 + at) as f32).sin()).collect() };

    let mut inputs = vec![];
    let trained = Trained::new(&student, &critic, &d);
    for moment in 0..3 {
        for (i, shape) in trained.shapes.iter().enumerate() {
            let mut values = wave(shape.iter().product(), i);
            let scale = if moment == 0 { 0.3 } else { 0.01 };
            values.iter_mut().for_each(|v| *v = scale * if moment == 2 { v.abs() } else { *v });
            inputs.push(device.tensor(&values, shape));
        }
    }
    for (i, p) in student.parameters.iter().enumerate() {
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

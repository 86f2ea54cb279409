//! Tests objectives that learn from a teacher, and runs that start from a dataset.
use crate::{Outcome, Place, SMALL, metrics, read};
use potstill::run::{AgentFile, Dataset, DistillConfig};

/// Trains an agent for the environment of `small.toml`, with these `settings`, and writes it to `file`.
fn agent(place: &Place, file: &str, settings: &[&str]) {
    let run = format!("{file}-run");
    place.ok(&[&["rl", "nd-cartpole", "--config", "small.toml", "--out", &run], settings].concat());
    place.ok(&["train", &run, "--out", file]);
}

const CLONE: [&str; 4] = ["--objective", "clone", "--teacher", "agent"];

#[test]
fn learns_from_a_teacher_and_resumes() {
    let place = Place::new();
    agent(&place, "agent", &[]);
    let run = place.distil("run", &CLONE);
    let config = DistillConfig::load(run.join("config.toml")).unwrap();
    assert_eq!(config.teacher.agent.unwrap(), place.path("agent").canonicalize().unwrap());
    assert_eq!(config.teacher.sha256.unwrap().len(), 64);
    let records = metrics(&run);
    assert!(records.iter().all(|record| record.contains_key("cloning_loss")));
    // Nothing reads values, so there is no critic.
    assert!(records.iter().all(|record| !record.contains_key("value_loss")));
    let loss = |i: usize| records[i]["cloning_loss"].as_f64().unwrap();
    assert!(loss(7) < loss(0), "{} → {}", loss(0), loss(7));

    // A run resumed half-way reaches the same end, also with more threads. With another teacher it is rejected.
    let whole = Outcome::of(&run);
    let cut = || std::fs::remove_file(run.join("checkpoints/checkpoint-00000008.safetensors")).unwrap();
    cut();
    place.ok(&["resume", "run", "--threads", "2"]);
    whole.assert_same(&Outcome::of(&run));
    cut();
    let teacher = read(place.path("agent"));
    agent(&place, "other", &["--seed", "1"]);
    std::fs::copy(place.path("other"), place.path("agent")).unwrap();
    place.refused(&["resume", "run"], 1, "is not the file that this run or configuration began with");
    // The teacher may move: it is known by its hash.
    place.write("agent", teacher);
    std::fs::rename(place.path("agent"), place.path("moved")).unwrap();
    place.refused(&["resume", "run"], 1, "agent: ");
    let text = String::from_utf8(read(run.join("config.toml"))).unwrap();
    let path = |name: &str| place.0.path().canonicalize().unwrap().join(name).display().to_string();
    std::fs::write(run.join("config.toml"), text.replace(&path("agent"), &path("moved"))).unwrap();
    place.ok(&["resume", "run"]);
    whole.assert_same(&Outcome::of(&run));
}

/// A teacher sees observations normalized by its own moments, whether learners see them normalized or not.
#[test]
fn a_teacher_normalizes_by_itself() {
    let place = Place::new();
    let normalized = format!("{SMALL}[normalize]\nobservations = true\n");
    place.write("small.toml", &normalized);
    agent(&place, "agent", &[]);
    let mut file = AgentFile::load(place.path("agent")).unwrap();
    let mean = file.parameters.iter_mut().find(|tensor| tensor.name == "normalizer.mean").unwrap();
    mean.data.iter_mut().for_each(|mean| *mean += 5.0);
    file.save(place.path("shifted")).unwrap();
    let first = |run: &str, config: &str, teacher: &str| {
        place.write("small.toml", config);
        let run = place.distil(run, &["--objective", "clone", "--teacher", teacher]);
        metrics(&run)[0]["cloning_loss"].clone()
    };
    let loss = first("one", &normalized, "agent");
    // In the first meta-epoch, the learners' moments leave observations as they are.
    assert_eq!(first("two", SMALL, "agent"), loss);
    assert_ne!(first("three", SMALL, "shifted"), loss);
}

/// A teacher may see what learners do not, also where episodes go on in a resumed run.
#[test]
fn a_teacher_sees_its_own_part_of_the_observations() {
    let place = Place::new();
    place.write("all.toml", SMALL.replace("[environment]\n", "[environment]\nobserve = \"0-3\"\n"));
    place.ok(&["rl", "--config", "all.toml", "--out", "agent-run"]);
    place.ok(&["train", "agent-run", "--out", "agent"]);
    let mut file = AgentFile::load(place.path("agent")).unwrap();
    file.environment.observe = None;
    file.save(place.path("whole")).unwrap();
    let observe = "[environment]\nobserve = \"2-3\"\ncontinue_episodes = true\n";
    for (name, config) in
        [("part", SMALL.replace("[environment]\n", observe)), ("everything", SMALL.to_owned())]
    {
        place.write("small.toml", config);
        let run = |teacher: &str| {
            let run = format!("{name}-{teacher}");
            let arguments = ["distill", "--config", "small.toml", "--out", &run];
            place.ok(&[&arguments[..], &["--objective", "clone", "--teacher", teacher]].concat());
            Dataset::load(place.path(&run).join("dataset.safetensors")).unwrap()
        };
        let (of_agent, of_whole) = (run("agent"), run("whole"));
        assert_eq!((&of_agent.x, &of_agent.y), (&of_whole.x, &of_whole.y));
        assert_eq!(of_agent.x.shape[1], if name == "part" { 2 } else { 4 });
    }
    let run = place.path("part-agent");
    let whole = Outcome::of(&run);
    std::fs::remove_file(run.join("checkpoints/checkpoint-00000008.safetensors")).unwrap();
    place.ok(&["resume", "part-agent"]);
    whole.assert_same(&Outcome::of(&run));
}

#[test]
fn clones_offline_data() {
    let place = Place::new();
    place.ok(&["collect", "nd-cartpole", "--episodes", "10", "--out", "data"]);
    place.write("small.toml", format!("{SMALL}[offline]\nupdates = 2\nminibatch = 16\n"));
    let offline = ["--objective", "clone", "--objective-set", "data=offline"];
    let run = place.distil("run", &[&offline[..], &["--data", "data"]].concat());
    assert!(metrics(&run).iter().all(|record| record.contains_key("cloning_loss")));
    let distribution = ["--objective-set", "target=distribution", "--data", "data"];
    let distill = ["distill", "nd-cartpole"];
    place.refused(&[&distill[..], &offline, &distribution].concat(), 2, "set target=actions");
    place.refused(&[&distill[..], &offline].concat(), 2, "name a file with --data");
    let teacher = [&distill[..], &offline, &["--data", "data", "--teacher", "data"]].concat();
    place.refused(&teacher, 2, "objective `clone-v1` reads no teacher");
}

#[test]
fn refuses_what_is_no_teacher() {
    let place = Place::new();
    agent(&place, "agent", &[]);
    let distill = ["distill", "nd-cartpole", "--config", "small.toml"];
    let with =
        |more: &[&str]| [&distill[..], more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let refused = |more: &[&str], code: i32, expected: &str| {
        let arguments = with(more);
        place.refused(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), code, expected);
    };
    refused(&["--objective", "clone"], 2, "learns from a teacher: name an agent file with --teacher");
    refused(&["--teacher", "agent"], 2, "objective `ppmo-v1` reads no teacher");
    refused(
        &[&CLONE[..], &["--set", "n=2"]].concat(),
        2,
        "the teacher was trained for `nd-cartpole-v1` with",
    );
    refused(&[&CLONE[..], &["--frame-stack", "2"]].concat(), 2, "`environment.frame_stack` is 2 here");
    let observe = |entries: &str| {
        let text = SMALL.replace("envs = 4\n", &format!("envs = 4\nobserve = \"{entries}\"\n"));
        place.write("small.toml", text);
    };
    observe("0-2");
    agent(&place, "narrow", &["--frame-stack", "2"]);
    observe("1-3");
    refused(
        &["--objective", "clone", "--teacher", "narrow", "--frame-stack", "2"],
        2,
        "`environment.observe`: the teacher sees other entries",
    );
    place.write("small.toml", SMALL);
    refused(&["--objective", "clone", "--teacher", "small.toml"], 1, "small.toml: ");
    refused(&["--objective", "clone", "--teacher", "missing"], 1, "missing");
    refused(
        &["--objective", "clone", "--teacher", "agent-run/dataset.safetensors"],
        1,
        "expected an agent (`potstill-agent`)",
    );
    let mut bytes = read(place.path("agent"));
    *bytes.last_mut().unwrap() ^= 1;
    place.write("agent", bytes);
    refused(&CLONE, 1, "the file is damaged");
    assert!(!place.path("runs").exists());
}

#[test]
fn starts_from_a_dataset_and_resumes() {
    let place = Place::new();
    agent(&place, "agent", &[]);
    place.distil("cloned", &[&CLONE[..], &["--k", "3"]].concat());
    let run = place.distil("run", &["--start", "cloned", "--lr", "1e-9", "--meta-epochs", "2"]);
    // So small a learning rate leaves the dataset as it was.
    let [before, after] =
        ["cloned", "run"].map(|run| Dataset::load(place.path(run).join("dataset.safetensors")).unwrap());
    let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert_eq!(before.x.shape, after.x.shape);
    assert!(apart(&before.x.data, &after.x.data) < 1e-5 && apart(&before.y.data, &after.y.data) < 1e-5);
    assert!((before.inner_lr / after.inner_lr - 1.0).abs() < 1e-5);
    let config = DistillConfig::load(run.join("config.toml")).unwrap();
    assert_eq!((config.dataset.k, config.dataset.start_sha256.unwrap().len()), (Some(3), 64));

    let run = place.distil("whole", &["--start", "cloned"]);
    let whole = Outcome::of(&run);
    std::fs::remove_file(run.join("checkpoints/checkpoint-00000008.safetensors")).unwrap();
    place.ok(&["resume", "whole"]);
    whole.assert_same(&Outcome::of(&run));
    std::fs::remove_file(run.join("checkpoints/checkpoint-00000008.safetensors")).unwrap();
    place.ok(&["train", "cloned", "--out", "trained"]);
    std::fs::copy(place.path("whole/dataset.safetensors"), place.path("cloned/dataset.safetensors")).unwrap();
    place.refused(&["resume", "whole"], 1, "is not the file that this run or configuration began with");

    let refused = |more: &[&str], expected: &str| {
        let distill = ["distill", "nd-cartpole", "--config", "small.toml", "--start", "cloned"];
        place.refused(&[&distill[..], more].concat(), 2, expected);
    };
    refused(&["--k", "2"], "the dataset has no `x` of shape [2, 4]");
    refused(&["--set", "n=2"], "the dataset was made for `nd-cartpole-v1` with");
    refused(&["--encoder-layers", "1"], "has another encoder than this run");
    place.write("small.toml", format!("{SMALL}[normalize]\nobservations = true\n"));
    refused(&[], "set `normalize.observations` to false");
    place.write("small.toml", format!("{SMALL}[dataset]\ninner_lr = 2.0\n"));
    refused(&[], "`dataset.inner_lr`: the dataset to start from has its own η");
}

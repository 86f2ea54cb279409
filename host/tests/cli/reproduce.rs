//! Tests experiments: the example of the page, a sweep that is killed, runs of another experiment, and errors.
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use potstill::run::DistillConfig;
use serde_json::Value;

use crate::{Outcome, Place, list, read, repository};

/// Returns the experiment that docs/experiments.md shows.
fn example() -> String {
    let page = String::from_utf8(read(repository("docs/experiments.md"))).unwrap();
    let (_, rest) = page.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// Writes an experiment of two runs, which each take a moment.
fn sweep(place: &Place, meta_epochs: u64) {
    place.write(
        "sweep.toml",
        format!(
            "seeds = 2\nbase = 'small.toml'\n[config]\nmeta_epochs = {meta_epochs}\n\
             [[axis]]\nkey = 'dataset.k'\nvalues = [1, 2]\n[plot]\nx = 'environment-steps'\n"
        ),
    );
}

const RUNS: [&str; 4] = ["1-s0", "1-s1", "2-s0", "2-s1"];

/// Returns the run directories in `folder`.
fn runs(folder: &Path) -> Vec<String> {
    list(folder).into_iter().filter(|name| folder.join(name).is_dir()).collect()
}

#[test]
fn the_pages_example_runs_and_its_runs_are_reused() {
    let place = Place::new();
    place.write("sweep.toml", example());
    let first = place.run(&["reproduce", "sweep.toml"]);
    assert_eq!(first.code, Some(0), "{}", first.err);
    let lines: Vec<&str> = first.out.lines().collect();
    let expected = [
        "Returns of 10 learners × 5 episodes: median (worst). Seeds: 2.",
        "",
        "| k | learning rate | random actions | sampled | other widths |",
        "|---|---|---|---|---|",
    ];
    assert_eq!(lines[..4], expected);
    for (line, start) in lines[4..9].iter().zip([
        "| 1 | default |",
        "| 1 | a third |",
        "| 2 | default |",
        "| paper |",
        "| 2 | a third |",
    ]) {
        assert!(line.starts_with(start), "{line}");
    }
    assert_eq!(lines[7], "| paper | | | 500 ± 0.0 | |");
    let number = |text: &str| text.parse::<f64>().unwrap_or_else(|_| panic!("{text:?} is no number"));
    let mut rows = vec![];
    for line in [4, 5, 6, 8].map(|at| lines[at]) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (median, worst) = cells[3].strip_suffix(')').unwrap().split_once(" (").unwrap();
        let (mean, deviation) = cells[4].split_once(" ± ").unwrap();
        assert!(number(median) >= number(worst) && number(worst) > 5.0, "{line}");
        assert!(number(mean) > 5.0 && number(deviation) >= 0.0, "{line}");
        // With random actions the pole falls after about twenty steps.
        assert!((15.0..35.0).contains(&number(cells[2])), "{line}");
        rows.push(cells);
    }
    assert_ne!(rows[0][3], rows[2][3]);
    let source = "\npaper: Wilhelm & Ventura 2025, arXiv 2508.09283, Table 1. Converged, 100 learners × 100 episodes.\n";
    assert!(first.out.ends_with(source), "{}", first.out);

    let folder = place.path("runs/sweep");
    let names = ["1-default-s0", "1-default-s1", "1-slow-s0", "1-slow-s1"];
    let names: Vec<String> =
        names.into_iter().flat_map(|name| [name.to_owned(), name.replacen('1', "2", 1)]).collect();
    let mut expected = names.clone();
    expected.sort();
    assert_eq!(runs(&folder), expected);
    let config = String::from_utf8(read(folder.join("2-slow-s1/config.toml"))).unwrap();
    let table: toml::Table = toml::from_str(&config).unwrap();
    let optimizer = table["optimizer"].as_table().unwrap();
    assert_eq!(optimizer["lr"].as_float(), Some(3.5e-3 * 0.3333));
    assert_eq!((table["seed"].as_integer(), table["dataset"]["k"].as_integer()), (Some(1), Some(2)));
    let picture = String::from_utf8(read(folder.join("sweep.svg"))).unwrap();
    for legend in ["1, default", "1, a third", "2, default", "2, a third"] {
        assert!(picture.contains(legend), "no {legend}");
    }
    // The path of each name has one line per seed, and there are two seeds.
    let drawn = picture.split("<path d=\"M").filter(|path| path.contains("stroke-linejoin"));
    assert_eq!(
        drawn.map(|path| 1 + path.split('"').next().unwrap().matches('M').count()).collect::<Vec<_>>(),
        [2; 4]
    );

    let before: Vec<Vec<u8>> =
        names.iter().map(|name| read(folder.join(name).join("metrics.jsonl"))).collect();
    let second = place.run(&["reproduce", "./sweep.toml", "--threads", "1"]);
    assert_eq!((second.code, &second.out), (Some(0), &first.out));
    assert!(!second.err.contains("runs/sweep/1-default-s0"), "{}", second.err);
    let after: Vec<Vec<u8>> =
        names.iter().map(|name| read(folder.join(name).join("metrics.jsonl"))).collect();
    assert!(before == after, "a run that was done was run again");
}

#[test]
fn a_killed_experiment_resumes_to_the_same_end() {
    let place = Place::new();
    sweep(&place, 60);
    let whole = place.ok(&["reproduce", "sweep.toml", "--dir", "whole"]);
    assert_eq!(whole.lines().count(), 4, "{whole}");
    let mut killed = 0;
    for at in RUNS {
        let mut child = place
            .command(&["reproduce", "sweep.toml", "--dir", "killed"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        let checkpoints = place.path("killed").join(at).join("checkpoints");
        while !checkpoints.is_dir() || list(&checkpoints).len() < 2 {
            assert!(started.elapsed() < Duration::from_secs(60), "no checkpoint of {at}");
            assert_eq!(child.try_wait().unwrap(), None, "it ended before {at} began");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        killed += usize::from(!place.path("killed").join(at).join("dataset.png").exists());
    }
    assert!(killed > 0, "no run was hit while it ran");
    let said = place.run(&["reproduce", "sweep.toml", "--dir", "killed"]);
    assert_eq!((said.code, said.out), (Some(0), whole), "{}", said.err);
    for run in RUNS {
        let path = |dir: &str| place.path(dir).join(run);
        Outcome::of(&path("killed")).assert_same(&Outcome::of(&path("whole")));
    }
    let picture = |dir: &str| read(place.path(dir).join("sweep.svg"));
    assert!(picture("killed") == picture("whole"), "the pictures differ");
}

#[test]
fn a_run_of_another_experiment_is_rejected() {
    let place = Place::new();
    sweep(&place, 4);
    let first = place.ok(&["reproduce", "sweep.toml", "--seeds", "1", "--only", "2"]);
    assert_eq!(runs(&place.path("runs/sweep")), ["2-s0"]);
    assert_eq!(first.lines().nth(2).map(|line| line.contains('(')), Some(false), "{first}");
    let dataset = read(place.path("runs/sweep/2-s0/dataset.safetensors"));
    for (change, expected) in [
        (
            &["--meta-epochs", "5"][..],
            "holds a run whose configuration is not the experiment's (meta_epochs: 4 → 5)",
        ),
        (&[], "holds a run whose configuration is not the experiment's (environment.steps: 32 → 16)"),
    ] {
        if change.is_empty() {
            let text = String::from_utf8(read(place.path("sweep.toml"))).unwrap();
            place.write("sweep.toml", text.replace("[[axis]]", "environment.steps = 16\n[[axis]]"));
        }
        let arguments =
            [&["reproduce", "sweep.toml", "--seeds", "1", "--only", "dataset.k=2"][..], change].concat();
        let unknown = place.run(&arguments);
        assert!(unknown.err.contains("--only: `sweep` has no `dataset.k=2`. "), "{}", unknown.err);
        let arguments = [&["reproduce", "sweep.toml", "--seeds", "1", "--only", "k=2"][..], change].concat();
        let said = place.run(&arguments);
        assert_eq!(said.code, Some(2), "{}", said.err);
        assert!(said.err.contains(expected) && said.err.contains("choose another --dir"), "{}", said.err);
    }
    assert!(read(place.path("runs/sweep/2-s0/dataset.safetensors")) == dataset, "the run was touched");
    place.ok(&["reproduce", "sweep.toml", "--seeds", "1", "--only", "k=2", "--dir", "other"]);
}

#[test]
fn direct_ppo_and_distillation_side_by_side() {
    let place = Place::new();
    let experiment = "base = 'small.toml'\n[[training]]\nname = 'ppo'\ndirect = true\n[[training]]\nname = 'k2'\n\
                      label = 'distilled'\nconfig = { dataset.k = 2 }\n\
                      [[column]]\ntitle = ''\nvalue = '{environment.id} | {environment.envs}'\n\
                      [[column]]\ntitle = 'PPO'\nscore = 'sampled'\ntraining = 'ppo'\n\
                      [[column]]\ntitle = 'in'\ncost = true\ntraining = 'k2'\n\
                      [plot]\nfile = 'both.svg'\nx = 'environment-steps'\n";
    place.write("two.toml", experiment);
    let out = place.ok(&["reproduce", "two.toml"]);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..2], ["| | PPO | in |", "|---|---|---|"]);
    assert!(lines[2].starts_with("| nd-cartpole-v1 \\| 4 | "), "{out}");
    assert!(lines[2].ends_with("| 0.0 M steps, 0 min |"), "{out}");
    assert_eq!(runs(&place.path("runs/two")), ["k2-s0", "ppo-s0"]);
    let config = |run: &str| -> toml::Table {
        toml::from_str(
            &String::from_utf8(read(place.path("runs/two").join(run).join("config.toml"))).unwrap(),
        )
        .unwrap()
    };
    let (ppo, distilled) = (config("ppo-s0"), config("k2-s0"));
    assert_eq!((&ppo["encoder_layers"], &distilled["encoder_layers"]), (&3.into(), &0.into()));
    assert_eq!((&ppo["ppo"]["learners"], &distilled["ppo"]["learners"]), (&1.into(), &2.into()));
    let picture = String::from_utf8(read(place.path("runs/two/both.svg"))).unwrap();
    assert!(picture.contains(">ppo<") && picture.contains(">distilled<"));
}

/// An agent that PPO trained teaches a dataset, and from this another objective goes on.
#[test]
fn trainings_follow_each_other() {
    let place = Place::new();
    place.write(
        "chain.toml",
        "base = 'small.toml'\nseeds = 2\n[[training]]\nname = 'expert'\ndirect = true\n\
         [[training]]\nname = 'cloned'\nteacher = 'expert'\nconfig = { objective.id = 'clone' }\n\
         [[training]]\nname = 'on'\nstart = 'cloned'\nconfig = { meta_epochs = 1 }\n\
         [[column]]\ntitle = 'sampled'\nscore = 'sampled'\ntraining = 'on'\n\
         [[column]]\ntitle = 'pays from'\npays = 'expert'\ntraining = 'on'\n\
         [[plot]]\nx = 'hours'\n[[plot]]\nfile = 'costs.svg'\nx = 'agents'\n",
    );
    let table = place.ok(&["reproduce", "chain.toml"]);
    // The expert is a part of the distillation, whose agents therefore cost more than one expert.
    let cells: Vec<&str> =
        table.lines().nth(2).unwrap().trim_matches('|').split('|').map(str::trim).collect();
    assert!(cells[1].parse::<u32>().is_ok_and(|agents| agents > 1) || cells[1] == "never", "{table}");
    for (picture, axis) in [("chain.svg", ">hours<"), ("costs.svg", ">number of agents")] {
        let picture = String::from_utf8(read(place.path("runs/chain").join(picture))).unwrap();
        assert!(picture.contains(axis) && picture.contains(">expert<") && picture.contains(">on<"));
    }
    let folder = place.path("runs/chain");
    let config = |run: &str| DistillConfig::load(folder.join(run).join("config.toml")).unwrap();
    for seed in ["s0", "s1"] {
        let (expert, cloned) = (folder.join(format!("expert-{seed}")), folder.join(format!("cloned-{seed}")));
        let of = |file: PathBuf| Some(file.canonicalize().unwrap());
        assert_eq!(config(&format!("cloned-{seed}")).teacher.agent, of(expert.join("agent.safetensors")));
        assert_eq!(config(&format!("on-{seed}")).dataset.start, of(cloned.join("dataset.safetensors")));
    }
    // Nothing is trained twice.
    let score = |table: &str| table.lines().nth(2).unwrap().split('|').nth(1).map(str::to_owned);
    assert_eq!(score(&place.ok(&["reproduce", "chain.toml"])), score(&table));
}

/// Controls of whether a score needs sight: what `baseline` and `eval --blind` say of the same dataset.
#[test]
fn policies_and_learners_that_do_not_see_stand_beside_the_scores() {
    let place = Place::new();
    place.write(
        "blind.toml",
        "base = 'small.toml'\n[evaluate]\nlearners = 3\nepisodes = 2\n\
         [[column]]\ntitle = 'constant'\nblind = 'constant'\n\
         [[column]]\ntitle = 'distribution'\nblind = 'distribution'\n\
         [[column]]\ntitle = 'frozen'\nscore = 'sampled'\nsight = 'frozen'\n\
         [[column]]\ntitle = 'other'\nscore = 'sampled'\nsight = 'other'\n",
    );
    let said = place.ok(&["reproduce", "blind.toml"]);
    let row = said.lines().nth(2).unwrap();
    let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
    let baselines = place.json(&["baseline", "nd-cartpole", "--json"]);
    let rows = baselines["baselines"].as_array().unwrap();
    let shown = |row: &Value| {
        format!("{:.1} ({})", row["mean_return"].as_f64().unwrap(), row["policy"].as_str().unwrap())
    };
    let constant = rows.iter().find(|row| row["policy"].as_str().unwrap().starts_with("action")).unwrap();
    let best = rows.iter().find(|row| row["policy"] == "best distribution").unwrap();
    assert_eq!(cells[..2], [shown(constant), shown(best)]);
    let run = list(&place.path("runs/blind")).into_iter().find(|name| name.ends_with("s0")).unwrap();
    let run = format!("runs/blind/{run}");
    let scores =
        place.json(&["eval", &run, "--learners", "3", "--episodes", "2", "--seed", "0", "--blind", "--json"]);
    for (cell, sight) in cells[2..].iter().zip(["frozen", "other"]) {
        let mean = scores["blind"][sight]["mean_return"].as_f64().unwrap();
        assert_eq!(*cell, format!("{mean:.1}"), "{sight}: {scores}");
    }
}

#[test]
fn what_cannot_be_reproduced() {
    let place = Place::new();
    let listed = place.ok(&["reproduce"]);
    for name in
        ["scores", "generalization", "minimum-size", "mujoco", "mujoco-size", "mujoco-ablation", "atari"]
    {
        assert!(
            listed.lines().any(|line| line.starts_with(name) && line.len() > name.len() + 20),
            "{listed}"
        );
    }
    assert_eq!(place.ok(&["reproduce", "--list"]), listed);
    let built_in: &[(&[&str], &str)] = &[
        (&["score"], "there is no experiment `score`. Did you mean `scores`?"),
        (&["scores", "--seeds", "0"], "--seeds must be at least 1"),
        (&["scores", "--only", "nine"], "--only: `scores` has no `nine`. Known: 1, 2, 3, 4, 5."),
        (&["scores", "--episodes", "9"], "--learners and --episodes: `scores` scores each dataset once"),
        (&["mujoco-ablation", "--rows", "gama-0.97"], "Did you mean `gamma-0.97`?"),
        (&["mujoco", "--up-to", "3"], "--up-to: the first axis of `mujoco` has points that are not numbers"),
        (&["mujoco", "--only", "reacher"], "there is no environment `mujoco/reacher-v4`"),
    ];
    for (arguments, expected) in built_in {
        let said = place.run(&[&["reproduce"], *arguments].concat());
        assert_eq!(said.code, Some(2), "{}", said.err);
        assert!(said.err.contains(expected), "{arguments:?}: {}", said.err);
    }
    place.refused(&["reproduce", "nowhere.toml"], 1, "nowhere.toml: No such file");
    for (content, code, expected) in [
        ("sedes = 3", 1, "my.toml: "),
        ("sedes = 3", 1, "Did you mean `seeds`?"),
        (
            "[config]\nenvironment.stps = 3",
            1,
            "my.toml: unknown key `environment.stps`. Did you mean `steps`?",
        ),
        ("[config]\nenvironment.id = 'nd-cartpol'", 2, "Did you mean `nd-cartpole`?"),
        ("[[column]]\ntitle = 'a'\nvalue = '{k}'", 1, "my.toml: column `a`: `{k}` is neither an axis here"),
        ("about = \"\\u001b[31m\"", 1, "control character"),
        (
            "[evaluate]\n[[column]]\ntitle = 'a'\nscore = 'greedy'\nlearner = { id = 'mpl' }",
            2,
            "there is no learner `mpl`. Did you mean `mlp`?",
        ),
    ] {
        place.write("my.toml", content);
        let said = place.run(&["reproduce", "my.toml"]);
        assert_eq!(said.code, Some(code), "{}", said.err);
        assert!(said.err.contains(expected) && !said.err.contains('\u{1b}'), "{content}: {}", said.err);
    }
    assert_eq!(place.names(), ["my.toml"], "something was run");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/dev/zero", place.path("endless.toml")).unwrap();
        place.refused(&["reproduce", "endless.toml"], 1, "endless.toml: is a device; expected a file");
    }
    let help = place.ok(&["reproduce", "--help"]);
    assert!(help.contains("--only <NAMES>") && help.contains("potstill reproduce my.toml"), "{help}");
}

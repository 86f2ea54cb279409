//! Tests of experiment files: the built-in ones, their published figures, and mistakes that are refused.
use std::path::Path;

use super::experiment::Experiment;
use super::rows::{Filter, Row};
use super::{Reproduce, builtin};
use crate::distill::Setup;
use crate::plugin::Registry;

const ALL: Filter<'_> = Filter { only: &[], up_to: None };

fn built_in(name: &str) -> Experiment {
    Experiment::builtin(name, builtin::experiment(name).unwrap()).unwrap()
}

/// The name of every run with seed 0.
fn runs(rows: &[Row<'_>]) -> Vec<String> {
    rows.iter().flat_map(|row| row.trainings.iter().map(|training| row.run(training, 0).unwrap())).collect()
}

/// Parses `text` as an experiment and counts its rows.
fn count(text: &str) -> crate::error::Result<usize> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    std::fs::write(&path, text).unwrap();
    Ok(Experiment::load(&path, "my")?.rows(&ALL, None)?.len())
}

#[test]
fn every_built_in_experiment_is_valid_and_names_its_runs_as_ever() {
    let registry = Registry::of(&[], &[]).unwrap();
    let everything = |experiment: &Experiment| {
        let points = experiment.axes.iter().flat_map(|axis| &axis.points).map(|point| point.name.clone());
        points.collect::<Vec<_>>()
    };
    for (name, expected, some) in [
        ("scores", 5, &["1d-k2-s0", "5d-k6-s0"][..]),
        ("generalization", 10, &["1d-k2-s0", "1d-k512-s0", "5d-k512-s0"]),
        ("minimum-size", 12, &["1d-k1-s0", "1d-k3-s0", "2d-k4-s0", "3d-k5-s0"]),
        ("mujoco", 16, &["hopper-ppo-s0", "hopper-k64-s0", "humanoid-standup-k64-s0"]),
        ("mujoco-size", 40, &["hopper-k1-s0", "hopper-k64-s0", "walker2d-k256-s0"]),
        ("mujoco-ablation", 112, &["hopper-recipe-s0", "half-cheetah-whole-episodes-s0", "ant-norm-5-s0"]),
        ("atari", 8, &["atari-pong-teacher-s0", "atari-centipede-cloned-s0"]),
        ("encoder-rollback", 24, &["rollback-pong-l5-s0", "rollback-centipede-l0-s0"]),
    ] {
        let experiment = built_in(name);
        assert!(!experiment.about.is_empty());
        let only = everything(&experiment);
        let rows = experiment.rows(&Filter { only: &only, up_to: None }, None).unwrap();
        let runs = runs(&rows);
        assert_eq!(runs.len(), expected, "{name}: {runs:?}");
        for run in some {
            assert!(runs.iter().any(|known| known == run), "{name}: no {run} in {runs:?}");
        }
        for row in &rows {
            for training in &row.trainings {
                if training.training.is_some_and(|training| training.direct) {
                    continue; // Its name depends on the environment.
                }
                let config = training.with_seed(3, &registry).unwrap();
                assert_eq!((config.validate(), config.seed), (Ok(()), 3));
                // Of environments that need something to be set up, only the name is known here.
                match ["mujoco/", "ale/"].iter().find(|space| config.environment.id.starts_with(**space)) {
                    Some(space) => assert_eq!(name.starts_with("mujoco"), *space == "mujoco/"),
                    None => drop(Setup::new(config, &registry).unwrap()),
                }
            }
        }
    }
    let names: Vec<&str> = builtin::names().collect();
    assert_eq!(
        names,
        [
            "scores",
            "generalization",
            "minimum-size",
            "mujoco",
            "mujoco-size",
            "mujoco-ablation",
            "atari",
            "encoder-rollback"
        ]
    );
}

#[test]
fn every_recipe_is_of_the_environment_it_is_named_for() {
    let experiment = built_in("mujoco");
    for row in experiment.rows(&ALL, None).unwrap() {
        assert_eq!(row.config.environment.id, format!("mujoco/{}-v4", row.name()));
        assert_eq!(row.config.dataset.k, None);
    }
}

#[test]
fn changes_of_a_recipe() {
    let ablation = built_in("mujoco-ablation");
    let config = |only: &str, meta_epochs| {
        let only: Vec<String> = only.split(',').map(str::to_owned).collect();
        let rows = ablation.rows(&Filter { only: &only, up_to: None }, meta_epochs).unwrap();
        assert_eq!(rows.len(), 1, "{only:?}");
        rows[0].config.clone()
    };
    let recipe = config("half-cheetah,recipe", None);
    assert_eq!((recipe.meta_epochs, recipe.evaluation.learners, recipe.evaluation.episodes), (300, 100, 2));
    // A value that the recipe leaves at its default doubles too.
    let twice = config("half-cheetah,steps-2000", Some(301));
    assert_eq!((twice.environment.steps, twice.ppo.minibatch, twice.meta_epochs), (2000, 2048, 151));
    assert!(!recipe.environment.training.is_empty());
    assert!(config("half-cheetah,whole-episodes", None).environment.training.is_empty());
    assert_eq!(config("ant,pace-1", None).optimizer.scale, [("log_std".to_owned(), 1.0)].into());
    let options = config("hopper,entropy-0.01", None).objective.options;
    assert_eq!(options, [("entropy".to_owned(), 0.01.into())].into());
    assert_eq!(config("humanoid,observe-all", None).environment.observe, None);
    // A change that the recipe already contains is not a row.
    let only = ["hopper".to_owned(), "gamma-0.995".to_owned()];
    let none = ablation.rows(&Filter { only: &only, up_to: None }, None).err().unwrap().to_string();
    assert!(none.contains("no row is left"), "{none}");
    let hopper = ablation.rows(&Filter { only: &only[..1], up_to: None }, None).unwrap();
    assert_eq!(hopper.len(), 14);
    assert_eq!(ablation.rows(&ALL, None).unwrap().len(), 29);
}

#[test]
fn direct_ppo_has_the_tasks_environment_discount_and_evaluation() {
    let experiment = built_in("mujoco");
    let only = ["humanoid-standup".to_owned(), "hopper".to_owned()];
    let rows = experiment.rows(&Filter { only: &only, up_to: None }, None).unwrap();
    let [hopper, standup] = &rows[..] else { panic!() };
    for row in [hopper, standup] {
        let direct = &row.trainings[0].config;
        assert_eq!((direct.meta_epochs, direct.environment.steps, direct.ppo.learners), (488, 2048, 1));
        assert_eq!(direct.environment.id, row.config.environment.id);
        assert_eq!(direct.environment.observe, row.config.environment.observe);
        assert_eq!(direct.evaluation, row.config.evaluation);
        assert_eq!(direct.ppo.gamma, row.config.ppo.gamma);
        assert!(direct.optimizer.joint_norm && direct.optimizer.scale.is_empty());
    }
    assert_eq!((hopper.config.ppo.gamma, standup.config.ppo.gamma), (0.995, 0.99));
}

#[test]
fn published_figures_are_as_printed() {
    let cells = |experiment: &Experiment, row: &str, cells: &[&str]| -> Vec<String> {
        let row = &experiment.published["paper"].cells[row];
        assert_eq!(row.len(), cells.len());
        cells.iter().map(|cell| row[*cell].clone()).collect()
    };
    // Wilhelm & Ventura 2025, Table 1: Λ, Ortho σ = 1, Xe, Xe σ = 1, random h, random L.
    let table_1 = built_in("generalization");
    let columns = ["default", "orthogonal-1", "xavier", "xavier-1", "random-width", "random-depth"];
    let rows = [
        ("1/least", "500 ± 0.0, 238 ± 200, 258 ± 207, 175 ± 209, 500 ± 0.0, 500 ± 0.0"),
        ("1/512", "500 ± 0.0, 233 ± 221, 246 ± 198, 137 ± 178, 500 ± 3.8, 500 ± 0.0"),
        ("2/least", "365 ± 31.9, 16.3 ± 11.1, 76.8 ± 67.3, 13.4 ± 6.3, 443 ± 55.7, 415 ± 159"),
        ("2/512", "350 ± 37.2, 15.9 ± 10.5, 68.6 ± 50.9, 13.9 ± 7.8, 457 ± 81.0, 439 ± 99.8"),
        ("3/least", "264 ± 20.6, 12.4 ± 2.3, 38.6 ± 21.5, 10.9 ± 1.3, 379 ± 93.3, 305 ± 157"),
        ("3/512", "240 ± 26.1, 12.7 ± 3.6, 41.8 ± 24.0, 11.5 ± 2.4, 401 ± 132, 383 ± 116"),
        ("4/least", "127 ± 7.4, 12.5 ± 2.1, 35.0 ± 12.2, 11.0 ± 1.5, 165 ± 29.8, 156 ± 60.7"),
        ("4/512", "129 ± 6.8, 12.5 ± 2.0, 39.7 ± 13.2, 11.3 ± 1.6, 203 ± 55.7, 188 ± 46.1"),
        ("5/least", "87.5 ± 4.3, 12.8 ± 1.5, 35.7 ± 9.2, 11.5 ± 1.5, 112 ± 18.3, 125 ± 44.6"),
        ("5/512", "87.5 ± 4.0, 12.8 ± 1.8, 41.0 ± 7.1, 12.0 ± 1.5, 140 ± 40.1, 159 ± 30.4"),
    ];
    assert_eq!(table_1.published["paper"].cells.len(), rows.len());
    for (row, expected) in rows {
        assert_eq!(cells(&table_1, row, &columns).join(", "), expected, "{row}");
        // The column of the experiment `scores` is that of Λ at the least k.
        if let Some(n) = row.strip_suffix("/least") {
            let scores = cells(&built_in("scores"), n, &["sampled"]);
            assert_eq!(Some(&*scores[0]), expected.split(", ").next());
        }
    }
    // Table 4: random, RL, full distillation.
    let table_4 = built_in("mujoco");
    let rows = [
        ("ant", "−52 ± 88; 3980 ± 669; 3115 ± 319"),
        ("half-cheetah", "−282 ± 79; 1908 ± 1347; 2226 ± 242"),
        ("hopper", "21 ± 23; 1441 ± 532; 2168 ± 302"),
        ("humanoid", "123 ± 37; 631 ± 486; 544 ± 32"),
        ("humanoid-standup", "34,034 ± 3028; 104,950 ± 53,667; 138,478 ± 6037"),
        ("inverted-double-pendulum", "57 ± 16; 7553 ± 1036; 1235 ± 427"),
        ("reacher", "−42.95 ± 4.05; −5.63 ± 0.22; −7.78 ± 0.57"),
        ("walker2d", "2.1 ± 5.1; 3537 ± 432; 331.7 ± 117"),
    ];
    assert_eq!(table_4.published["paper"].cells.len(), rows.len());
    for (row, expected) in rows {
        assert_eq!(cells(&table_4, row, &["random", "rl", "distilled"]).join("; "), expected, "{row}");
    }
}

#[test]
fn a_grid_is_every_combination_but_those_that_are_excluded() {
    let text = "exclude = [{ n = '2', k = '1' }]\n\
                [[axis]]\nkey = 'environment.settings.n'\nvalues = [1, 2]\n\
                [[axis]]\nkey = 'dataset.k'\nvalues = [1, 2, 3]";
    assert_eq!(count(text).unwrap(), 5);
    assert_eq!(count("").unwrap(), 1);
    assert_eq!(count("[[axis]]\nkey = 'learner.options.hidden'\nvalues = ['8,8', '8 / 9']").unwrap(), 2);
    // Setting a key to its default is the same as not setting it.
    let twice =
        "[[axis]]\nname = 'a'\npoints = [{ name = 'x' }, { name = 'y', config = { ppo.gamma = 0.99 } }]";
    assert_eq!(count(twice).unwrap(), 1);
}

#[test]
fn mistakes_are_told_with_file_and_key() {
    let axis = |rest: &str| format!("[[axis]]\nname = 'a'\npoints = [{{ name = 'x' }}]\n{rest}");
    for (text, expected) in [
        ("sedes = 3".to_owned(), "unknown field `sedes`, expected one of"),
        ("sedes = 3".to_owned(), "Did you mean `seeds`?"),
        ("seeds = 'three'".into(), "TOML parse error at line 1"),
        ("seeds = 0".into(), "`seeds` is 0; expected at least 1"),
        ("[config]\nmeta_epoch = 3".into(), "unknown key `meta_epoch`. Did you mean `meta_epochs`?"),
        ("[config.ppo]\ngamma = 2.0".into(), "`ppo.gamma` is 2; expected a number above 0 and at most 1"),
        ("[config]\nseed = 3".into(), "`seed` cannot be set in an experiment"),
        ("base = 'nowhere.toml'".into(), "nowhere.toml: No such file"),
        ("base = 'my.toml'".into(), "unknown key `base`."),
        (
            "[[axis]]\nkey = 'ppo.gama'\nvalues = [0.9]".into(),
            "`0.9`: unknown key `ppo.gama`. Did you mean `gamma`?",
        ),
        ("[[axis]]\nkey = 'ppo.gamma'".into(), "axis `ppo.gamma`: expected `values` beside `key`"),
        ("[[axis]]\nkey = 'ppo.gamma'\nvalues = [[1]]".into(), "a value is a number, a text or a boolean"),
        ("[[axis]]\nname = 'a'".into(), "axis `a`: expected `points`, or `key` and `values`"),
        ("[[axis]]\nname = 'a'\npoints = [{ name = '../x' }]".into(), "point `../x`: a name has letters"),
        ("[[axis]]\nname = 'a'\npoints = [{ name = 'x' }, { name = 'x' }]".into(), "two with the name `x`"),
        (axis("default = ['y']"), "`default`: axis `a` has no point `y`."),
        (format!("exclude = [{{ b = 'x' }}]\n{}", axis("")), "`exclude`: no axis `b`. Did you mean `a`?"),
        (
            format!("run = 'all'\n{}", axis("[[axis]]\nkey = 'dataset.k'\nvalues = [1, 2]")),
            "would both be in `all`",
        ),
        (
            "run = '{sed}'".into(),
            "`{sed}` is neither an axis here nor a key of the configuration. Did you mean `seed`?",
        ),
        ("run = '../{seed}'".into(), "`../0` cannot be a file's name"),
        ("run = '{seed'".into(), "has an opening brace without a closing one"),
        ("[[training]]\nname = 'a'\nfrom_row = ['seed']".into(), "`from_row` goes with `base`"),
        (
            "[[training]]\nname = 'a'\nstart = 'b'\n[[training]]\nname = 'b'".into(),
            "training `a`: `start`: no training `b` comes before it.",
        ),
        (
            "[[training]]\nname = 'aa'\n[[training]]\nname = 'b'\nteacher = 'a'".into(),
            "training `b`: `teacher`: no training `a` comes before it. Did you mean `aa`?",
        ),
        (
            "[[column]]\ntitle = 'a'".into(),
            "column `a`: expected one of `value`, `score`, `random`, `blind`, `cost`",
        ),
        ("[[column]]\ntitle = 'a'\nscore = 'greedi'".into(), "unknown variant `greedi`"),
        ("[[column]]\ntitle = 'a'\nscore = 'greedi'".into(), "Did you mean `greedy`?"),
        (
            "[[column]]\ntitle = 'a'\nscore = 'greedy'\nlearner = { id = 'mlp' }".into(),
            "`learner` goes with `score` and the table [evaluate]",
        ),
        (
            "[[column]]\ntitle = 'a'\nscore = 'greedy'\nsight = 'frozen'".into(),
            "`sight` goes with `score` and the table [evaluate]",
        ),
        ("[[column]]\ntitle = 'a'\nblind = 'constant'\ncost = true".into(), "expected one of"),
        ("[[column]]\ntitle = 'a'\ncost = true\ntraining = 'b'".into(), "no training `b`. There are none."),
        ("[[column]]\ntitle = 'a'\npays = 'b'".into(), "no training `b`. There are none."),
        ("[[plot]]\nfile = 'a.svg'\n[[plot]]\nxx = 'hours'".into(), "unknown field `xx`"),
        (
            "[[training]]\nname = 'a'\n[[training]]\nname = 'b'\n[[column]]\ntitle = 'c'\nscore = 'greedy'"
                .into(),
            "`training` is missing; expected one of a, b",
        ),
        (
            "[[column]]\ntitle = 'a'\npublished = { from = 'us', cell = 'a' }".into(),
            "`published` has no source `us`",
        ),
        (
            axis(
                "[[column]]\ntitle = 'a'\npublished = { from = 'us', cell = 'b' }\n\
                  [published.us]\nsource = 's'\ncells = { x = { a = '1' } }",
            ),
            "`published.us` has no cell `b`. Did you mean `a`?",
        ),
        (axis("[published.us]\nsource = 's'\ncells = { y = { a = '1' } }"), "axis `a` has no point `y`"),
        (axis("[published.us]\nsource = 's'\ncells = { 'x/y' = { a = '1' } }"), "`x/y` is not a row"),
        ("about = \"\\u001b[2J\"".into(), "control character"),
        ("seeds = 20000".into(), "more than 10000 runs"),
        ("[evaluate]\nlearners = 0".into(), "expected at least 1 learner"),
    ] {
        let error = count(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}\n{error}");
        assert!(error.contains(".toml: "), "{error}");
        assert!(!error.chars().any(|c| c.is_control() && c != '\n'), "{error:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.toml");
    std::fs::write(&path, "#".repeat(1 << 21)).unwrap();
    let error = Experiment::load(&path, "long").unwrap_err().to_string();
    assert!(error.contains("long.toml: is longer than"), "{error}");
}

#[test]
fn points_that_are_asked_for() {
    let scores = built_in("scores");
    let rows = |only: &[&str], up_to| {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        scores.rows(&Filter { only: &only, up_to }, None).map(|rows| runs(&rows)).map_err(|e| e.to_string())
    };
    assert_eq!(rows(&["4", "2"], None).unwrap(), ["2d-k3-s0", "4d-k5-s0"]);
    assert_eq!(rows(&["N=2"], None).unwrap(), ["2d-k3-s0"]);
    assert_eq!(rows(&[], Some(2)).unwrap(), ["1d-k2-s0", "2d-k3-s0"]);
    assert!(rows(&["6"], None).unwrap_err().contains("--only: `scores` has no `6`."));
    assert!(rows(&[], Some(0)).unwrap_err().contains("--up-to: the least is 1"));
    let mujoco = built_in("mujoco");
    let refused = |filter: &Filter<'_>| mujoco.rows(filter, None).err().unwrap().to_string();
    let only = ["hoper".to_owned()];
    assert!(refused(&Filter { only: &only, up_to: None }).contains("Did you mean `hopper`?"));
    assert!(refused(&Filter { only: &[], up_to: Some(3) }).contains("points that are not numbers"));
}

#[test]
fn every_key_is_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/experiments.md");
    let page = std::fs::read_to_string(page).unwrap();
    // serde lists the keys it knows when it meets an unknown one.
    for (text, keys) in [
        ("x = 1", 13),
        ("[[axis]]\nx = 1", 5),
        ("[[axis]]\npoints = [{ x = 1 }]", 6),
        ("[[training]]\nx = 1", 8),
        ("[evaluate]\nx = 1", 2),
        ("[[column]]\nx = 1", 13),
        ("[published.p]\nx = 1", 3),
        ("[plot]\nx = 'y'", 4),
        ("[plot]\nz = 1", 4),
    ] {
        let error = count(text).unwrap_err().to_string();
        let told = error.lines().find(|line| line.contains("expected")).unwrap_or_else(|| panic!("{error}"));
        let expected = told.split_once("expected").unwrap().1.split(" Did you").next().unwrap();
        let expected = expected.split(" Known").next().unwrap();
        let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        assert_eq!(known.len(), keys, "{text}: {told}");
        for key in known {
            assert!(page.contains(&format!("`{key}`")), "{key} is not in docs/experiments.md");
        }
    }
    use clap::Args;
    for argument in Reproduce::augment_args(clap::Command::new("reproduce")).get_arguments() {
        if let Some(long) = argument.get_long().filter(|long| *long != "list") {
            assert!(page.contains(&format!("`--{long} ")), "--{long} is not in docs/experiments.md");
        }
    }
}

//! Tests `baseline`, the baselines in a run's report, and `eval --blind` as far as it needs no good learner.
use potstill::plugin::{Actions, Registry};
use serde_json::Value;

use crate::c::compile;
use crate::{Outcome, Place, finished_run, read, text};

/// The row of a policy.
fn row<'a>(value: &'a Value, policy: &str) -> &'a Value {
    let rows = value["baselines"].as_array().unwrap();
    rows.iter().find(|row| row["policy"] == policy).unwrap_or_else(|| panic!("no `{policy}`: {value}"))
}

fn mean(row: &Value) -> f64 {
    row["mean_return"].as_f64().unwrap()
}

/// The mean return of 400 episodes of cart-pole, played one after the other with the actions of `choose`.
fn by_hand(mut choose: impl FnMut(u32) -> u32) -> f64 {
    let registry = Registry::of(&[], &[]).unwrap();
    let mut environment = registry.make_environments("nd-cartpole", &[], 1).unwrap();
    let mut total = 0.0;
    for episode in 0..400 {
        environment.reset(&[1000 + episode]).unwrap();
        for step in 0.. {
            let transition = environment.step(&Actions::Discrete(vec![choose(step)])).unwrap();
            total += f64::from(transition.rewards[0]);
            if transition.terminated[0] || transition.truncated[0] {
                break;
            }
        }
    }
    total / 400.0
}

#[test]
fn they_are_what_a_loop_by_hand_scores() {
    let place = Place::new();
    let command = ["baseline", "nd-cartpole", "--episodes", "100", "--json"];
    let value = place.json(&[&command[..], &["--generations", "2"]].concat());
    for action in 0..2 {
        let row = row(&value, &format!("action {action}"));
        // Gymnasium's CartPole-v1: 9.4.
        assert!((mean(row) - by_hand(|_| action)).abs() < 0.3 && (mean(row) - 9.4).abs() < 0.5, "{row}");
        assert_eq!((&row["episodes"], &row["mean_length"]), (&Value::from(100), &row["mean_return"]));
    }
    // A generator of random bits that is not the program's (xorshift).
    let mut state = 88_172_645_463_325_252_u64;
    let random = by_hand(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as u32 % 2
    });
    // Gymnasium's CartPole-v1: 22.
    let ours = row(&value, "random");
    assert!((mean(ours) - random).abs() < 4.0 && (mean(ours) - 22.0).abs() < 4.0, "{ours}, {random}");
    let best = row(&value, "best distribution");
    assert!(mean(best) > 15.0 && best["episodes"] == 200, "{best}");
    let probabilities: Vec<f64> = serde_json::from_value(best["probabilities"].clone()).unwrap();
    assert!(probabilities.len() == 2 && (probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    let means: Vec<f64> = value["baselines"].as_array().unwrap().iter().map(mean).collect();
    assert!(means.is_sorted_by(|a, b| a >= b), "{means:?}");

    let without = place.json(&[&command[..], &["--generations", "0"]].concat());
    assert_eq!(without["search"], Value::Null);
    assert_eq!(row(&without, "action 1"), row(&value, "action 1"));
    assert_eq!(without["baselines"].as_array().unwrap().len(), 3);
}

#[test]
fn they_depend_on_the_seed_and_not_on_threads() {
    let place = Place::new();
    let play = |more: &[&str]| {
        place.ok(&[&["baseline", "nd-cartpole", "--generations", "1", "--json"], more].concat())
    };
    let one = play(&["--threads", "1"]);
    assert_eq!(one, play(&["--threads", "3"]));
    assert_ne!(one, play(&["--seed", "1"]));
    let limited: Value = serde_json::from_str(&play(&["--max-episode-steps", "5"])).unwrap();
    assert_eq!(row(&limited, "random")["mean_length"], 5.0);
    let table = place.ok(&["baseline", "nd-cartpole", "--set", "n=2", "--episodes", "2"]);
    for part in [
        "policy  ",
        "episodes  mean length",
        "best distribution  ",
        "action 3  ",
        "10 generations of 20 candidates × 2 episodes",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    place.refused(&["baseline", "nd-cartpol"], 2, "Did you mean `nd-cartpole`?");
    place.refused(&["baseline", "nd-cartpole", "--episodes", "0"], 2, "--episodes must be at least 1");
    place.refused(&["baseline", "nd-cartpole", "--set", "m=2"], 2, "m");
}

#[test]
fn continuous_actions_are_random_or_zero() {
    let place = Place::new();
    let library = compile("tests/continuous/pendulum.c", "pendulum", &[]);
    let value =
        place.json(&["baseline", "--plugin", text(&library), "pendulum", "--episodes", "3", "--json"]);
    let names: Vec<&Value> =
        value["baselines"].as_array().unwrap().iter().map(|row| &row["policy"]).collect();
    assert!(names.len() == 2 && names.contains(&&Value::from("zero")), "{value}");
    assert_eq!(
        (&row(&value, "random")["episodes"], &row(&value, "zero")["episodes"]),
        (&6.into(), &3.into())
    );
    assert_eq!(value["search"], Value::Null);
}

#[test]
fn a_report_has_them_and_the_run_does_not_depend_on_them() {
    let place = Place::new();
    let run = place.distil("run", &[]);
    let (path, whole) = (run.join("baseline.json"), Outcome::of(&run));
    let first = read(&path);
    let value: Value = serde_json::from_slice(&first).unwrap();
    assert_eq!(value["baselines"].as_array().unwrap().len(), 2);
    let constant = value["baselines"][1]["policy"].as_str().unwrap().to_owned();
    assert!(constant.starts_with("action ") && row(&value, &constant)["episodes"] == 10, "{value}");
    let page = || String::from_utf8(read(run.join("report.html"))).unwrap();
    let shown =
        format!("<td>random, without looking</td><td class=\"number\">{:.1} ±", mean(row(&value, "random")));
    assert!(page().contains(&shown) && page().contains("best of 2"), "{}", page());

    // A resumed run takes what is there, and makes anew what is lost, torn or of another seed.
    std::fs::write(&path, String::from_utf8(first.clone()).unwrap().replace("random", "arbitrary")).unwrap();
    place.ok(&["resume", "run"]);
    assert!(page().contains("arbitrary, without looking"));
    let mut of_other = value.clone();
    of_other["seed"] = 5.into();
    for there in [None, Some(first[..90].to_vec()), Some(of_other.to_string().into_bytes())] {
        match there {
            Some(there) => std::fs::write(&path, there).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        place.ok(&["resume", "run"]);
        assert!(read(&path) == first && page().contains(&shown));
        Outcome::of(&run).assert_same(&whole);
    }
}

#[test]
fn blind_learners_are_scored_beside_sighted_ones() {
    let place = Place::new();
    let run = text(finished_run());
    let few = ["--learners", "3", "--episodes", "4"];
    let eval = |more: &[&str]| place.json(&[&["eval", run, "--json"], &few[..], more].concat());
    let (sighted, mut both) = (eval(&[]), eval(&["--blind"]));
    assert_eq!(eval(&["--blind", "frozen"])["blind"]["frozen"], both["blind"]["frozen"]);
    assert_eq!(eval(&["--blind", "other", "--threads", "2"])["blind"]["other"], both["blind"]["other"]);
    assert_eq!(both["blind"]["other"]["sight"], "other");
    both.as_object_mut().unwrap().remove("blind");
    assert_eq!(both, sighted);
    let lines = place.ok(&[&["eval", run, "--blind"], &few[..]].concat());
    let starts: Vec<&str> = lines.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(starts, ["sighted", "frozen", "other"]);

    place.ok(&["train", run, "--out", "agent"]);
    let agent = place.json(&["eval", "agent", "--blind", "--greedy", "--episodes", "1", "--json"]);
    for sight in ["frozen", "other"] {
        assert_eq!(agent["blind"][sight]["episodes"], 1, "{agent}");
    }
    place.refused(&["eval", run, "--blind", "half"], 2, "[possible values: frozen, other, both]");
}

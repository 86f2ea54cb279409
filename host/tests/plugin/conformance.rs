//! Tests `plugin check`: correct plugins pass, and each check finds the violation that it is for.
use std::path::PathBuf;
use std::process::Command;

use potstill::author::conformance::{Finding, Report, Subject, Verdict, checks};
use potstill::plugin::Registry;
use potstill_plugin_api::Role;

use crate::c::compile;
use crate::hostile::Guest;
use crate::native::hostile;
use crate::{registry, repository, settings};

fn find(registry: &Registry, role: Role, id: &str, options: &[(&str, &str)], only: &[&str]) -> Vec<Finding> {
    let subject = Subject { registry, id: id.to_owned(), role, settings: settings(options) };
    let wanted = |name: &str| only.is_empty() || only.contains(&name);
    checks(role).into_iter().filter(|check| wanted(check.name)).map(|check| check.run(&subject)).collect()
}

#[track_caller]
fn assert_passes(what: &str, findings: &[Finding]) {
    let failed: Vec<_> = findings.iter().filter(|finding| finding.verdict == Verdict::Failed).collect();
    assert!(failed.is_empty(), "{what}: {failed:?}");
    assert!(findings.iter().any(|finding| finding.verdict == Verdict::Passed), "{what}");
}

#[test]
fn the_programs_own_plugins_pass() {
    let r = registry(&[]);
    for entry in r.entries() {
        let (role, id) = (entry.role.unwrap(), entry.id.as_ref().unwrap().to_string());
        assert_passes(&id, &find(&r, role, &id, &[], &[]));
    }
}

/// Checks components that were just built, if `POTSTILL_REBUILT` names any.
#[test]
fn rebuilt_components_pass() {
    let Some(folder) = std::env::var_os("POTSTILL_REBUILT").map(PathBuf::from) else {
        return eprintln!("POTSTILL_REBUILT is not set");
    };
    for (name, role) in
        [("nd-cartpole", Role::Environment), ("mlp", Role::Learner), ("ppmo", Role::Objective)]
    {
        let r = registry(&[folder.join(name)]);
        assert_passes(name, &find(&r, role, &format!("{name}-v1"), &[], &[]));
    }
}

/// Runs one check of a hostile guest in `mode` and returns its finding.
fn of_mode(role: Role, mode: &str, check: &str) -> Finding {
    let (folder, id) = match role {
        Role::Environment => ("hostile", "test/hostile-v1"),
        Role::Learner => ("hostile-learner", "test/hostile-learner-v1"),
        Role::Objective => ("hostile-objective", "test/hostile-objective-v1"),
    };
    let guest = Guest::of(folder);
    find(guest.for_mode(mode), role, id, &[("mode", mode)], &[check]).pop().unwrap()
}

#[track_caller]
fn assert_fails(role: Role, mode: &str, check: &str, expected: &str) {
    let found = of_mode(role, mode, check);
    let cause = found.cause.clone().unwrap_or_default();
    assert!(found.verdict == Verdict::Failed && cause.contains(expected), "{mode}, {check}: {found:?}");
}

#[track_caller]
fn assert_notes(role: Role, mode: &str, check: &str, expected: &str) {
    let found = of_mode(role, mode, check);
    assert_eq!(found.verdict, Verdict::Passed, "{mode}, {check}: {found:?}");
    assert!(found.notes.iter().any(|note| note.contains(expected)), "{mode}, {check}: {found:?}");
}

#[track_caller]
fn assert_skips(role: Role, mode: &str, check: &str, expected: &str) {
    let found = of_mode(role, mode, check);
    let cause = found.cause.clone().unwrap_or_default();
    assert!(found.verdict == Verdict::Skipped && cause.contains(expected), "{mode}, {check}: {found:?}");
}

/// Returns every check but `option-values`, which the guests' option `mode` is not suitable for.
fn all_of(role: Role) -> Vec<&'static str> {
    checks(role).into_iter().map(|check| check.name).filter(|name| *name != "option-values").collect()
}

#[test]
fn environments() {
    let role = Role::Environment;
    for check in all_of(role) {
        let found = of_mode(role, "walk", check);
        assert_eq!(found.verdict, Verdict::Passed, "{check}: {found:?}");
    }
    for (mode, check, expected) in [
        ("none", "option-values", "with mode=make-trap: "),
        ("make-trap", "play", "in `make`: crashed"),
        ("step-loop", "play", "in `step`: endless loop"),
        ("nan-observation", "play", "is NaN"),
        ("walk-spec-drifts", "spec", "an instance of 1 copy says "),
        ("walk-unseeded", "replay", "copy 0 (seed 0): at the start, observation 0 is "),
        ("walk-crowded", "copies", "copy 0 (seed 0): in step 1, "),
        ("walk-out-of-bounds", "bounds", "observation 0 is 1.5, declared from -1 to 1"),
        ("walk-overtime", "time-limit", "an episode went on for 41 steps or more, the limit is 40"),
        ("walk-terminates-at-the-limit", "time-limit", "episodes of 40 steps ended as terminated"),
        ("walk-too-rich", "returns", "the declared maximum is 0.5"),
        ("walk-too-rich", "spec", "the reward threshold is above the maximal return"),
        ("walk-fragile", "actions", "action [2]: plugin `test/hostile-v1`, in `step`: crashed"),
        ("walk-amnesia", "snapshot", "restored in another instance, copy 0 (seed 0): in step "),
        ("walk-restores-anything", "restore", "it accepted no bytes as a state"),
        ("walk-restore-trap", "restore", "no bytes: plugin `test/hostile-v1`, in `restore`: crashed"),
        ("walk-render-moves", "render", "copy 0 (seed 0): in step "),
        ("walk-render-trap", "render", "in `render`: crashed"),
    ] {
        assert_fails(role, mode, check, expected);
    }
    assert_notes(role, "walk-one-seed", "seeds", "every seed gives the same episode");
    assert_notes(role, "walk-easy", "returns", "the threshold of 0.5, which counts as solved, is low");
    assert_notes(role, "walk-unlimited", "spec", "there is no step limit");
    assert_notes(role, "none", "play", "no episode ended in 500 steps");
    assert_notes(role, "walk", "render", "rgb is not supported");
    assert_skips(role, "walk-unlimited", "time-limit", "it declares no step limit");
    assert_skips(role, "none", "snapshot", "it has no snapshots");
    assert_skips(role, "none", "render", "it draws neither pixels nor text");
}

#[test]
fn learners() {
    let role = Role::Learner;
    for check in all_of(role) {
        let found = of_mode(role, "none", check);
        assert_eq!(found.verdict, Verdict::Passed, "{check}: {found:?}");
    }
    for (mode, check, expected) in [
        ("none", "option-values", "with mode=make-graph: "),
        (
            "refuses-all",
            "spaces",
            "it refuses every kind of observations; refuses Box([4], -inf..inf): not today",
        ),
        ("giant", "spaces", "Box([4], -inf..inf), 1 outputs: graph: `broadcast_to` expected at most"),
        ("layers-from-1", "parameters", "its layers are 1; count them from 0"),
        ("lying-name", "drawing", "seeds 0 and 1 drew different networks called `linear`"),
        ("drifts", "drawing", "seeds 0 and 1 drew different networks called `linear`"),
        ("infinite-outputs", "forward", "batch of 1: output 0 of row 0 is inf"),
        ("wrong-batch", "forward", "it gave outputs [1, 2], expected [7, 2]"),
        ("no-gradient", "gradients", "every gradient is zero"),
    ] {
        assert_fails(role, mode, check, expected);
    }
    assert_notes(role, "mixes-rows", "rows", "a row depends on the other rows of its batch");
    assert_notes(role, "idle-parameter", "gradients", "`idle` has no gradient");
    assert_skips(role, "refuses-all", "gradients", "it refuses every kind of observations");
}

#[test]
fn objectives() {
    let role = Role::Objective;
    for check in all_of(role) {
        let found = of_mode(role, "none", check);
        assert_eq!(found.verdict, Verdict::Passed, "{check}: {found:?}");
    }
    for (mode, check, expected) in [
        ("none", "option-values", "with mode=make-graph: "),
        ("make-error", "tasks", "it refuses every kind of task; refuses Discrete(2), k = 3: all work"),
        ("theta-trap", "tasks", "in `meta-parameters`: crashed"),
        ("offline-advantages", "theta", "it reads `advantages`, which offline data does not have"),
        ("learns-nothing", "theta", "no part of theta is learned"),
        ("inner-few", "inner", "in `inner`: it gave 5 parameters, expected 6"),
        ("metric-twice", "outer", "a metric called `policy_loss` appears twice"),
        ("nan-loss", "outer", "the loss or a metric is NaN"),
        ("nan-loss", "gradients", "the loss is NaN"),
        ("no-gradient", "gradients", "every gradient is zero"),
    ] {
        assert_fails(role, mode, check, expected);
    }
}

/// Runs `plugin check` as a user does.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    run_in(&repository("."), arguments)
}

fn run_in(folder: &std::path::Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_potstill"))
        .current_dir(folder)
        .args(["plugin", "check"])
        .args(arguments)
        .env("POTSTILL_CACHE", std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("check-cache"))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn report(arguments: &[&str]) -> (Option<i32>, Report) {
    let (code, out, err) = run(&[&["--json"], arguments].concat());
    let report = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {out}{err}"));
    (code, report)
}

#[test]
fn the_command() {
    let walk = repository("tests/hostile");
    let walk = walk.to_str().unwrap();
    let checked = |mode: &str| run(&[walk, "--set", mode, "--only", "bounds", "--only", "seeds"]);

    let (code, out, err) = checked("mode=walk");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("test/hostile-v1 (wasm environment, ") && out.contains("\n✓ bounds "), "{out}");
    assert!(out.contains("\n2 passed, 0 failed, 0 skipped in "), "{out}");

    let (code, out, err) = checked("mode=walk-out-of-bounds");
    assert_eq!((code, err.as_str()), (Some(1), "error: 1 of 2 checks failed\n"));
    assert!(out.contains("\n✗ bounds ") && out.contains("\n✓ seeds "), "{out}");

    let (code, both) = report(&["nd-cartpole", "--only", "speed", "--only", "spec"]);
    assert_eq!((code, both.id.as_str(), both.count(Verdict::Passed)), (Some(0), "nd-cartpole-v1", 2));
    assert!(both.findings[1].notes[0].ends_with("steps a second"));

    for (arguments, code, expected) in [
        (&["nd-cartpole", "--only", "spaces"][..], 2, "environment plugins have no check `spaces`."),
        (&["nd-cartpol"], 2, "there is no environment `nd-cartpol`. Did you mean `nd-cartpole`?"),
        (&[repository("plugins").to_str().unwrap()], 2, "plugins: several plugins; name one of "),
    ] {
        let (got, out, err) = run(arguments);
        assert!(got == Some(code) && out.is_empty() && err.contains(expected), "{arguments:?}: {err}");
    }

    // A plugin that cannot be loaded is a finding.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plugin.toml"), "id = \"walk\"").unwrap();
    let (code, broken) = report(&[folder.path().to_str().unwrap()]);
    assert_eq!((code, broken.findings.len(), broken.findings[0].verdict), (Some(1), 1, Verdict::Failed));
    assert!(broken.findings[0].cause.as_ref().unwrap().contains("`walk` is not a plugin id"));
}

/// A check whose process crashes fails, and the other checks still run.
#[test]
fn native_plugins() {
    let car = compile("examples/mountain-car/mountain_car.c", "checked_car", &[]);
    let (code, all) = report(&[car.to_str().unwrap()]);
    assert_eq!((code, all.loader.as_str()), (Some(0), "native"));
    assert_passes("mountain-car", &all.findings);
    assert!(all.findings.iter().all(|f| f.name != "returns" || f.notes.is_empty()), "{:?}", all.findings);
    assert_eq!(all.findings.len(), checks(Role::Environment).len());

    // A bare name means a file in this folder, never a library of the system.
    let name = car.file_name().unwrap().to_str().unwrap();
    assert_eq!(run_in(car.parent().unwrap(), &[name, "--only", "spec"]).0, Some(0));

    for (mode, cause) in
        [("SEGFAULTS", "its process crashed: segmentation fault"), ("ABORTS", "its process was aborted")]
    {
        let (code, all) = report(&[
            hostile(mode).to_str().unwrap(),
            "--only",
            "spec",
            "--only",
            "play",
            "--only",
            "options",
        ]);
        assert_eq!(code, Some(1), "{mode}");
        let verdicts: Vec<Verdict> = all.findings.iter().map(|finding| finding.verdict).collect();
        assert_eq!(verdicts, [Verdict::Passed, Verdict::Passed, Verdict::Failed], "{mode}");
        assert_eq!(all.findings[2].cause.as_deref(), Some(cause), "{mode}");
    }
    let (_, hangs) = report(&[hostile("HANGS").to_str().unwrap(), "--only", "play", "--timeout", "1"]);
    assert_eq!(hangs.findings[0].cause.as_deref(), Some("no answer within 1 s"));
    let (code, shared) = report(&[hostile("SHARES").to_str().unwrap(), "--only", "determinism"]);
    let cause = shared.findings[0].cause.clone().unwrap_or_default();
    assert!(code == Some(1) && cause.contains("the reward is "), "{cause}");
    // This process does not even load the library.
    let (code, dies) = report(&[hostile("DIES_AT_ONCE").to_str().unwrap()]);
    assert_eq!((code, dies.findings.len(), dies.findings[0].name.as_str()), (Some(1), 1, "description"));
    for (arguments, expected) in [
        (["--set", "forc=1"], "has no option `forc`. Did you mean `force`?"),
        (["--only", "spaces"], "environment plugins have no check `spaces`."),
    ] {
        let (code, out, err) = run(&[&[car.to_str().unwrap()], &arguments[..]].concat());
        assert!(code == Some(2) && out.is_empty() && err.contains(expected), "{err}");
    }
}

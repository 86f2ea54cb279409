//! Tests the program where the system has few threads or open files left: it does with fewer, or names the system's limit,
//! and never blames a plugin or itself.
use crate::{Outcome, Place, Said, repository, text};

/// A stack that no thread can get, so that the system refuses every thread that does not ask for another size.
const NO_THREADS: (&str, &str) = ("RUST_MIN_STACK", "140000000000000");

#[test]
fn a_system_without_threads_gives_the_same_results() {
    let place = Place::new();
    let whole = Outcome::of(&place.distil("whole", &[]));
    // Without a cache, the plugin is compiled too.
    let distill = ["distill", "--config", "small.toml", "--threads", "4", "--out", "alone"];
    let alone = |arguments: &[&str]| -> Said {
        let mut command = place.command(arguments);
        command.env(NO_THREADS.0, NO_THREADS.1).env("POTSTILL_CACHE", "").output().unwrap().into()
    };
    let said = alone(&distill);
    assert_eq!(said.code, Some(0), "{}", said.err);
    whole.assert_same(&Outcome::of(&place.path("alone")));
    let eval = ["eval", "alone", "--threads", "4", "--learners", "4", "--episodes", "1"];
    let said = alone(&eval);
    assert_eq!((said.code, said.out), (Some(0), place.ok(&eval)), "{}", said.err);
    // A core module is validated too, before it is made a component.
    let module = repository("tests/hostile");
    let info = ["--plugin", text(&module), "plugin", "info", "test/hostile-v1"];
    let said = alone(&info);
    assert_eq!((said.code, said.out), (Some(0), place.ok(&info)), "{}", said.err);
}

#[test]
fn more_threads_than_a_machine_can_use_are_refused() {
    let place = Place::new();
    for threads in ["35000", "1000000000000"] {
        let expected = format!("`threads` is {threads}; expected at most ");
        for command in [&["distill", "--config", "small.toml"][..], &["bench"]] {
            place.refused(&[command, &["--threads", threads]].concat(), 2, &expected);
        }
        place.write("many.toml", format!("threads = {threads}"));
        place.refused(&["distill", "--config", "many.toml"], 2, &expected);
        assert_eq!(place.names(), ["many.toml"]);
    }
}

#[test]
fn too_few_open_files_are_the_systems_limit() {
    let place = Place::new();
    let (mut refused, mut done) = (0, 0);
    for most in 4..40 {
        let limited = ["-c", "ulimit -n \"$1\"; shift; exec \"$@\"", "sh", &most.to_string()];
        let out = format!("run-{most}");
        let mut command = std::process::Command::new("sh");
        command.args(limited).arg(env!("CARGO_BIN_EXE_potstill"));
        place.settle(command.args(["distill", "--config", "small.toml", "--out", &out]));
        let said: Said = command.output().unwrap().into();
        match said.code {
            // Not even the program's own libraries can be opened.
            Some(127) => continue,
            Some(0) => done += 1,
            _ => {
                said.refused(1, "Too many open files (os error 24): raise the limit (`ulimit -n`)");
                assert!(!said.err.contains("once the plugin is fixed"), "{}", said.err);
                refused += 1;
            }
        }
        if done == 2 {
            break;
        }
    }
    assert!(refused > 0 && done > 0, "{refused} {done}");
}

//! Checks that the header states for each function in which states and on which thread it may be called.
const HEADER: &str = include_str!("../include/potstill.h");
const STATES: [&str; 6] = ["before-open", "open", "made", "started", "failed", "tracing"];
const THREADS: [&str; 3] = ["any-thread", "one-at-a-time", "same-thread"];

/// Finds the functions of the header, each with the comment before it.
fn functions() -> Vec<(String, String)> {
    let mut found = vec![];
    let mut comment = String::new();
    let mut rest = HEADER;
    while let Some(start) = rest.find("/*") {
        let length = rest[start..].find("*/").expect("comments end");
        let (code, after) = (&rest[..start], &rest[start + length + 2..]);
        found.extend(names(code).map(|name| (name, comment.clone())));
        comment = rest[start + 2..start + length].to_owned();
        rest = after;
    }
    found.extend(names(rest).map(|name| (name, comment.clone())));
    found
}

/// Finds the functions that `code` declares: members `(*name)(` and the entry point.
fn names(code: &str) -> impl Iterator<Item = String> {
    let members = code.split("(*").skip(1).filter_map(|part| Some(part.split_once(")(")?.0.to_owned()));
    let entry = code.contains("*potstill_plugin(").then(|| "potstill_plugin".to_owned());
    members.chain(entry)
}

/// Reads the states and the thread from a comment that begins with `[STATE | STATE & THREAD]`.
fn tag(comment: &str) -> Option<(Vec<&str>, &str)> {
    let (states, thread) = comment.trim_start().strip_prefix('[')?.split_once(']')?.0.split_once(" & ")?;
    Some((states.split(" | ").collect(), thread))
}

#[test]
fn every_function_says_when_and_where_it_may_be_called() {
    let functions = functions();
    // The header must have as many functions as the mirror has function pointers, plus the entry point.
    let mirror = include_str!("../src/abi.rs").split("#[cfg(test)]").next().unwrap();
    assert_eq!(functions.len(), mirror.matches(": Function<").count() + 1, "{functions:?}");
    for (name, comment) in &functions {
        let (states, thread) = tag(comment).unwrap_or_else(|| panic!("`{name}` has no tag: {comment}"));
        assert!(states.iter().all(|state| STATES.contains(state)), "`{name}`: {states:?}");
        assert!(THREADS.contains(&thread), "`{name}`: {thread}");
        let expected = match &name[..] {
            "potstill_plugin" => "before-open",
            "make" | "last_error" | "log" => "open",
            "destroy" => "failed",
            "step" => "started",
            "operation" | "shape" | "gradients" | "apply" | "log_probability" | "entropy" | "divergence" => {
                "tracing"
            }
            _ => "made",
        };
        assert!(states.contains(&expected), "`{name}`: {states:?}, expected {expected}");
    }
}

#[test]
fn every_state_and_thread_is_explained() {
    let top = HEADER.split("*/").next().unwrap();
    for word in STATES.iter().chain(&THREADS) {
        assert!(top.contains(&format!("\n *     {word} ")), "{word}");
    }
}

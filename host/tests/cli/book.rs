//! Checks that the book lists every page, and that no page has a dead link.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns every page below `folder`.
fn pages_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        if entry.is_dir() && !name.starts_with('.') && !["target", "runs"].contains(&&*name) {
            found.append(&mut pages_in(&entry));
        } else if name.ends_with(".md") {
            found.push(entry);
        }
    }
    found
}

/// Returns every page of the project, by its path in the repository.
fn pages() -> Vec<PathBuf> {
    pages_in(&repository())
}

/// Returns `text` without code blocks and code spans, whose brackets are not links.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            let outside = line.split('`').step_by(2);
            prose += &outside.collect::<Vec<_>>().join("·");
            prose += "\n";
        }
    }
    prose
}

/// Returns the targets of the links in `text`.
fn links(text: &str) -> Vec<String> {
    let text = prose(text);
    let ends = text.match_indices("](").map(|(at, _)| &text[at + 2..]);
    ends.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

/// Returns the anchors of the headings in `text`, as GitHub and mdBook name them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn no_link_is_dead() {
    let mut checked = 0;
    let mut dead = vec![];
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            let found = target.exists()
                && (anchor.is_empty()
                    || std::fs::read_to_string(&target).is_ok_and(|text| anchors(&text).contains(anchor)));
            if !found {
                dead.push(format!("{}: {link}", page.display()));
            }
            checked += 1;
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
    assert!(checked > 50, "{checked} links");
}

/// The README starts the program with `cargo run`, which needs a workspace with one binary.
#[test]
fn cargo_run_starts_the_program() {
    let cargo = std::process::Command::new(env!("CARGO"))
        .current_dir(repository())
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&cargo.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let targets = packages.flat_map(|package| package["targets"].as_array().unwrap());
    let binaries: Vec<&str> = targets
        .filter(|target| target["kind"][0] == "bin")
        .map(|target| target["name"].as_str().unwrap())
        .collect();
    assert_eq!(binaries, ["potstill"]);
}

#[test]
fn the_book_has_every_page_once() {
    let docs = repository().join("docs");
    let summary = std::fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let mut listed = links(&summary);
    listed.sort();
    let mut there: Vec<String> = pages_in(&docs)
        .iter()
        .map(|page| page.strip_prefix(&docs).unwrap().to_str().unwrap().replace('\\', "/"))
        .filter(|name| name != "SUMMARY.md")
        .collect();
    there.sort();
    assert_eq!(listed, there);
    // The files that pages include exist.
    for page in &there {
        let text = std::fs::read_to_string(docs.join(page)).unwrap();
        for (at, start) in text.match_indices("{{#include ") {
            let path = text[at + start.len()..].split_once("}}").unwrap().0;
            let beside = docs.join(page);
            assert!(beside.parent().unwrap().join(path).is_file(), "{page} includes {path}");
        }
    }
}

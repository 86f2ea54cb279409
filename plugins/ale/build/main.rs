//! Compiles the core of the Arcade Learning Environment from the sources that `plugins/ale/fetch` put in the user's data folder,
//! and lists the games.
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The version whose sources are compiled.
const VERSION: &str = "0.12.1";
/// Parts of the sources that are not the core: they need Python, a browser, or a screen. `shim.cpp` replaces the last.
const OTHER: [&str; 6] = ["python", "wasm", "vector", "external", "SDL2.cpp", "phosphor_blend.cpp"];

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    println!("cargo:rerun-if-env-changed=ALE_SOURCE");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=src/shim.cpp");
    let games = fs::read_to_string("build/games.txt").expect("build/games.txt can be read");
    fs::write(out.join("games.rs"), list(&games)).expect("the list of games can be written");
    let source = source().unwrap_or_else(|error| {
        eprintln!("error: {error}");
        std::process::exit(1);
    });
    let version = format!(
        "#pragma once\n#define ALE_VERSION \"{VERSION}\"\n#define ALE_VERSION_GIT_SHA \"unknown\"\n#define STELLA_VERSION \"2.4.2\"\n"
    );
    fs::write(out.join("version.hpp"), version).expect("version.hpp can be written");
    let mut files = vec![];
    collect(&source.join("src/ale"), &mut files);
    files.sort();
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(3).warnings(false).debug(false);
    build.include(env::var_os("DEP_Z_INCLUDE").expect("libz-sys says where zlib's headers are"));
    build.include(source.join("src")).include(&out).files(files).file("src/shim.cpp").compile("potstill_ale");
}

/// The folder of the unpacked sources.
fn source() -> Result<PathBuf, String> {
    let here = |path: PathBuf| {
        let version = fs::read_to_string(path.join("version.txt")).unwrap_or_default();
        match version.trim() {
            VERSION => Ok(path),
            "" => Err(format!("{} has no sources of the Arcade Learning Environment", path.display())),
            other => Err(format!("{} has version {other}, and the plugin needs {VERSION}", path.display())),
        }
    };
    let fetch =
        "plugins/ale/fetch fetches them with your pip; ALE_SOURCE=FOLDER names another folder with them";
    match env::var_os("ALE_SOURCE") {
        Some(folder) => here(folder.into()),
        None => here(dirs::data_dir().unwrap_or_default().join(format!("potstill/sources/ale_py-{VERSION}"))),
    }
    .map_err(|error| format!("{error}: {fetch}"))
}

/// Adds the C++ files of the core.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for path in entries.flatten().map(|entry| entry.path()) {
        if OTHER.iter().any(|other| path.ends_with(other)) {
            continue;
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            _ if path.is_dir() => collect(&path, files),
            Some("cpp" | "cxx") => files.push(path),
            _ => {}
        }
    }
}

/// The table of games, and the export of their environments: each game twice, without and with sticky actions.
fn list(games: &str) -> String {
    let mut table =
        "/// The games, with and without sticky actions.\npub(crate) const GAMES: &[Game] = &[\n".to_owned();
    let mut exports = vec![];
    let mut number = 0;
    for (version, sticky, what) in [
        (4, false, "every action is done"),
        (5, true, "an action repeats the one before with probability 0.25"),
    ] {
        for game in games.lines() {
            let id = game.replace('_', "-");
            let words = game.split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
            let name = words.collect::<Vec<_>>().join(" ");
            let (id, summary) =
                (format!("ale/{id}-v{version}"), format!("{name} on the Atari 2600; {what}."));
            writeln!(
                table,
                "    Game {{ rom: {game:?}, id: {id:?}, summary: {summary:?}, sticky: {sticky} }},"
            )
            .expect("a text grows");
            exports.push(format!("Atari<{number}>"));
            number += 1;
        }
    }
    format!("{table}];\npotstill_sdk::export_environments!({});\n", exports.join(", "))
}

//! Tests what the program does with the files that lie where it searches for plugins: it runs none of them, reads none
//! without end, and compiles a component within limits.
use crate::{Place, Said, repository};

/// Runs a command with the folder `path` on the search path.
fn searching(place: &Place, path: &str, arguments: &[&str]) -> Said {
    place.command(arguments).env("POTSTILL_PLUGIN_PATH", place.path(path)).output().unwrap().into()
}

#[test]
fn a_file_without_a_manifest_is_run_only_if_it_is_named() {
    let place = Place::new();
    std::fs::create_dir(place.path("path")).unwrap();
    std::fs::copy(repository("tests/hostile/hostile.wasm"), place.path("path/bare.wasm")).unwrap();
    place.write("path/other.so", "not even a library");
    for path in ["path", "path/bare.wasm", "path/other.so"] {
        let said = searching(&place, path, &["plugin", "list"]);
        let file = if path == "path" { "path/bare.wasm" } else { path };
        let rejected = format!(
            "rejected: has no `plugin.toml`; `potstill plugin install {}` writes one, or name the file with `--plugin`",
            place.path(file).display()
        );
        assert!(said.code == Some(0) && said.out.contains(&rejected), "{} {}", said.out, said.err);
    }
    let info = ["plugin", "info", "test/hostile"];
    searching(&place, "path", &info).refused(2, "there is no environment `test/hostile`");
    place.ok(&[&["--plugin", "path/bare.wasm"], &info[..]].concat());
    place.ok(&["plugin", "install", "path/bare.wasm"]);
    place.ok(&info);
}

#[cfg(unix)]
#[test]
fn devices_pipes_and_endless_files_are_not_read() {
    let place = Place::new();
    let manifest = std::fs::read_to_string(repository("tests/hostile/plugin.toml")).unwrap();
    for name in ["device", "pipe", "large", "manifest", "manifest-device"] {
        std::fs::create_dir_all(place.path(&format!("path/{name}"))).unwrap();
        place.write(&format!("path/{name}/plugin.toml"), &manifest);
    }
    let of = |name: &str| place.path(&format!("path/{name}/hostile.wasm"));
    std::os::unix::fs::symlink("/dev/zero", of("device")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(of("pipe")).status().unwrap();
    assert!(made.success());
    std::fs::File::create(of("large")).unwrap().set_len((256 << 20) + 1).unwrap();
    let endless = place.path("path/manifest/plugin.toml");
    std::fs::File::create(endless).unwrap().set_len((1 << 20) + 1).unwrap();
    let zero = place.path("path/manifest-device/plugin.toml");
    std::fs::remove_file(&zero).unwrap();
    std::os::unix::fs::symlink("/dev/zero", zero).unwrap();

    let said = searching(&place, "path", &["plugin", "list"]);
    for expected in [
        "rejected: is a device; expected a file",
        "rejected: is a pipe; expected a file",
        "rejected: is longer than 256 MiB, the most that is read",
        "rejected: is longer than 1 MiB, the most that is read",
    ] {
        assert!(said.code == Some(0) && said.out.contains(expected), "{expected}: {} {}", said.out, said.err);
    }
}

/// Returns a component that holds a module with one function: its type has so many parameters and as many results, and
/// its code so many locals.
fn component(parameters: usize, locals: usize, code: &[u8]) -> Vec<u8> {
    let section = |id: u8, content: &[u8]| [&[id][..], &leb(content.len()), content].concat();
    let words = [&leb(parameters)[..], &vec![0x7f; parameters]].concat();
    let ty = [&[2, 0x60][..], &words, &words, &[0x60, 0, 0]].concat();
    let body = [&[1][..], &leb(locals), &[0x7f], code, &[0x0b]].concat();
    let code = [&[1][..], &leb(body.len()), &body].concat();
    let sections = [section(1, &ty), section(3, &[1, 1]), section(10, &code)].concat();
    let module = [b"\0asm\x01\0\0\0", &sections[..]].concat();
    [b"\0asm\x0d\0\x01\0", &section(1, &module)[..]].concat()
}

fn leb(mut n: usize) -> Vec<u8> {
    let mut bytes = vec![];
    while n > 0x7f {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

#[cfg(unix)]
#[test]
fn a_small_component_cannot_keep_the_compiler_busy() {
    let place = Place::new();
    let load = |component: Vec<u8>, expected: &str| {
        place.write("small.wasm", component);
        place.refused(&["plugin", "install", "small.wasm"], 1, expected);
    };
    load(component(0, 1, &[]), "exports no role of a Potstill plugin");
    load(component(0, 0, &[0x20, 9]), "does not compile: ");
    let nested = [[0x03, 0x40].repeat(200), [0x0b].repeat(200)].concat();
    load(
        component(0, 500, &nested),
        "is not compiled: it has 33 loops within each other, expected at most 32",
    );
    // Loops one after the other, which pass 16 values on: 12 KB that would take more than 6 GiB.
    let passing = [[0x41, 0].repeat(16), [0x03, 0, 0x0b].repeat(4000), [0x1a].repeat(16)].concat();
    load(
        component(16, 0, &passing),
        "takes more than 2048 MiB of memory to compile, the most for a component of its size",
    );
}

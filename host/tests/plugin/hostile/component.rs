//! Tests components that misbehave before `make`, where no option reaches them, and files that are not plugins of the role
//! that they claim.
use std::path::Path;

use potstill::plugin::Registry;
use potstill_plugin_api::Role;

use super::assert_told;
use crate::hurried::hurried;
use crate::repository;

const ID: &str = "test/hostile-v1";
/// The marker in the hostile environment's binary. Its last letter selects what misbehaves.
const SWITCH: &[u8] = b"potstill-switch=0";
const LOG: &[u8] = b"potstill:plugin/log@0.1.0";

fn hostile() -> Vec<u8> {
    std::fs::read(repository("tests/hostile/hostile.wasm")).unwrap()
}

/// Returns `bytes` with every `from` replaced by `to`, which has the same length.
fn patched(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let found: Vec<usize> = (0..bytes.len()).filter(|&i| bytes[i..].starts_with(from)).collect();
    assert!(!found.is_empty());
    found.into_iter().for_each(|i| bytes[i..i + to.len()].copy_from_slice(to));
    bytes
}

fn switched(letter: u8) -> Vec<u8> {
    let mut to = SWITCH.to_vec();
    to[16] = letter;
    patched(&hostile(), SWITCH, &to)
}

/// Loads the options of a component that is installed with the hostile environment's manifest.
fn load(wasm: &[u8]) -> potstill::Result<()> {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), wasm);
    load_folder(folder.path())
}

fn load_folder(folder: &Path) -> potstill::Result<()> {
    #[cfg(target_os = "linux")]
    super::memory::limit();
    let registry = Registry::of(&[folder.to_owned()], &[])?;
    registry.options(Role::Environment, ID)?;
    registry.make_environments("nd-cartpole", &[], 1).expect("another works on");
    Ok(())
}

fn install(folder: &Path, wasm: &[u8]) {
    std::fs::copy(repository("tests/hostile/plugin.toml"), folder.join("plugin.toml")).unwrap();
    std::fs::write(folder.join("hostile.wasm"), wasm).unwrap();
}

#[test]
fn functions_before_make_are_guarded_too() {
    load(&switched(b'0')).unwrap();
    for (letter, cause) in [
        (b't', "in `start`: crashed: wasm `unreachable`"),
        (b'm', "in `start`: memory limit of 32 MiB reached (limit `memory-mib`)"),
        (b'h', "in `describe`: `all work"),
        (b'o', "in `options`: 20000 options, expected at most 256"),
        (b'n', "in `options`: option 0 is called `all work"),
        (
            b'e',
            "in `options`: option `number` has a help text, a choice or a default with control characters or of more than 1000 characters",
        ),
        (b'i', "in `options`: option `number` ranges from -inf to inf, expected finite limits"),
    ] {
        assert_told(ID, &char::from(letter).to_string(), load(&switched(letter)), cause);
    }
    let folder = hurried(&repository("tests/hostile"), 1.0, 120.0);
    std::fs::write(folder.path().join("hostile.wasm"), switched(b'l')).unwrap();
    let cause = "in `start`: endless loop: no answer within 1 s (limit `start-seconds`)";
    assert_told(ID, "l", load_folder(folder.path()), cause);
}

#[test]
fn files_that_are_not_such_plugins_are_rejected() {
    let module = hostile();
    let component =
        wit_component::ComponentEncoder::default().module(&module).unwrap().encode().expect("a component");
    load(&component).unwrap();
    let other =
        |role: &str| std::fs::read(repository(&format!("tests/hostile-{role}/hostile-{role}.wasm"))).unwrap();
    for (what, wasm, cause) in [
        (
            "WASI",
            patched(&component, LOG, b"wasi:cli/exit-codes@0.1.0"),
            "does not fit the sandbox: component imports instance `wasi:cli/exit-codes@0.1.0`",
        ),
        (
            "unknown interface",
            patched(&component, LOG, b"potstill:plugin/net@0.1.0"),
            "does not fit the sandbox: component imports instance `potstill:plugin/net@0.1.0`",
        ),
        (
            "module with WASI",
            patched(&module, LOG, b"wasi_snapshot_preview1.xx"),
            "is not a Potstill plugin: ",
        ),
        ("a bare module", b"\0asm\x01\0\0\0".to_vec(), "in `load`: "),
        ("an empty component", b"\0asm\x0d\0\x01\0".to_vec(), "does not fit the sandbox"),
        ("half a module", module[..module.len() / 2].to_vec(), "in `load`: is damaged: "),
        ("half a component", component[..component.len() / 2].to_vec(), "in `load`: does not compile: "),
        ("a learner", other("learner"), "does not fit the sandbox"),
        ("an objective", other("objective"), "does not fit the sandbox"),
        ("a data bomb", with_memory(&module, 65_536), "in `start`: memory limit of 32 MiB reached"),
    ] {
        assert_told(ID, what, load(&wasm), cause);
    }
}

/// The metadata of the contract is in a custom section, which WebAssembly validation ignores.
#[test]
fn damaged_metadata_is_one_error_or_harmless() {
    let module = hostile();
    let section = module.windows(14).position(|w| w == b"component-type").unwrap();
    let mut refused = 0;
    for i in 0..100 {
        let mut damaged = module.clone();
        let at = section + i * (module.len() - section) / 100;
        damaged[at] ^= 1 << (i % 8);
        match load(&damaged) {
            Ok(()) => {}
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains(ID), "{at}: {error}");
            }
        }
    }
    assert!(refused > 20, "{refused}");
}

/// Returns a core module whose memory starts with `pages` pages of 64 KiB.
fn with_memory(module: &[u8], pages: u64) -> Vec<u8> {
    const MEMORY: u8 = 5;
    let (mut out, mut rest) = (module[..8].to_vec(), &module[8..]);
    while let [id, tail @ ..] = rest {
        let (size, tail) = leb(tail);
        let (body, tail) = tail.split_at(size as usize);
        let mut body = body.to_vec();
        if *id == MEMORY {
            // The section has one memory without a maximum.
            body = [vec![1, 0], to_leb(pages)].concat();
        }
        out.push(*id);
        out.extend(to_leb(body.len() as u64));
        out.extend(body);
        rest = tail;
    }
    out
}

fn leb(bytes: &[u8]) -> (u64, &[u8]) {
    let length = bytes.iter().position(|b| b & 0x80 == 0).unwrap() + 1;
    let value = bytes[..length].iter().rev().fold(0, |n, b| n << 7 | u64::from(b & 0x7f));
    (value, &bytes[length..])
}

fn to_leb(mut value: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

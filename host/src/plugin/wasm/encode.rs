//! Encodes core modules as components. Compilers for Rust and C make a core module with the contract's types in a custom
//! section; `plugin build` writes its component, and the loader also reads the module itself.
//!
//! The encoder expects modules fresh from a compiler: on damaged ones it recurses without limit or panics. So what it
//! relies on is checked first, and it runs in a thread of its own.
use std::borrow::Cow;
use std::thread;

use wasmparser::{ComponentType, ComponentTypeDeclaration, InstanceTypeDeclaration, Parser, Payload};
use wasmtime::{Engine, Module};

use super::workers::with_workers;
use crate::error::not_started;

const CORE_MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";
const COMPONENT: [u8; 8] = *b"\0asm\x0d\0\x01\0";

/// Bytes of metadata: the largest world of the contract takes a fifth of this.
const MOST_METADATA: usize = 32 << 10;
/// Stack for the encoder, which recurses as deep as the metadata's types nest.
const STACK: usize = 64 << 20;

/// `wasm` as a component: itself if it is one, else the component that its core module describes.
///
/// # Errors
/// It is no WebAssembly, damaged, or no module of the contract.
pub(crate) fn encode<'a>(engine: &Engine, wasm: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
    if wasm.starts_with(&COMPONENT) {
        return Ok(wasm.into());
    }
    if !wasm.starts_with(&CORE_MODULE) {
        return Err("is not WebAssembly".into());
    }
    with_workers(|| Module::validate(engine, wasm)).map_err(|e| format!("is damaged: {e:#}"))?;
    let encoded = thread::scope(|scope| {
        let encoder = thread::Builder::new().name("potstill-encoder".into()).stack_size(STACK);
        let thread = encoder.spawn_scoped(scope, || checked(wasm)).map_err(|e| not_started("thread", &e))?;
        thread.join().unwrap_or_else(|_| Err("its metadata is damaged".into()))
    });
    encoded.map(Into::into).map_err(|cause| format!("is not a Potstill plugin: {cause}"))
}

fn checked(wasm: &[u8]) -> Result<Vec<u8>, String> {
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CustomSection(section) = payload.map_err(|e| e.to_string())?
            && section.name().starts_with("component-type")
        {
            check_metadata(section.data())?;
        }
    }
    let encoder = wit_component::ComponentEncoder::default().validate(true).module(wasm);
    encoder.and_then(|mut encoder| encoder.encode()).map_err(|e| format!("{e:#}"))
}

/// Whether a module's metadata speaks of this contract only: packages that need each other in a circle send the encoder
/// round for ever.
fn check_metadata(metadata: &[u8]) -> Result<(), String> {
    if metadata.len() > MOST_METADATA {
        return Err(format!("{} bytes of metadata, expected at most {MOST_METADATA}", metadata.len()));
    }
    for payload in Parser::new(0).parse_all(metadata) {
        if let Payload::ComponentTypeSection(types) = payload.map_err(|e| e.to_string())? {
            for ty in types {
                check_type(&ty.map_err(|e| e.to_string())?)?;
            }
        }
    }
    Ok(())
}

fn check_type(ty: &ComponentType<'_>) -> Result<(), String> {
    match ty {
        ComponentType::Component(declarations) => {
            declarations.iter().try_for_each(|declaration| match declaration {
                ComponentTypeDeclaration::Type(ty) => check_type(ty),
                ComponentTypeDeclaration::Export { name, .. } => check_name(name.name),
                ComponentTypeDeclaration::Import(import) => check_name(import.name.name),
                ComponentTypeDeclaration::CoreType(_) | ComponentTypeDeclaration::Alias(_) => Ok(()),
            })
        }
        ComponentType::Instance(declarations) => {
            declarations.iter().try_for_each(|declaration| match declaration {
                InstanceTypeDeclaration::Type(ty) => check_type(ty),
                InstanceTypeDeclaration::Export { name, .. } => check_name(name.name),
                InstanceTypeDeclaration::CoreType(_) | InstanceTypeDeclaration::Alias(_) => Ok(()),
            })
        }
        ComponentType::Defined(_) | ComponentType::Func(_) | ComponentType::Resource { .. } => Ok(()),
    }
}

/// Names with a colon are those of interfaces and worlds; the others are within one.
fn check_name(name: &str) -> Result<(), String> {
    let version = format!("@{}.0", potstill_plugin_api::API_VERSION);
    match name.contains(':') && !(name.starts_with("potstill:plugin/") && name.ends_with(&version)) {
        true => Err(format!(
            "it speaks of `{name}`, which is not of this host's contract, potstill:plugin{version}"
        )),
        false => Ok(()),
    }
}

//! Runs the engine with linked plugins on WebAssembly: a whole distillation without threads, files or an operating system.
use std::path::Path;

use potstill::author::webassembly;
use wasmtime::{Engine, Linker, Module, Store};

use super::missing;

/// In native code, this many meta-epochs let every learner balance the pole to the end.
const META_EPOCHS: u64 = 60;

#[test]
fn a_whole_distillation_of_cart_pole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/library");
    let module = match webassembly(&folder) {
        Ok(module) => module,
        Err(error) if error.to_string().contains("; install") => return missing(&error.to_string()),
        Err(error) => panic!("{error}"),
    };
    let engine = Engine::default();
    let module = Module::from_file(&engine, module).unwrap();
    let mut linker: Linker<()> = Linker::new(&engine);
    // burn's dependencies can import the time and random numbers from a browser. The engine uses neither.
    linker.define_unknown_imports_as_traps(&module).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let mean_return = instance.get_typed_func::<u64, f64>(&mut store, "mean_return").unwrap();
    let untaught = mean_return.call(&mut store, 0).unwrap();
    let taught = mean_return.call(&mut store, META_EPOCHS).unwrap();
    assert!((5.0..100.0).contains(&untaught), "from a random dataset: {untaught}");
    assert!(taught > 450.0, "after {META_EPOCHS} meta-epochs: {taught}");
}

//! Checks with a C compiler that the header and its Rust mirror agree.
use std::fmt::Write as _;
use std::process::Command;

use potstill_plugin_api::abi;

/// Lists the C name, size and field offsets of each structure.
macro_rules! structures {
    ($($c:literal $rust:ident),* $(,)?) => { [$(($c, abi::$rust::SIZE, abi::$rust::LAYOUT)),*] };
}

#[test]
fn the_header_and_its_mirror_agree() {
    let structures = structures![
        "potstill_space" RawSpace, "potstill_value" RawValue, "potstill_option" RawOption,
        "potstill_setting" Setting, "potstill_spec" RawSpec, "potstill_transition" RawTransition,
        "potstill_frame" RawFrame, "potstill_environment" EnvironmentFunctions, "potstill_operation" Operation,
        "potstill_graph" RawGraph, "potstill_parameter" RawParameter, "potstill_learner" LearnerFunctions,
        "potstill_task" RawTask, "potstill_meta_parameter" RawMetaParameter, "potstill_network" RawNetwork,
        "potstill_metric" RawMetric, "potstill_outer" RawOuter, "potstill_objective" ObjectiveFunctions,
        "potstill_host" Host, "potstill_plugin_description" Plugin,
    ];
    let mut source =
        String::from("#include \"potstill.h\"\n#define SAME(a, b) _Static_assert((a) == (b), #a)\n");
    for (name, size, layout) in structures {
        writeln!(source, "SAME(sizeof({name}), {size});").unwrap();
        for (field, offset) in layout {
            writeln!(source, "SAME(offsetof({name}, {field}), {offset});").unwrap();
        }
    }
    let tables = [
        abi::SpaceKind::NUMBERS,
        abi::ValueKind::NUMBERS,
        abi::GraphOp::NUMBERS,
        abi::InitKind::NUMBERS,
        abi::MetaInitKind::NUMBERS,
        abi::DataKind::NUMBERS,
        abi::RoleKind::NUMBERS,
        abi::RenderKind::NUMBERS,
    ];
    for (name, number) in tables.concat() {
        writeln!(source, "SAME({name}, {number});").unwrap();
    }
    writeln!(source, "SAME(POTSTILL_MAGIC, {});", abi::MAGIC).unwrap();
    writeln!(source, "SAME(POTSTILL_ABI_MAJOR, {});", abi::ABI_MAJOR).unwrap();
    writeln!(source, "SAME(POTSTILL_ABI_MINOR, {});", abi::ABI_MINOR).unwrap();
    let folder = std::env::temp_dir().join(format!("potstill-abi-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("layout.c");
    std::fs::write(&file, source).unwrap();
    let compiler = std::env::var("CC").unwrap_or("cc".into());
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/include");
    let output = Command::new(compiler)
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", include])
        .arg(&file)
        .output()
        .expect("a C compiler (cc, or what CC names)");
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

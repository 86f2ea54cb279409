//! Tests `doctor`, which lists the installed tools and the commands that install the missing ones.
use crate::Place;
use serde_json::Value;

#[test]
fn says_what_is_there_and_how_to_get_the_rest() {
    let place = Place::new();
    let findings = place.json(&["doctor", "--json"]);
    let find = |name: &str| -> Value {
        let all = findings.as_array().unwrap();
        all.iter().find(|finding| finding["name"] == name).unwrap_or_else(|| panic!("no `{name}`")).clone()
    };
    assert_eq!(
        (find("sandbox")["found"].clone(), find("processor")["found"].clone()),
        (true.into(), true.into())
    );
    assert!(find("plugins")["what"].as_str().unwrap().contains("13 built in, 0 found; "), "{findings}");
    for (name, install) in [
        ("CUDA", "install"),
        ("wgpu", "install"),
        ("components in Rust", "rustup target add wasm32-unknown-unknown"),
        ("components in C", "pip install ziglang"),
        ("components in Python", "pip install componentize-py"),
        ("MuJoCo", "python3 -m pip install mujoco"),
    ] {
        let finding = find(name);
        let what = finding["what"].as_str().unwrap();
        assert!(finding["found"] == true || what.contains(install), "{name}: {what}");
        assert!(!what.is_empty());
    }
    // It asks for nothing that no plugin uses.
    assert_eq!(findings.as_array().unwrap().len(), 10, "{findings}");

    // With an empty PATH it finds nothing and names the command for everything.
    let bare =
        place.command(&["doctor"]).env("PATH", "").env("POTSTILL_WEB_RUSTC", "/nowhere").output().unwrap();
    let said = String::from_utf8(bare.stdout).unwrap();
    assert!(bare.status.success() && bare.stderr.is_empty(), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with('–')).count(), 6, "{said}");
    assert!(said.contains("✓ sandbox") && said.contains("rustup target add"), "{said}");

    // It reports a rejected plugin.
    std::fs::create_dir_all(place.path(".data/potstill/plugins")).unwrap();
    place.write(".data/potstill/plugins/broken.wasm", "junk");
    assert!(place.ok(&["doctor"]).contains("1 found; 1 cannot be used (`potstill plugin list` says why)"));
}

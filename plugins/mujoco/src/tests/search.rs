//! What is found where, and what is said where nothing is.
use super::{installed, scratch, site};
use crate::locate::Search;

#[test]
fn what_is_missing_is_said_once_with_what_to_do() {
    let setup = scratch("setup");
    let search = Search::new(Some(setup.join("nowhere")), Some(&setup), vec!["no-such-python".into()]);
    let (library, model) = (search.library().err().unwrap(), search.model("hopper.xml").err().unwrap());
    let nowhere = setup.join("nowhere");
    let places = format!(
        "MUJOCO_PATH ({}), {} (nothing is set up), no-such-python (No such file or directory (os error 2)); \
         `potstill plugin setup mujoco` installs it, and so does `python3 -m pip install mujoco==2.3.7 gymnasium`",
        nowhere.display(),
        setup.join("mujoco").display(),
    );
    assert_eq!(library, format!("MuJoCo's library was not found in: {places}"));
    assert_eq!(model, format!("Gymnasium's model hopper.xml was not found in: {places}"));
    std::fs::remove_dir_all(setup).unwrap();
}

/// What `potstill plugin setup mujoco` makes, and which version comes first.
#[test]
fn set_up_folders_are_searched() {
    let scratch = scratch("search");
    for folder in
        ["mujoco-3.3.7/mujoco", "mujoco-2.3.7/mujoco", "gymnasium-1.2.3/gymnasium/envs/mujoco/assets"]
    {
        std::fs::create_dir_all(scratch.join("mujoco").join(folder)).unwrap();
    }
    let assets = "mujoco/gymnasium-1.2.3/gymnasium/envs/mujoco/assets/hopper.xml";
    for file in ["mujoco/mujoco-3.3.7/mujoco/libmujoco.so.3.3.7", assets] {
        std::fs::write(scratch.join(file), "").unwrap();
    }
    let search = || Search::new(None, Some(&scratch), vec!["no-such-python".into()]);
    assert_eq!(search().model("hopper.xml").unwrap(), scratch.join(assets));
    assert!(search().library().unwrap().ends_with("mujoco-3.3.7/mujoco/libmujoco.so.3.3.7"));
    std::fs::write(scratch.join("mujoco/mujoco-2.3.7/mujoco/libmujoco.so.2.3.7"), "").unwrap();
    assert!(search().library().unwrap().ends_with("mujoco-2.3.7/mujoco/libmujoco.so.2.3.7"));
    // MUJOCO_PATH comes before, as a wheel's folder or what it lies in.
    let file = "mujoco/mujoco-3.3.7/mujoco/libmujoco.so.3.3.7";
    for path in ["mujoco/mujoco-3.3.7", "mujoco/mujoco-3.3.7/mujoco", file] {
        let first = Search::new(Some(scratch.join(path)), Some(&scratch), vec!["no-such-python".into()]);
        assert!(first.library().unwrap().ends_with("libmujoco.so.3.3.7"), "{path}");
        assert_eq!(first.model("hopper.xml").unwrap(), scratch.join(assets), "{path}");
    }
    std::fs::remove_dir_all(scratch).unwrap();
}

#[test]
fn what_python_imports_is_found() {
    let Some(folder) = installed() else { return };
    for (stack, version) in [("v4", "2.3.7"), ("v5", "3.3.7")] {
        let (stack, python) = (folder.join(stack), folder.join(stack).join("bin/python"));
        let pythons = vec!["no-such-python".into(), python.display().to_string()];
        let search = Search::new(None, None, pythons);
        let packages = std::fs::canonicalize(site(&stack)).unwrap();
        let same = |found: std::path::PathBuf| std::fs::canonicalize(found).unwrap();
        let library = packages.join(format!("mujoco/libmujoco.so.{version}"));
        assert_eq!(same(search.library().unwrap()), library);
        let model = packages.join("gymnasium/envs/mujoco/assets/hopper.xml");
        assert_eq!(same(search.model("hopper.xml").unwrap()), model);
        // A model that this Gymnasium does not have.
        let v5 = search.model("walker2d_v5.xml");
        assert_eq!(v5.is_ok(), version == "3.3.7", "{v5:?}");
    }
}

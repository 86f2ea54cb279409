//! Tests of the search for MuJoCo and Gymnasium, and of its messages.
use super::{installed, scratch, site};
use crate::environment::choose;
use crate::locate::{WANTED, libraries, model};
use potstill_sdk::packages::Packages;

#[test]
fn what_is_missing_is_said_once_with_what_to_do() {
    let setup = scratch("setup");
    let search =
        Packages::among(WANTED, Some(setup.join("nowhere")), Some(&setup), vec!["no-such-python".into()]);
    let (library, no_model) =
        (choose(&search, None).err().unwrap(), model(&search, "hopper.xml").err().unwrap());
    let nowhere = setup.join("nowhere");
    let places = format!(
        "MUJOCO_PATH ({}), {} (nothing is set up), no-such-python (No such file or directory (os error 2)); \
         `potstill plugin setup mujoco` installs it, and so does `python3 -m pip install mujoco==2.3.7 gymnasium`",
        nowhere.display(),
        setup.join("mujoco").display(),
    );
    assert_eq!(library, format!("MuJoCo's library was not found in: {places}"));
    assert_eq!(no_model, format!("Gymnasium's model hopper.xml was not found in: {places}"));
    std::fs::remove_dir_all(setup).unwrap();
}

/// The folders that `potstill plugin setup mujoco` makes are found, the default version first.
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
    let search = || Packages::among(WANTED, None, Some(&scratch), vec!["no-such-python".into()]);
    assert_eq!(model(&search(), "hopper.xml").unwrap(), scratch.join(assets));
    assert!(libraries(&search()).next().unwrap().ends_with("mujoco-3.3.7/mujoco/libmujoco.so.3.3.7"));
    std::fs::write(scratch.join("mujoco/mujoco-2.3.7/mujoco/libmujoco.so.2.3.7"), "").unwrap();
    assert!(libraries(&search()).next().unwrap().ends_with("mujoco-2.3.7/mujoco/libmujoco.so.2.3.7"));
    // MUJOCO_PATH comes first, as a wheel's folder, its parent or the file.
    let file = "mujoco/mujoco-3.3.7/mujoco/libmujoco.so.3.3.7";
    for path in ["mujoco/mujoco-3.3.7", "mujoco/mujoco-3.3.7/mujoco", file] {
        let first =
            Packages::among(WANTED, Some(scratch.join(path)), Some(&scratch), vec!["no-such-python".into()]);
        assert!(libraries(&first).next().unwrap().ends_with("libmujoco.so.3.3.7"), "{path}");
        assert_eq!(model(&first, "hopper.xml").unwrap(), scratch.join(assets), "{path}");
    }
    std::fs::remove_dir_all(scratch).unwrap();
}

#[test]
fn what_python_imports_is_found() {
    let Some(folder) = installed() else { return };
    for (stack, version) in [("v4", "2.3.7"), ("v5", "3.3.7")] {
        let (stack, python) = (folder.join(stack), folder.join(stack).join("bin/python"));
        let pythons = vec!["no-such-python".into(), python.display().to_string()];
        let search = Packages::among(WANTED, None, None, pythons);
        let packages = std::fs::canonicalize(site(&stack)).unwrap();
        let same = |found: std::path::PathBuf| std::fs::canonicalize(found).unwrap();
        let library = packages.join(format!("mujoco/libmujoco.so.{version}"));
        assert_eq!(same(libraries(&search).next().unwrap()), library);
        let expected = packages.join("gymnasium/envs/mujoco/assets/hopper.xml");
        assert_eq!(same(model(&search, "hopper.xml").unwrap()), expected);
        // Only the newer Gymnasium has this model.
        let v5 = model(&search, "walker2d_v5.xml");
        assert_eq!(v5.is_ok(), version == "3.3.7", "{v5:?}");
    }
}

/// A run that was made with one MuJoCo does not continue with another that comes first.
#[test]
fn a_version_that_is_named_is_found_behind_others() {
    let Some(folder) = installed() else { return };
    let python = folder.join("v5/bin/python").display().to_string();
    let search = || Packages::among(WANTED, Some(site(&folder.join("v4"))), None, vec![python.clone()]);
    assert_eq!(choose(&search(), None).ok().unwrap().version, "2.3.7");
    assert_eq!(choose(&search(), Some("3.3.7")).ok().unwrap().version, "3.3.7");
    let error = choose(&search(), Some("3.1.6")).err().unwrap();
    assert!(error.starts_with("MuJoCo 3.1.6 is required, but only 2.3.7 ("), "{error}");
    assert!(error.contains(", 3.3.7 (") && error.contains("`potstill plugin setup mujoco --version 3.1.6`"));
}

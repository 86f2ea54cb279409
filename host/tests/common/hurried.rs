//! Copies of plugins with shorter time limits than their manifests request.
//!
//! Only a test of an endless loop may shorten a time limit. All other tests keep the generous limits of the manifest, so
//! that no test depends on which of two limits a slow machine reaches first.
use std::path::Path;

/// Copies a plugin's folder and sets the time limits of its manifest to `start` and `step` seconds.
pub(crate) fn hurried(plugin: &Path, start: f64, step: f64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(plugin).unwrap().map(Result::unwrap) {
        if entry.path().is_file() {
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    let path = folder.path().join("plugin.toml");
    let mut manifest: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
    let limits = manifest["limits"].as_table_mut().unwrap();
    limits.insert("start-seconds".into(), start.into());
    limits.insert("step-seconds".into(), step.into());
    std::fs::write(&path, manifest.to_string()).unwrap();
    folder
}

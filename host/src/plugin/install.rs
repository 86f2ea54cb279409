//! The user's folder of installed plugins. Each has a folder with its manifest, its file, and a record of what was
//! installed.
use std::env::consts::DLL_PREFIX;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use potstill_plugin_api::{API_VERSION, LimitWishes, Manifest, PluginId, Provided};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::registry::{Entry, Loader, Registry};
use super::source::{self, LARGEST_MANIFEST, MANIFEST, scan};
use super::wasm::hex;
use crate::error::{Error, IoContext, Result};
use crate::{files, shell};

/// The name of the record beside an installed plugin's manifest.
const RECORD: &str = "installed.json";

/// The record of an installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// SHA-256 of the plugin's file, in hexadecimal. A file with another hash is not run.
    pub sha256: String,
    /// The path it was installed from.
    pub from: PathBuf,
    /// When it was installed, in seconds since 1970.
    pub at: u64,
}

/// The folder of installed plugins: `potstill/plugins` in the user's data folder, if there is one.
pub fn folder() -> Option<PathBuf> {
    dirs::data_dir().map(|data| data.join("potstill").join("plugins"))
}

/// Copies the plugin at `path` (a `.wasm` file, a shared library, or the folder of either) into `folder`, with its hash.
/// Returns its entries there: several for a library with several plugins. Replaces what was installed of the same role
/// and id, or library. Each plugin is run once, to check that it works.
/// `note` is told if environments refuse to be made for now.
///
/// # Errors
/// [`Error::Usage`]: there is no plugin, more than one, or one that cannot be used; the plugin's own errors;
/// [`Error::Io`]. What was installed before then stays.
pub fn install(path: &Path, folder: &Path, note: &mut dyn FnMut(&str)) -> Result<Vec<Entry>> {
    let path = path.canonicalize().at(path)?;
    let named = Registry::of(&[], std::slice::from_ref(&path))?;
    let ours = |entry: &&Entry| entry.loader != Loader::Builtin;
    let found: Vec<&Entry> = named.entries().iter().filter(ours).collect();
    let Some(entry) = found.first() else {
        return Err(Error::file(path, "holds no `plugin.toml` and no plugin"));
    };
    if found.iter().any(|other| other.path != entry.path) {
        let ids: Vec<String> = found.iter().filter_map(|entry| entry.named()).collect();
        let what = format!("holds several plugins; install one at a time: {}", ids.join(", "));
        return Err(Error::file(path, what));
    }
    if let Some(why) = found.iter().find_map(|entry| entry.rejected.as_ref()) {
        return Err(Error::file(path, why));
    }
    if found.iter().any(|other| (other.role, &other.version) != (entry.role, &entry.version)) {
        let what = "its plugins differ in role or version; a manifest has one of each for all of them";
        return Err(Error::file(path, what));
    }
    named.try_out(&found, note)?;
    let Some(file) = &entry.path else {
        return Err(Error::file(path, "does not identify itself"));
    };
    let manifest = match scan(&path).into_iter().next().map(|candidate| candidate.manifest) {
        Some(Ok(Some(manifest))) => manifest,
        _ => written_for(&found, file).ok_or_else(|| Error::file(&path, "does not identify itself"))?,
    };

    let place = place(folder, &manifest);
    let replaced = replaced(&manifest, folder, &place)?;
    if place.exists() && !place.join(RECORD).is_file() {
        return Err(Error::file(place, "is in the way, and is no installed plugin; move it elsewhere"));
    }
    fs::create_dir_all(folder).at(folder)?;
    let scratch = tempfile::tempdir_in(folder).at(folder)?;
    let fresh = scratch.path().join("fresh");
    fs::create_dir(&fresh).at(&fresh)?;
    let bytes = source::read(file)?;
    let sha256 = hex(&Sha256::digest(&bytes));
    if sha256 != entry.sha256 {
        return Err(Error::file(file, "changed during the installation; try again"));
    }
    let copy = fresh.join(manifest.file());
    fs::write(&copy, bytes).at(&copy)?;
    let text = manifest.to_text().map_err(|e| Error::usage(format!("{MANIFEST}: {e}")))?;
    fs::write(fresh.join(MANIFEST), text).at(&fresh)?;
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let record = serde_json::to_vec_pretty(&Installed { sha256, from: path, at });
    let record = record.map_err(|e| Error::usage(format!("{RECORD}: {e}")))?;
    fs::write(fresh.join(RECORD), record).at(&fresh)?;

    let before = scratch.path().join("before");
    if place.exists() {
        fs::rename(&place, &before).at(&place)?;
    }
    if let Err(error) = fs::rename(&fresh, &place).at(&place) {
        let _ = fs::rename(&before, &place);
        return Err(error);
    }
    replaced.iter().try_for_each(|before| fs::remove_dir_all(before).at(before))?;
    let installed = Registry::of(&[], std::slice::from_ref(&place))?;
    let entries: Vec<Entry> = installed.entries().iter().filter(ours).cloned().collect();
    if entries.is_empty() {
        Err(Error::file(&place, "cannot be found after its installation"))
    } else {
        Ok(entries)
    }
}

/// The folders, other than `place`, whose plugins are all in `manifest`: one library can replace several files.
///
/// # Errors
/// [`Error::Usage`]: such a folder, or `place`, also has other plugins, which would be lost.
fn replaced(manifest: &Manifest, folder: &Path, place: &Path) -> Result<Vec<PathBuf>> {
    let mut replaced = vec![];
    let installed = if folder.is_dir() { scan(folder) } else { vec![] };
    for candidate in installed {
        let (Ok(Some(other)), Some(own)) = (candidate.manifest, candidate.path.parent()) else { continue };
        if other.role != manifest.role || !own.join(RECORD).is_file() {
            continue;
        }
        let is_ours = |id: &PluginId| manifest.provides.iter().any(|provided| provided.id == *id);
        let (ours, others): (Vec<_>, Vec<_>) =
            other.provides.iter().partition(|provided| is_ours(&provided.id));
        match (&ours[..], &others[..]) {
            ([], [Provided { id, .. }, ..]) if own == place => {
                return Err(Error::usage(format!(
                    "`{id}` is installed in a library of the same name; remove that library first: `potstill plugin remove {id}`"
                )));
            }
            ([], _) => {}
            (_, []) if own == place => {}
            (_, []) => replaced.push(own.to_owned()),
            ([Provided { id, .. }, ..], [Provided { id: beside, .. }, ..]) => {
                return Err(Error::usage(format!(
                    "`{id}` is installed in a library that also has `{beside}`; remove that library first: `potstill plugin remove {id}`"
                )));
            }
        }
    }
    Ok(replaced)
}

/// The path of the installed plugin whose folder in `folder` is called `name`.
pub fn called(name: &str, folder: &Path) -> Option<PathBuf> {
    let own = folder.join(name);
    // `name` must not lead out of the folder.
    (own.file_name() == Some(name.as_ref()) && own.join(RECORD).is_file()).then_some(own)
}

/// The folder in `folder` of an installed plugin, or of its library.
///
/// # Errors
/// [`Error::Usage`]: it is not installed.
pub fn place_of(entry: &Entry, folder: &Path) -> Result<PathBuf> {
    let own = entry.path.as_deref().and_then(Path::parent).filter(|own| own.parent() == Some(folder));
    match own.filter(|own| own.join(RECORD).is_file()) {
        Some(own) => Ok(own.to_owned()),
        None => {
            let id = entry.named().unwrap_or_default();
            let at = entry
                .path
                .as_ref()
                .map_or("built into potstill".into(), |path| format!("at {}", path.display()));
            Err(Error::usage(format!(
                "`{id}` was not installed: it is {at}; only installed plugins can be removed"
            )))
        }
    }
}

/// Why a plugin's file, which has this hash now, is not the one that was installed. `None` if it is the same, or was not
/// installed.
pub(super) fn changed(file: &Path, sha256: &str) -> Option<String> {
    let record = file.with_file_name(RECORD);
    if !record.is_file() {
        return None;
    }
    let read = files::read(&record, LARGEST_MANIFEST)
        .ok()
        .and_then(|text| serde_json::from_slice::<Installed>(&text).ok());
    match read {
        Some(installed) if installed.sha256 == sha256 => None,
        Some(installed) => Some(format!(
            "its file has changed since it was installed; `potstill plugin install {}` installs it again",
            shell::word(&installed.from)
        )),
        None => Some(format!("{RECORD} is damaged; install the plugin again")),
    }
}

/// The folder of a plugin: `environment-acme.walk-v1` for `acme/walk-v1`. Several are named after their library, whose
/// name stays the same when plugins are added: `environment.acme.swimmers`. Two plugins never share a folder, because an
/// id has no dots.
fn place(folder: &Path, manifest: &Manifest) -> PathBuf {
    let role = manifest.role;
    folder.join(match (&manifest.provides[..], &manifest.library) {
        ([Provided { id, .. }, _, ..], Some(library)) => {
            let namespace = id.namespace().map(|namespace| format!("{namespace}.")).unwrap_or_default();
            // Some file systems take `Swim` and `swim` for the same.
            format!("{role}.{namespace}{}", library.to_lowercase())
        }
        (provides, _) => {
            let id: String = provides.iter().map(|provided| provided.id.to_string()).collect();
            format!("{role}-{}", id.replace('/', "."))
        }
    })
}

/// A manifest for a file that has none, or `None` if its plugins do not identify themselves.
fn written_for(entries: &[&Entry], file: &Path) -> Option<Manifest> {
    let first = entries.first()?;
    let native = first.loader == Loader::Native;
    let provided = |entry: &&Entry| Some(Provided { id: entry.id.clone()?, summary: entry.summary.clone() });
    let library = match entries {
        [_, _, ..] => file.file_stem()?.to_str()?.trim_start_matches(DLL_PREFIX).replace('.', "-"),
        _ => "plugin".into(),
    };
    Some(Manifest {
        provides: entries.iter().map(provided).collect::<Option<_>>()?,
        role: first.role?,
        version: first.version.clone(),
        api: API_VERSION.into(),
        authors: vec![],
        license: "NOASSERTION".into(),
        wasm: (!native).then(|| "plugin.wasm".into()),
        library: native.then_some(library),
        limits: LimitWishes::default(),
        setup: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(ids: &[&str], library: &str) -> Manifest {
        let provided = |id: &&str| Provided { id: id.parse().unwrap(), summary: "Walks.".into() };
        Manifest {
            provides: ids.iter().map(provided).collect(),
            role: potstill_plugin_api::Role::Environment,
            version: "1.0.0".into(),
            api: API_VERSION.into(),
            authors: vec![],
            license: "MIT".into(),
            wasm: None,
            library: Some(library.into()),
            limits: LimitWishes::default(),
            setup: None,
        }
    }

    /// Puts an installed plugin into the folder that it gets, or into `name`.
    fn put(folder: &Path, manifest: &Manifest, name: Option<&str>) -> PathBuf {
        let own = name.map_or_else(|| place(folder, manifest), |name| folder.join(name));
        fs::create_dir(&own).unwrap();
        fs::write(own.join(MANIFEST), manifest.to_text().unwrap()).unwrap();
        fs::write(own.join(RECORD), "{}").unwrap();
        own
    }

    #[test]
    fn no_two_plugins_have_the_same_folder() {
        let folder = Path::new("plugins");
        let manifests = [
            manifest(&["acme/walk-fast-v1"], "walk"),
            manifest(&["acme-walk/fast-v1"], "walk"),
            manifest(&["acme-walk-fast-v1"], "walk"),
            manifest(&["acme/walk-v1", "acme/walk-v2"], "walk"),
            manifest(&["acme/walk-v1", "acme/walk-v2"], "walk-v1"),
            manifest(&["acme/walk-v1"], "walk"),
            manifest(&["beta/walk-v1", "beta/walk-v2"], "walk"),
            manifest(&["walk-v1", "walk-v2"], "walk"),
            manifest(&["walk-v1", "walk-v2"], "acme-walk"),
        ];
        let places: std::collections::BTreeSet<PathBuf> =
            manifests.iter().map(|manifest| place(folder, manifest)).collect();
        assert_eq!(places.len(), manifests.len(), "{places:?}");
    }

    #[test]
    fn replaces_the_same_plugins_and_no_others() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        let replaced = |manifest: &Manifest| {
            replaced(manifest, folder, &place(folder, manifest)).map_err(|e| e.to_string())
        };
        let both = manifest(&["acme/walk-v1", "acme/walk-v2"], "walk");
        let (one, other) =
            (manifest(&["acme/walk-v1"], "walk"), manifest(&["acme/run-v1", "acme/run-v2"], "Walk"));
        // Before, folders had other names, which two plugins could share.
        let older = put(folder, &one, Some("environment-acme-walk-v1"));
        assert_eq!(replaced(&one).unwrap(), std::slice::from_ref(&older));
        assert_eq!(replaced(&both).unwrap(), [older]);
        put(folder, &both, None);
        assert_eq!(replaced(&both).unwrap().len(), 1);
        let error = replaced(&one).unwrap_err();
        assert!(
            error.starts_with("`acme/walk-v1` is installed in a library that also has `acme/walk-v2`"),
            "{error}"
        );
        let error = replaced(&other).unwrap_err();
        assert!(
            error.starts_with("`acme/walk-v1` is installed in a library of the same name; remove"),
            "{error}"
        );
        let fewer = manifest(&["acme/walk-v2", "acme/walk-v3"], "walk");
        assert!(replaced(&fewer).unwrap_err().contains("that also has `acme/walk-v1`"));
    }
}

//! The user's own folder of plugins: one folder each, with the manifest, the file, and what it was when it was installed.
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use potstill_plugin_api::{API_VERSION, LimitWishes, Manifest, PluginId, Role};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::registry::{Entry, Loader, Registry};
use super::source::{MANIFEST, scan};
use super::wasm::hex;
use crate::error::{Error, IoContext, Result};

/// Beside the manifest of an installed plugin.
const RECORD: &str = "installed.json";

/// What was installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// SHA-256 of the plugin's file, in hexadecimal: another file is not run.
    pub sha256: String,
    /// Where it was installed from.
    pub from: PathBuf,
    /// Seconds since 1970.
    pub at: u64,
}

/// Where the user's plugins lie: `potstill/plugins` in the user's data folder, if there is one.
pub fn folder() -> Option<PathBuf> {
    dirs::data_dir().map(|data| data.join("potstill").join("plugins"))
}

/// Copies the plugin at `path` (a `.wasm` file, a shared library, or the folder of either) into `folder`, with its
/// hash; gives its entry there. What was installed under this id and role is replaced. The plugin is run once, to see
/// that it works.
///
/// # Errors
/// [`Error::Usage`]: there is no plugin, more than one, or one that cannot be used; the plugin's own; [`Error::Io`].
/// What was installed before stays then.
pub fn install(path: &Path, folder: &Path) -> Result<Entry> {
    let path = path.canonicalize().at(path)?;
    let named = Registry::of(&[], std::slice::from_ref(&path))?;
    let ours = |entry: &&Entry| entry.loader != Loader::Builtin;
    let entry = match named.entries().iter().filter(ours).collect::<Vec<_>>()[..] {
        [Entry { rejected: Some(why), .. }] => return Err(Error::file(path, why)),
        [one] => one,
        [] => return Err(Error::file(path, "holds no `plugin.toml` and no plugin")),
        ref several => {
            let ids: Vec<String> = several.iter().filter_map(|entry| entry.named()).collect();
            let what = format!("holds several plugins; install one at a time: {}", ids.join(", "));
            return Err(Error::file(path, what));
        }
    };
    named.try_out(entry)?;
    let (Some(id), Some(role), Some(file)) = (&entry.id, entry.role, &entry.path) else {
        return Err(Error::file(path, "does not say who it is"));
    };
    let manifest = match scan(&path).into_iter().next().map(|candidate| candidate.manifest) {
        Some(Ok(Some(manifest))) => manifest,
        _ => written_for(entry, id, role),
    };

    fs::create_dir_all(folder).at(folder)?;
    let scratch = tempfile::tempdir_in(folder).at(folder)?;
    let fresh = scratch.path().join("fresh");
    fs::create_dir(&fresh).at(&fresh)?;
    let bytes = fs::read(file).at(file)?;
    let sha256 = hex(&Sha256::digest(&bytes));
    if sha256 != entry.sha256 {
        return Err(Error::file(file, "changed while it was installed; try again"));
    }
    let copy = fresh.join(manifest.file());
    fs::write(&copy, bytes).at(&copy)?;
    let text = toml::to_string(&manifest).map_err(|e| Error::usage(format!("{MANIFEST}: {e}")))?;
    fs::write(fresh.join(MANIFEST), text).at(&fresh)?;
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let record = serde_json::to_vec_pretty(&Installed { sha256, from: path, at });
    let record = record.map_err(|e| Error::usage(format!("{RECORD}: {e}")))?;
    fs::write(fresh.join(RECORD), record).at(&fresh)?;

    let place = place(folder, id, role);
    if place.exists() {
        fs::rename(&place, scratch.path().join("before")).at(&place)?;
    }
    fs::rename(&fresh, &place).at(&place)?;
    let installed = Registry::of(&[], std::slice::from_ref(&place))?;
    installed.entries().first().cloned().ok_or_else(|| Error::file(&place, "is not found again"))
}

/// Removes the plugin of `role` that `id` names from `folder`; gives the id and where it lay.
///
/// # Errors
/// [`Error::Usage`]: it is not installed; [`Error::Io`].
pub fn remove(entry: &Entry, folder: &Path) -> Result<PathBuf> {
    let own = entry.path.as_deref().and_then(Path::parent).filter(|own| own.parent() == Some(folder));
    match own.filter(|own| own.join(RECORD).is_file()) {
        Some(own) => {
            fs::remove_dir_all(own).at(own)?;
            Ok(own.to_owned())
        }
        None => {
            let id = entry.named().unwrap_or_default();
            let at = entry.path.as_ref().map_or("inside potstill".into(), |path| path.display().to_string());
            Err(Error::usage(format!(
                "`{id}` was not installed: it lies {at}; only installed plugins are removed"
            )))
        }
    }
}

/// Why a plugin's file, which has this hash now, is not the one that was installed; `None` where it is, or was not
/// installed.
pub(super) fn changed(file: &Path, sha256: &str) -> Option<String> {
    let record = file.with_file_name(RECORD);
    if !record.is_file() {
        return None;
    }
    let read = fs::read(&record).ok().and_then(|text| serde_json::from_slice::<Installed>(&text).ok());
    match read {
        Some(installed) if installed.sha256 == sha256 => None,
        Some(installed) => Some(format!(
            "its file is not the one that was installed; `potstill plugin install {}` installs it again",
            installed.from.display()
        )),
        None => Some(format!("{RECORD} is damaged; install the plugin again")),
    }
}

fn place(folder: &Path, id: &PluginId, role: Role) -> PathBuf {
    folder.join(format!("{role}-{}", id.to_string().replace('/', "-")))
}

/// A manifest for a file that came without.
fn written_for(entry: &Entry, id: &PluginId, role: Role) -> Manifest {
    let native = entry.loader == Loader::Native;
    Manifest {
        id: id.clone(),
        role,
        version: entry.version.clone(),
        api: API_VERSION.into(),
        summary: entry.summary.clone(),
        authors: vec![],
        licence: "NOASSERTION".into(),
        wasm: (!native).then(|| "plugin.wasm".into()),
        library: native.then(|| "plugin".into()),
        limits: LimitWishes::default(),
    }
}

//! Reads files of others: what a path names decides how much is read. A device has no end, and opening a named pipe waits
//! for its writer. What is longer than that is not written either.
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;

use crate::error::{Error, IoContext, Result};

/// Reads a file of at most `most` bytes. Anything but a file, or a link to one, is refused and not opened.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; [`Error::File`] when it is not a file, or is longer.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    read_if(path, most, Metadata::is_file)
}

/// As [`read`], for a path that the user named on the command line: it may also be a pipe, as the shell's `<(…)` is.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_or_pipe(path: &Path, most: u64) -> Result<Vec<u8>> {
    read_if(path, most, |metadata| metadata.is_file() || is_pipe(metadata))
}

/// As [`read`], for text.
///
/// # Errors
/// As [`read`]; [`Error::File`] also when it is not UTF-8.
pub(crate) fn read_text(path: &Path, most: u64) -> Result<String> {
    String::from_utf8(read(path, most)?).map_err(|_| Error::file(path, "is not text in UTF-8"))
}

fn read_if(path: &Path, most: u64, may_be_read: impl Fn(&Metadata) -> bool) -> Result<Vec<u8>> {
    let metadata = std::fs::metadata(path).at(path)?;
    if !may_be_read(&metadata) {
        return Err(Error::file(path, format!("is {}; expected a file", kind(&metadata))));
    }
    let too_long = || Error::file(path, format!("is longer than {}, the most that is read", size(most)));
    if metadata.len() > most {
        return Err(too_long());
    }
    let mut bytes = vec![];
    File::open(path).at(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes).at(path)?;
    match bytes.len() as u64 <= most {
        true => Ok(bytes),
        false => Err(too_long()),
    }
}

/// Refuses to write more bytes to `path` than reading them back allows.
///
/// # Errors
/// [`Error::File`] when `bytes` is more than `most`.
pub(crate) fn check_length(path: &Path, bytes: usize, most: u64) -> Result<()> {
    if bytes as u64 <= most {
        return Ok(());
    }
    let most = size(most);
    Err(Error::file(
        path,
        format!("is not written: it would have {bytes} bytes, and at most {most} are read"),
    ))
}

/// A number of bytes in the largest unit that divides it.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(shift, _)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    unit.map_or(format!("{bytes} bytes"), |(shift, name)| format!("{} {name}", bytes >> shift))
}

#[cfg(unix)]
fn is_pipe(metadata: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type())
}

#[cfg(not(unix))]
fn is_pipe(_: &Metadata) -> bool {
    false
}

/// What `metadata` is of, in words.
fn kind(metadata: &Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = metadata.file_type();
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        } else if kind.is_fifo() {
            return "a pipe";
        } else if kind.is_socket() {
            return "a socket";
        }
    }
    if metadata.is_dir() { "a folder" } else { "no file" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"four").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"four");
        assert_eq!(read_text(&path, 4).unwrap(), "four");
        let error = read(&path, 3).unwrap_err().to_string();
        assert!(error.ends_with("file: is longer than 3 bytes, the most that is read"), "{error}");
        std::fs::write(&path, b"\xff").unwrap();
        assert!(read_text(&path, 4).unwrap_err().to_string().contains("UTF-8"));
        let error = read(folder.path(), 1 << 20).unwrap_err().to_string();
        assert!(error.contains("is a folder"), "{error}");
        assert!(matches!(read(&folder.path().join("nothing"), 1), Err(Error::Io { .. })));
        assert!(check_length(&path, 4, 4).is_ok());
        let error = check_length(&path, 5, 4).unwrap_err().to_string();
        assert!(error.ends_with("it would have 5 bytes, and at most 4 bytes are read"), "{error}");
        assert_eq!([size(0), size(3 << 20), size(1 << 30)], ["0 bytes", "3 MiB", "1 GiB"]);
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_refused_and_pipes_only_read_where_the_user_names_one() {
        let folder = tempfile::tempdir().unwrap();
        let (link, pipe) = (folder.path().join("link"), folder.path().join("pipe"));
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        for read in [read, read_or_pipe] {
            assert!(read(&link, 9).unwrap_err().to_string().contains("is a device; expected a file"));
        }
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert!(read(&pipe, 9).unwrap_err().to_string().contains("is a pipe; expected a file"));
        let write = |bytes: &'static [u8]| {
            let pipe = pipe.clone();
            std::thread::spawn(move || std::fs::write(pipe, bytes))
        };
        let writer = write(b"from a pipe");
        assert_eq!(read_or_pipe(&pipe, 11).unwrap(), b"from a pipe");
        writer.join().unwrap().unwrap();
        let writer = write(b"from a pipe");
        assert!(read_or_pipe(&pipe, 3).unwrap_err().to_string().contains("longer than 3 bytes"));
        let _ = writer.join();
    }
}

//! The file of a memory. Whoever reads sees the old one or the new one, whole; whoever changes it
//! holds a lock, so that two processes do not undo each other's note.
use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::{KeysetMemoryError, MAX_AUDIENCES, Seen};
use crate::private_file;

/// A longer file is no memory of ours. An audience and its keyset take less than 1 KiB.
const MAX_FILE_BYTES: u64 = 1024 * MAX_AUDIENCES as u64;

/// What the file holds. No file is an empty memory.
pub(super) fn read(path: &Path) -> Result<Seen, KeysetMemoryError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Seen::default()),
        opened => opened.map_err(|source| failed(path, source))?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| failed(path, source))?;
    let is_short = bytes.len() as u64 <= MAX_FILE_BYTES;
    serde_json::from_slice(&bytes)
        .ok()
        .filter(|seen: &Seen| is_short && seen.version == Seen::VERSION)
        .ok_or_else(|| KeysetMemoryError::Damaged {
            path: path.to_owned(),
        })
}

pub(super) fn write(path: &Path, seen: &Seen) -> Result<(), KeysetMemoryError> {
    serde_json::to_vec_pretty(seen)
        .map_err(io::Error::from)
        .and_then(|bytes| private_file::write(path, &bytes))
        .map_err(|source| failed(path, source))
}

/// Waits for the lock. It is given back when dropped, and when the process dies.
///
/// It is a file of its own, for the memory's is replaced with each change.
pub(super) fn lock(path: &Path) -> Result<File, KeysetMemoryError> {
    let beside = lock_file(path);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&beside)
        .map_err(|source| failed(&beside, source))?;
    file.lock().map_err(|source| failed(&beside, source))?;
    Ok(file)
}

fn lock_file(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    path.with_file_name(name)
}

fn failed(path: &Path, source: io::Error) -> KeysetMemoryError {
    let path = path.to_owned();
    KeysetMemoryError::File { path, source }
}

//! Archives that the kernel unpacks at boot: cpio in the format "newc" (the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst`), reproducible.
//!
//! Owner and group are root, times are the one given, entries are in the order of their names, and
//! nothing is compressed: no version of a compressor is part of what is measured.
use std::collections::BTreeMap;

/// The kernel takes archives one after another when each is padded with zeros; this is cpio's block.
const BLOCK_BYTES: usize = 512;
const MAX_PATH_BYTES: usize = 255;
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

/// Who may do what with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// Everybody reads and executes: 0755.
    Executable,
    /// Everybody reads: 0644.
    Readable,
    /// Root alone reads: 0600.
    Private,
}

impl Permissions {
    fn mode(self) -> u32 {
        match self {
            Permissions::Executable => 0o755,
            Permissions::Readable => 0o644,
            Permissions::Private => 0o600,
        }
    }
}

/// Files and folders, to be written.
#[derive(Clone, Debug)]
pub struct Archive<'a> {
    modified_s: u32,
    entries: BTreeMap<String, Entry<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry<'a> {
    Directory,
    File(Permissions, &'a [u8]),
}

/// An entry cannot be in an archive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpioError {
    /// Not a relative path of plain names.
    #[error("'{0}' is not a relative path of at most {MAX_PATH_BYTES} bytes without '.' or '..'")]
    Path(String),
    /// Something else has the path, or a file has a path that leads to it.
    #[error("'{0}' is there already, as something else")]
    Taken(String),
    /// The format has 32 bits for lengths.
    #[error("'{0}' is longer than 4 GiB")]
    TooLong(String),
}

impl<'a> Archive<'a> {
    /// An archive whose entries were all modified at this Unix time.
    pub fn new(modified_s: u32) -> Self {
        Self {
            modified_s,
            entries: BTreeMap::new(),
        }
    }

    /// Adds a folder (0755) and those that lead to it. It may be there.
    pub fn directory(&mut self, path: &str) -> Result<(), CpioError> {
        check(path)?;
        self.parents_of(path)?;
        match self.entries.get(path) {
            Some(Entry::File(..)) => Err(CpioError::Taken(path.to_owned())),
            _ => {
                self.entries.insert(path.to_owned(), Entry::Directory);
                Ok(())
            }
        }
    }

    /// Adds a file, and the folders that lead to it.
    pub fn file(
        &mut self,
        path: &str,
        permissions: Permissions,
        contents: &'a [u8],
    ) -> Result<(), CpioError> {
        check(path)?;
        if u32::try_from(contents.len()).is_err() {
            return Err(CpioError::TooLong(path.to_owned()));
        }
        self.parents_of(path)?;
        if self.entries.contains_key(path) {
            return Err(CpioError::Taken(path.to_owned()));
        }
        self.entries
            .insert(path.to_owned(), Entry::File(permissions, contents));
        Ok(())
    }

    fn parents_of(&mut self, path: &str) -> Result<(), CpioError> {
        let ends = path.match_indices('/').map(|(end, _)| end);
        for parent in ends.filter_map(|end| path.get(..end)) {
            match self.entries.get(parent) {
                Some(Entry::File(..)) => return Err(CpioError::Taken(parent.to_owned())),
                Some(Entry::Directory) => {}
                None => {
                    self.entries.insert(parent.to_owned(), Entry::Directory);
                }
            }
        }
        Ok(())
    }

    /// The archive.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // In the order of names a folder stands before what is in it, as the kernel needs.
        for (inode, (path, entry)) in (1..).zip(&self.entries) {
            match *entry {
                Entry::Directory => self.push(&mut bytes, inode, path, DIRECTORY | 0o755, b""),
                Entry::File(permissions, contents) => {
                    let mode = FILE | permissions.mode();
                    self.push(&mut bytes, inode, path, mode, contents);
                }
            }
        }
        push_entry(&mut bytes, &[0, 0, 0, 0, 1, 0], "TRAILER!!!", b"");
        pad(&mut bytes, BLOCK_BYTES);
        bytes
    }

    fn push(&self, bytes: &mut Vec<u8>, inode: u32, path: &str, mode: u32, contents: &[u8]) {
        let links = if mode & DIRECTORY == 0 { 1 } else { 2 };
        let fields = [inode, mode, 0, 0, links, self.modified_s];
        push_entry(bytes, &fields, path, contents);
    }
}

/// `fields` are inode, mode, owner, group, links and time.
fn push_entry(bytes: &mut Vec<u8>, fields: &[u32; 6], path: &str, contents: &[u8]) {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(b"070701");
    let device = [0; 4];
    let rest = [length(path.as_bytes()) + 1, 0];
    for field in fields
        .iter()
        .chain(&[length(contents)])
        .chain(&device)
        .chain(&rest)
    {
        bytes.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    bytes.extend_from_slice(path.as_bytes());
    bytes.push(0);
    pad(bytes, 4);
    bytes.extend_from_slice(contents);
    pad(bytes, 4);
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn check(path: &str) -> Result<(), CpioError> {
    let is_plain = |name: &str| !matches!(name, "" | "." | "..");
    let is_right = path.len() <= MAX_PATH_BYTES
        && path.split('/').all(is_plain)
        && !path.contains(char::is_control)
        && path != "TRAILER!!!";
    if is_right {
        Ok(())
    } else {
        Err(CpioError::Path(path.to_owned()))
    }
}

#[cfg(test)]
mod tests;

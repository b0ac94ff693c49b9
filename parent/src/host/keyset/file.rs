//! The keyset on disk: bytes that this process cannot open, and must neither lose nor replace by
//! mistake.
//!
//! | beside `<keyset>` | |
//! |---|---|
//! | `<keyset>.previous` | the keyset that the present one replaced |
//! | `<keyset>.order` | what the operator wants of it, until that is done |
//! | `<keyset>.outcome` | what became of the last order |
//! | `<keyset>.lock` | held by whoever writes one of these |
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use dauth_protocol::{host::keyset_tag, limit::MAX_KEYSET_BYTES};

/// Where the keyset lies, with what lies beside it. Several processes may share the folder: a
/// keyset is compared and set under a lock.
#[derive(Clone, Debug)]
pub struct KeysetFile {
    file: PathBuf,
    /// What is wrong with the order, once it has been said: it is read every second.
    pub(super) complaint: Arc<Mutex<Option<String>>>,
}

/// What became of a keyset that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is on disk.
    New,
    /// What is there is not what the writer took it to be; nothing was written.
    Conflict,
}

impl KeysetFile {
    /// The keyset in `file`, which need not exist.
    pub fn new(file: PathBuf) -> Self {
        Self {
            file,
            complaint: Arc::default(),
        }
    }

    /// The keyset's own file.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Where the keyset is kept that the present one replaced.
    pub fn previous(&self) -> PathBuf {
        self.beside("previous")
    }

    /// The keyset, if there is one.
    pub fn read(&self) -> io::Result<Option<Vec<u8>>> {
        read(&self.file, MAX_KEYSET_BYTES)
    }

    /// Stores `keyset` unless there is one: whole or not at all, and on disk when this returns.
    /// An order to create one is thereby carried out.
    pub fn create(&self, keyset: &[u8]) -> io::Result<Stored> {
        let _lock = self.lock()?;
        let new = self.write_new("new", keyset)?;
        // A link, unlike a rename, fails when the name is taken: by whoever holds no lock.
        let linked = fs::hard_link(&new, &self.file);
        remove(&new)?;
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Ok(Stored::Conflict);
            }
            Err(error) => return Err(error),
        }
        self.sync_folder()?;
        self.remove_order_to_create()?;
        Ok(Stored::New)
    }

    /// Stores `keyset` in place of the one that `tag` names ([`keyset_tag`]): whole or not at all,
    /// and on disk when this returns. The one replaced stays as [`KeysetFile::previous`].
    pub fn replace(&self, tag: &str, keyset: &[u8]) -> io::Result<Stored> {
        let _lock = self.lock()?;
        if self.read()?.is_none_or(|there| keyset_tag(&there) != tag) {
            return Ok(Stored::Conflict);
        }
        let new = self.write_new("new", keyset)?;
        // By a second name, so that there is a keyset at every moment.
        let kept = self.beside("previous.new");
        remove(&kept)?;
        fs::hard_link(&self.file, &kept)?;
        fs::rename(&kept, self.previous())?;
        // A rename onto the same file, after a crash right here, does nothing.
        remove(&kept)?;
        fs::rename(&new, &self.file)?;
        self.sync_folder()?;
        Ok(Stored::New)
    }

    /// Held until dropped. The lock is of the open file: it parts threads as well as processes.
    ///
    /// Root may run this in a folder that is the parent's: what lies under the lock's name may be a
    /// link to any file of root's. So only a file that is new is made, and given away.
    pub(super) fn lock(&self) -> io::Result<File> {
        let path = self.beside("lock");
        let lock = match self.create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                OpenOptions::new().write(true).open(path)?
            }
            created => created?,
        };
        lock.lock()?;
        Ok(lock)
    }

    /// Puts `bytes` beside the keyset in place of what is there: whole or not at all. The caller
    /// holds the lock.
    pub(super) fn put_beside(&self, ending: &str, bytes: &[u8]) -> io::Result<()> {
        let new = self.write_new(&format!("{ending}.new"), bytes)?;
        fs::rename(new, self.beside(ending))?;
        self.sync_folder()
    }

    /// A new file for its owner alone, on disk when this returns.
    fn write_new(&self, ending: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.beside(ending);
        // What a crash left of it.
        remove(&path)?;
        let mut file = self.create_new(&path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(path)
    }

    /// A file that was not there under any name, for its owner alone.
    fn create_new(&self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        self.share(&file);
        Ok(file)
    }

    /// What root writes for the parent belongs to the parent: to whom the keyset belongs, or its
    /// folder while there is none. Nobody but root can, nor needs to.
    fn share(&self, file: &File) {
        let owner = fs::metadata(&self.file).or_else(|_| fs::metadata(self.folder()));
        if let (Ok(owner), Ok(own)) = (owner, file.metadata())
            && (owner.uid(), owner.gid()) != (own.uid(), own.gid())
        {
            let _ = fchown(file, Some(owner.uid()), Some(owner.gid()));
        }
    }

    /// `<keyset>.<ending>`
    pub(super) fn beside(&self, ending: &str) -> PathBuf {
        let mut name: OsString = self.file.as_os_str().to_owned();
        name.push(".");
        name.push(ending);
        name.into()
    }

    pub(super) fn sync_folder(&self) -> io::Result<()> {
        File::open(self.folder())?.sync_all()
    }

    fn folder(&self) -> &Path {
        match self.file.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }
}

/// A file's bytes, if there is one; an error when it is longer than `max_bytes`.
pub(in crate::host) fn read(path: &Path, max_bytes: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(max_bytes as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max_bytes {
        let sentence = format!("it is longer than {max_bytes} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, sentence));
    }
    Ok(Some(bytes))
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

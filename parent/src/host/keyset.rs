//! The sealed keyset: bytes that this process cannot open, and must neither lose nor replace.
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use dauth_protocol::host::{KeysetOrder, Order};
use http::StatusCode;

use super::{OCTETS, Reply, bytes, problem, status};

/// Where the keyset lies. Beside it, `<file>.create` orders its creation.
#[derive(Clone, Debug)]
pub struct KeysetFile {
    file: PathBuf,
    writing: Arc<Mutex<()>>,
}

/// What became of a keyset that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is on disk.
    New,
    /// There is one already; nothing was written.
    AlreadyThere,
}

impl KeysetFile {
    /// The keyset in `file`, which need not exist.
    pub fn new(file: PathBuf) -> Self {
        Self {
            file,
            writing: Arc::default(),
        }
    }

    /// What to do at boot.
    pub async fn order(&self) -> Order {
        let exists = |path: PathBuf| async move { tokio::fs::try_exists(path).await };
        let there = exists(self.file.clone()).await;
        let ordered = exists(self.beside("create")).await;
        let keyset = match (there, ordered) {
            (Ok(false), Ok(true)) => KeysetOrder::Create,
            _ => KeysetOrder::Load,
        };
        Order { keyset }
    }

    /// Stores `keyset` unless there is one: whole or not at all, and on disk when this returns.
    pub fn store(&self, keyset: &[u8]) -> io::Result<Stored> {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let new = self.beside("new");
        remove(&new)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(keyset)?;
        file.sync_all()?;
        // A link, unlike a rename, fails when the name is taken.
        let linked = fs::hard_link(&new, &self.file);
        remove(&new)?;
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Ok(Stored::AlreadyThere);
            }
            Err(error) => return Err(error),
        }
        self.sync_folder()?;
        remove(&self.beside("create"))?;
        self.sync_folder()?;
        Ok(Stored::New)
    }

    pub(super) async fn reply(&self) -> Reply {
        match tokio::fs::read(&self.file).await {
            Ok(keyset) => bytes(keyset, OCTETS),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                problem(StatusCode::NOT_FOUND, "there is no keyset yet")
            }
            Err(error) => {
                tracing::error!("cannot read the keyset {}: {error}", self.file.display());
                problem(StatusCode::SERVICE_UNAVAILABLE, "the keyset cannot be read")
            }
        }
    }

    pub(super) async fn put(&self, keyset: Bytes) -> Reply {
        let this = self.clone();
        match tokio::task::spawn_blocking(move || this.store(&keyset)).await {
            Ok(Ok(Stored::New)) => {
                tracing::info!("stored the keyset in {}", self.file.display());
                status(StatusCode::CREATED)
            }
            Ok(Ok(Stored::AlreadyThere)) => {
                problem(StatusCode::PRECONDITION_FAILED, "there is a keyset already")
            }
            Ok(Err(error)) => {
                tracing::error!("cannot store the keyset {}: {error}", self.file.display());
                problem(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the keyset cannot be stored",
                )
            }
            Err(_) => problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the keyset was not stored",
            ),
        }
    }

    fn beside(&self, extension: &str) -> PathBuf {
        let mut name = self.file.clone().into_os_string();
        name.push(".");
        name.push(extension);
        name.into()
    }

    fn sync_folder(&self) -> io::Result<()> {
        match self.file.parent() {
            Some(folder) if folder != Path::new("") => File::open(folder)?.sync_all(),
            _ => File::open(".")?.sync_all(),
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn creation_is_ordered_once() {
        let folder = tempfile::tempdir().unwrap();
        let keyset = KeysetFile::new(folder.path().join("keyset"));
        assert_eq!(keyset.order().await.keyset, KeysetOrder::Load);
        fs::write(folder.path().join("keyset.create"), "").unwrap();
        assert_eq!(keyset.order().await.keyset, KeysetOrder::Create);
        assert_eq!(keyset.store(b"first").unwrap(), Stored::New);
        assert_eq!(keyset.order().await.keyset, KeysetOrder::Load);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // The order given again, by mistake, does not replace what there is.
        fs::write(folder.path().join("keyset.create"), "").unwrap();
        assert_eq!(keyset.order().await.keyset, KeysetOrder::Load);
    }

    #[test]
    fn of_many_writers_one_wins_and_its_bytes_stay() {
        let folder = tempfile::tempdir().unwrap();
        let keyset = KeysetFile::new(folder.path().join("keyset"));
        let writers: Vec<_> = (0..8)
            .map(|n| {
                // Each as if it were a process of its own, but for the temporary name.
                let keyset = keyset.clone();
                std::thread::spawn(move || (n, keyset.store(&[n; 1000]).unwrap()))
            })
            .collect();
        let results: Vec<_> = writers.into_iter().map(|w| w.join().unwrap()).collect();
        let winners: Vec<_> = results.iter().filter(|(_, s)| *s == Stored::New).collect();
        assert_eq!(winners.len(), 1);
        let path = folder.path().join("keyset");
        assert_eq!(fs::read(&path).unwrap(), vec![winners[0].0; 1000]);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_crash_before_the_end_leaves_no_keyset_behind() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("keyset.new"), "half").unwrap();
        let keyset = KeysetFile::new(folder.path().join("keyset"));
        assert_eq!(keyset.store(b"whole").unwrap(), Stored::New);
        assert_eq!(fs::read(folder.path().join("keyset")).unwrap(), b"whole");
    }
}

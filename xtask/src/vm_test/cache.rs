//! A folder outside of the repository, with what takes long to make.
use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::command::Failure;

/// The cache, held by this process alone.
pub(crate) struct Cache {
    folder: PathBuf,
    _lock: File,
}

/// Something made by a recipe; another recipe makes another entry.
pub(crate) struct Entry {
    folder: PathBuf,
    scratch: PathBuf,
}

impl Cache {
    /// `$XDG_CACHE_HOME/dauth/vm`. Waits for another run that uses it.
    pub(crate) fn open() -> Result<Self, Failure> {
        let absolute = |path: &PathBuf| path.is_absolute();
        let folder = env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(absolute)
            .or_else(|| Some(env::home_dir()?.join(".cache")).filter(absolute))
            .ok_or_else(|| Failure::new("there is no home folder for a cache"))?
            .join("dauth/vm");
        Self::at(folder)
    }

    fn at(folder: PathBuf) -> Result<Self, Failure> {
        let failed = failed_at(&folder);
        fs::create_dir_all(&folder).map_err(&failed)?;
        let lock = File::create(folder.join("lock")).map_err(&failed)?;
        if lock.try_lock().is_err() {
            println!(
                "xtask: waits for another run that uses {}",
                folder.display()
            );
            lock.lock().map_err(&failed)?;
        }
        drop(failed);
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// The entry `name` as this recipe makes it.
    pub(crate) fn entry(&self, name: &str, recipe: &str) -> Entry {
        let digest = hex::encode(Sha256::digest(recipe));
        let key = digest.get(..12).unwrap_or_default();
        Entry {
            folder: self.folder.join(format!("{name}-{key}")),
            scratch: self.scratch(name),
        }
    }

    /// A folder for what every run brings up to date.
    pub(crate) fn lasting(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A folder for what is needed once.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.folder.join("scratch").join(name)
    }
}

impl Entry {
    /// Where it is, or will be.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it has been made, to its end.
    pub(crate) fn is_there(&self) -> bool {
        self.folder.is_dir()
    }

    /// Makes it, unless it is there. `make` gets a folder to work in and one to fill, both empty; an
    /// entry that was half made is none.
    pub(crate) fn make(
        &self,
        make: impl FnOnce(&Path, &Path) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.is_there() {
            return Ok(());
        }
        let failed = failed_at(&self.scratch);
        let (work, filled) = (self.scratch.join("work"), self.scratch.join("filled"));
        remove(&self.scratch).map_err(&failed)?;
        fs::create_dir_all(&work).map_err(&failed)?;
        fs::create_dir_all(&filled).map_err(&failed)?;
        make(&work, &filled)?;
        fs::rename(&filled, &self.folder).map_err(&failed)?;
        remove(&self.scratch).map_err(&failed)
    }
}

/// Removes a folder, if there is one.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn failed_at(folder: &Path) -> impl Fn(io::Error) -> Failure {
    let folder = folder.display().to_string();
    move |error| Failure::new(format!("{folder}: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panic")]
    use super::*;

    #[test]
    fn an_entry_is_made_once_for_each_recipe_and_never_by_half() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("cache")).unwrap();
        let entry = cache.entry("tool", "recipe");
        let broken = entry.make(|_, filled| {
            fs::write(filled.join("half"), "").unwrap();
            Err(Failure::new("broken"))
        });
        assert!(broken.is_err() && !entry.is_there());

        entry
            .make(|work, filled| {
                assert!(fs::read_dir(work).unwrap().next().is_none());
                assert!(fs::read_dir(filled).unwrap().next().is_none());
                fs::write(filled.join("tool"), "made").unwrap();
                Ok(())
            })
            .unwrap();
        assert!(entry.folder().join("tool").exists());
        let again = cache.entry("tool", "recipe");
        again.make(|_, _| Err(Failure::new("made again"))).unwrap();
        assert!(!cache.entry("tool", "another recipe").is_there());
    }
}

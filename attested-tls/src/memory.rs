//! What a client remembers of an enclave's keyset, so that an older one is noticed.
mod file;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use dauth_protocol::KeyConfiguration;
use serde::{Deserialize, Serialize};

use crate::EvidenceError;

/// Audiences that one memory holds. Expectations name them, hence nobody else adds any.
const MAX_AUDIENCES: usize = 256;

/// The keyset and its highest generation that a client has seen, for each audience.
///
/// A keyset file lies on the parent's disk, and a parent can put an old one back: keys that were
/// retired would be in use again. It can have the old one changed until its number is high enough,
/// which its history tells. It can also have a keyset made anew. The enclave cannot tell, for
/// it remembers nothing; clients that saw a later one can.
///
/// The first keyset seen of an audience is believed. What was seen is noted by [`crate::connect()`]
/// alone, after all else held: evidence that a relay copied teaches nothing.
#[derive(Debug)]
pub struct KeysetMemory {
    place: Place,
    seen: Mutex<Seen>,
}

/// Where a memory is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this process, for as long as it runs.
    Process,
    /// In a file, shared with other processes.
    File(PathBuf),
}

/// What is remembered, as in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// Always 1.
    version: u64,
    /// By audience.
    keysets: BTreeMap<String, SeenKeyset>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeenKeyset {
    /// Hexadecimal.
    id: String,
    /// The highest that was seen.
    generation: u64,
    /// What names it in the history of later ones: hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

/// Why a memory cannot be used. Evidence is then refused: what is not known cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum KeysetMemoryError {
    /// The file cannot be read, locked or written.
    #[error("the keysets seen so far, {path}: {source}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file does not hold what it should.
    #[error(
        "the keysets seen so far, {path}: the file is damaged; put a copy back, or remove it to \
         trust the next keyset that an attested enclave shows", path = .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Too many audiences.
    #[error("{place} holds {MAX_AUDIENCES} audiences already; remove those that are not used")]
    Full {
        /// Which memory.
        place: Place,
    },
    /// The process is ending.
    #[error("the keysets seen so far could not be noted: the program is ending")]
    Interrupted,
}

impl KeysetMemory {
    /// A memory that lasts as long as this process.
    pub fn in_process() -> Self {
        Self::at(Place::Process)
    }

    /// A memory in a file that this user alone can read, made when there is something to note.
    ///
    /// Several processes may share it. Beside it lies `<file>.lock`.
    pub fn in_file(path: impl Into<PathBuf>) -> Self {
        Self::at(Place::File(path.into()))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            seen: Mutex::new(Seen::default()),
        }
    }

    /// Where it is kept.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Refuses another keyset, and an older generation, than was seen of this audience.
    pub(crate) fn compare(&self, keys: &KeyConfiguration) -> Result<(), EvidenceError> {
        self.judge(&self.known()?, keys).map(drop)
    }

    /// Compares, and keeps the generation if it is higher than what was seen.
    pub(crate) async fn note(
        self: &Arc<Self>,
        keys: &KeyConfiguration,
    ) -> Result<(), EvidenceError> {
        let Place::File(path) = &self.place else {
            return self.advance(&mut self.lock(), keys).map(drop);
        };
        if let News::None = self.judge(&file::read(path)?, keys)? {
            return Ok(());
        }
        // Another process may hold the file's lock.
        let (memory, keys, path) = (Arc::clone(self), keys.clone(), path.clone());
        tokio::task::spawn_blocking(move || memory.note_in(&path, &keys))
            .await
            .map_err(|_| KeysetMemoryError::Interrupted)?
    }

    fn note_in(&self, path: &Path, keys: &KeyConfiguration) -> Result<(), EvidenceError> {
        let _lock = file::lock(path)?;
        let mut seen = file::read(path)?;
        match self.advance(&mut seen, keys)? {
            News::None => Ok(()),
            News::Some => Ok(file::write(path, &seen)?),
        }
    }

    fn advance(&self, seen: &mut Seen, keys: &KeyConfiguration) -> Result<News, EvidenceError> {
        let news = self.judge(seen, keys)?;
        if news == News::Some {
            let is_known = seen.keysets.contains_key(&keys.audience);
            if !is_known && seen.keysets.len() >= MAX_AUDIENCES {
                let place = self.place.clone();
                return Err(KeysetMemoryError::Full { place }.into());
            }
            let keyset = SeenKeyset {
                id: hex::encode(&keys.keyset_id),
                generation: keys.generation,
                digest: keys.history.first().map(hex::encode),
            };
            seen.keysets.insert(keys.audience.clone(), keyset);
        }
        Ok(news)
    }

    fn judge(&self, seen: &Seen, keys: &KeyConfiguration) -> Result<News, EvidenceError> {
        let Some(known) = seen.keysets.get(&keys.audience) else {
            return Ok(News::Some);
        };
        let found = hex::encode(&keys.keyset_id);
        if known.id != found {
            return Err(EvidenceError::OtherKeyset {
                expected: known.id.clone(),
                found,
                place: self.place.clone(),
            });
        }
        let Some(later_by) = keys.generation.checked_sub(known.generation) else {
            return Err(EvidenceError::OlderGeneration {
                seen: known.generation,
                found: keys.generation,
            });
        };
        if let Some(digest) = &known.digest {
            let at = usize::try_from(later_by).ok();
            let then = at.and_then(|at| keys.history.get(at)).map(hex::encode);
            if then.as_ref() != Some(digest) {
                return Err(EvidenceError::OtherHistory {
                    seen: known.generation,
                    found: keys.generation,
                    place: self.place.clone(),
                });
            }
        }
        // A memory of a version that knew no digests learns one.
        let has_digest = known.digest.is_some() || keys.history.is_empty();
        Ok(match later_by {
            0 if has_digest => News::None,
            _ => News::Some,
        })
    }

    fn known(&self) -> Result<Seen, KeysetMemoryError> {
        match &self.place {
            Place::Process => Ok(self.lock().clone()),
            Place::File(path) => file::read(path),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there is something to note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    None,
    Some,
}

impl Seen {
    const VERSION: u64 = 1;
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            version: Self::VERSION,
            keysets: BTreeMap::new(),
        }
    }
}

impl core::fmt::Display for Place {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Place::Process => f.write_str("this program's memory"),
            Place::File(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;

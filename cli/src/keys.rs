//! `dauth keys`: the keyset of an enclave, on the host of its parent.
use std::{
    io,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use dauth_parent::host::KeysetFile;

use crate::{
    failure::{Failure, sentence},
    profile,
};

mod change;
mod claims;
mod create;
mod missing;
mod order;
mod status;

/// Commands on a keyset.
#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Order the first keyset of a deployment, and wait until the enclave has made it.
    ///
    /// A boot without a keyset makes none: one that was lost would be replaced without a word, and
    /// every stored record with it. So this is ordered once, by hand. The enclave makes the keys and
    /// stores them under a KMS key that opens to its measured image alone; nobody else sees them.
    Create(create::Create),
    /// Replace keys by new ones: the next generation of the keyset.
    ///
    /// What was sealed to replaced keys stays readable, and calls go on meanwhile. Records move to
    /// the new record key as they are used. The new generation is sealed under a new data key of
    /// the KMS key that the deployment configuration names.
    Rotate(change::Rotate),
    /// Forget record keys that were replaced long ago.
    ///
    /// A record that is still sealed under a forgotten key cannot be opened again; its owner has to
    /// connect anew. Records that were called since their key was replaced are under the new one.
    Retire(change::Retire),
    /// Seal the same keys anew, under a new data key of the KMS key that is configured now.
    ///
    /// Use it after the deployment moved to another KMS key or image: the former ones stay in the
    /// configuration (`former_kms`, `predecessors`) until this, or `rotate`, is done.
    Rewrap(change::Rewrap),
    /// Say what a keyset holds, what is ordered of it, and whether the enclave serves it.
    Status(status::Status),
}

impl Keys {
    pub(crate) async fn run(&self, named: Option<&Path>) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(named).await,
            Self::Rotate(rotate) => rotate.run(named).await,
            Self::Retire(retire) => retire.run(named).await,
            Self::Rewrap(rewrap) => rewrap.run(named).await,
            Self::Status(status) => status.run(named).await,
        }
    }
}

/// Where the keyset is.
#[derive(Args)]
struct Place {
    /// The parent's keyset_file, on this host. The default is the profile's [operator] keyset.
    #[arg(long = "keyset", value_name = "PATH")]
    file: Option<PathBuf>,
}

impl Place {
    fn keyset(&self, named: Option<&Path>) -> Result<KeysetFile, Failure> {
        if let Some(file) = &self.file {
            return Ok(KeysetFile::new(file.clone()));
        }
        let profile = profile::at_hand(named)?.ok_or_else(|| {
            Failure::usage(
                "no keyset: name the parent's keyset_file with --keyset PATH, or a profile that \
                 has [operator] keyset with --profile FILE or $DAUTH_PROFILE",
            )
        })?;
        let file = profile.operator_keyset.ok_or_else(|| {
            Failure::usage(
                "the profile has no [operator] keyset: name the parent's keyset_file with \
                 --keyset PATH, on the host of the parent",
            )
        })?;
        Ok(KeysetFile::new(file))
    }
}

/// The keyset's bytes, if there is one.
fn read(keyset: &KeysetFile) -> Result<Option<Vec<u8>>, Failure> {
    keyset.read().map_err(|e| {
        let file = keyset.path().display();
        let remedy = remedy(&e);
        Failure::refused(format!("cannot read the keyset {file}: {e}{remedy}"))
    })
}

/// What to do where this user may not use the parent's files.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; run this as the parent's user",
        _ => "",
    }
}

/// What the keyset claims to be.
fn claims(keyset: &KeysetFile) -> Result<claims::Claims, Failure> {
    let bytes = read(keyset)?.ok_or_else(|| missing::failure(keyset))?;
    claims::Claims::read(&bytes).map_err(|e| {
        let file = keyset.path().display();
        Failure::refused(format!("{file} is not a keyset: {}", sentence(&e)))
    })
}

/// The file is of the past, and the enclave that runs is not.
fn old_copy(served: u64, held: u64) -> String {
    format!(
        "the enclave serves generation {served}, and the file holds generation {held}: an old copy \
         was put back; put the later one there before the enclave boots again, or clients that saw \
         it will refuse"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_user_helps_where_this_one_may_not_read_and_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        // It is a directory.
        let failure = read(&KeysetFile::new(folder.path().to_owned())).unwrap_err();
        assert!(!failure.to_string().contains("user"), "{failure}");
        assert!(remedy(&io::ErrorKind::PermissionDenied.into()).contains("user"));
    }
}

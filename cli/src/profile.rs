//! Which profile a command uses.
use std::{
    env,
    path::{Path, PathBuf},
};

use dauth_client::{Owner, Profile};

use crate::failure::{Failure, sentence};

/// The profile's owner; `ingress` takes the place of the profile's.
pub(crate) fn owner(named: Option<&Path>, ingress: Option<&str>) -> Result<Owner, Failure> {
    let mut profile = load(named)?;
    if let Some(ingress) = ingress {
        ingress.clone_into(&mut profile.ingress);
    }
    Owner::new(&profile).map_err(|e| Failure::refused(sentence(&e)))
}

/// The profile, where one is named.
pub(crate) fn at_hand(named: Option<&Path>) -> Result<Option<Profile>, Failure> {
    match file(named) {
        Some(_) => load(named).map(Some),
        None => Ok(None),
    }
}

/// The profile, which must be named.
pub(crate) fn load(named: Option<&Path>) -> Result<Profile, Failure> {
    let file = file(named).ok_or_else(|| {
        Failure::usage(
            "no profile: name one with --profile FILE or $DAUTH_PROFILE \
             (`dauth simulate` prints the path of the one that it writes)",
        )
    })?;
    Profile::load(&file).map_err(|e| Failure::refused(sentence(&e)))
}

fn file(named: Option<&Path>) -> Option<PathBuf> {
    named
        .map(Path::to_owned)
        .or_else(|| env::var_os("DAUTH_PROFILE").map(PathBuf::from))
}

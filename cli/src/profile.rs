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

fn load(named: Option<&Path>) -> Result<Profile, Failure> {
    let file = match named {
        Some(file) => file.to_owned(),
        None => env::var_os("DAUTH_PROFILE")
            .map(PathBuf::from)
            .ok_or_else(|| {
                Failure::usage(
                    "no profile: name one with --profile FILE or $DAUTH_PROFILE \
                 (`dauth simulate` prints the path of the one that it writes)",
                )
            })?,
    };
    Profile::load(&file).map_err(|e| Failure::refused(sentence(&e)))
}

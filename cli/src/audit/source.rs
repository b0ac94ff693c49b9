//! What is verified, and what it is verified against, as it lies in files.
use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use dauth_client::{Evidence, EvidenceError, Profile, audit};
use dauth_protocol::{
    KeyConfiguration,
    audit::ReceiptsPage,
    limit::{MAX_DOCUMENT_BYTES, MAX_KEY_CONFIGURATION_BYTES},
};

use crate::{
    failure::{Failure, sentence},
    output::shown,
};

/// A hundred thousand receipts, about.
const MAX_PAGES_BYTES: u64 = 256 << 20;
/// Document and key configuration in base64, and the JSON around them.
const MAX_EVIDENCE_BYTES: u64 = 2 * (MAX_DOCUMENT_BYTES + MAX_KEY_CONFIGURATION_BYTES) as u64;

/// The pages in `file`, or on standard input for `-`.
pub(super) fn pages(file: &Path) -> Result<Vec<ReceiptsPage>, Failure> {
    let bytes = read(file, MAX_PAGES_BYTES)?;
    audit::parse(&bytes).map_err(|error| {
        let (name, reason) = (name_of(file), shown(&sentence(&error)));
        Failure::refused(format!("{name}: {reason}"))
    })
}

/// The keys of evidence that was kept, as the profile trusts it at a time.
pub(super) fn kept_keys(
    file: &Path,
    profile: &Profile,
    at_ms: u64,
) -> Result<KeyConfiguration, Failure> {
    let expectations = (profile.expectations()).map_err(|e| Failure::refused(sentence(&e)))?;
    let bytes = read(file, MAX_EVIDENCE_BYTES)?;
    let keys = Evidence::from_json(&bytes)
        .and_then(|evidence| evidence.appraise_kept(&expectations, at_ms))
        .map_err(|error| {
            let (name, reason) = (name_of(file), sentence(&error));
            Failure::refused(format!("{name}: {reason}{}", remedy(&error)))
        })?;
    Ok(keys.key_configuration().clone())
}

fn remedy(error: &EvidenceError) -> &'static str {
    match error {
        EvidenceError::Malformed => {
            "; it should be what /.well-known/dauth/evidence answered, in JSON"
        }
        EvidenceError::Document(
            dauth_attestation::Error::Expired { .. } | dauth_attestation::Error::NotYetValid { .. },
        ) => "; name the time to judge it at with --at",
        _ => "",
    }
}

/// How messages name a file.
pub(super) fn name_of(file: &Path) -> String {
    if file == Path::new("-") {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    }
}

fn read(file: &Path, max: u64) -> Result<Vec<u8>, Failure> {
    let name = name_of(file);
    let bytes =
        bytes_of(file, max).map_err(|e| Failure::refused(format!("cannot read {name}: {e}")))?;
    if bytes.len() as u64 > max {
        return Err(Failure::refused(format!(
            "{name} is longer than {max} bytes, and is not read; `dauth audit fetch --handle` gets \
             the receipts of one connection"
        )));
    }
    Ok(bytes)
}

fn bytes_of(file: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        io::stdin().take(max + 1).read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|f| f.take(max + 1).read_to_end(&mut bytes))
    }?;
    Ok(bytes)
}

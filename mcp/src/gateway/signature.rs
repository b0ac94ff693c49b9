//! How a deployment authenticates: HMAC-SHA256 over `"{timestamp}:{deployment}:{sha256hex(body)}"`.
use std::path::Path;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use dauth_token::{ReplayCache, ReplayError};
use http::HeaderMap;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::configuration::{ConfigurationError, content, read};

const TIMESTAMP: &str = "x-dedalus-timestamp";
const DEPLOYMENT: &str = "x-dedalus-deployment";
const SIGNATURE: &str = "x-dedalus-signature";
/// How far a timestamp may lie from our clock, either way.
const WINDOW_S: u64 = 120;
const MIN_SECRET_BYTES: usize = 16;
const MAX_FIELD_BYTES: usize = 256;

/// A deployment's HMAC key.
pub(super) struct Secret(hmac::Key);

impl Secret {
    pub(super) fn load(file: &Path) -> Result<Self, ConfigurationError> {
        let text = read(file)?;
        let bytes = STANDARD
            .decode(text.trim_ascii())
            .map(Zeroizing::new)
            .map_err(|_| content(file, "it is not base64"))?;
        if bytes.len() < MIN_SECRET_BYTES {
            return Err(content(file, "it has fewer than 16 bytes"));
        }
        Ok(Self::new(&bytes))
    }

    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    #[cfg(test)]
    pub(super) fn sign(&self, timestamp: &str, deployment: &str, body: &[u8]) -> String {
        let message = message(timestamp, deployment, body);
        hex::encode(hmac::sign(&self.0, message.as_bytes()))
    }
}

/// Why a request is not a deployment's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SignatureError {
    /// A field is missing, repeated or malformed.
    #[error("one field each is needed of X-Dedalus-Timestamp, -Deployment and -Signature")]
    Fields,
    /// Too old, or from the future.
    #[error("the timestamp is more than {WINDOW_S} seconds off")]
    Timestamp,
    /// Unknown deployment or wrong HMAC: nobody is told which.
    #[error("the deployment or its signature is wrong")]
    Wrong,
    /// The very request was made before.
    #[error("the request was made before; two that differ in nothing need two timestamps")]
    Replayed,
    /// No more requests can be remembered, of this deployment or of all.
    #[error("too many requests were made within {WINDOW_S} seconds; try again later")]
    TooMany,
}

impl From<ReplayError> for SignatureError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Replayed => SignatureError::Replayed,
            ReplayError::Full | ReplayError::Quota => SignatureError::TooMany,
            ReplayError::Expired => SignatureError::Timestamp,
        }
    }
}

/// Whose call it is: the deployment's caller, by its token, which the signature does not cover.
#[derive(Clone, Copy)]
pub(super) struct CallersToken<'a>(pub(super) &'a str);

/// The three fields of a request, not verified yet.
pub(super) struct Signed<'a> {
    timestamp: &'a str,
    timestamp_s: u64,
    deployment: &'a str,
    signature: [u8; 32],
}

impl<'a> Signed<'a> {
    pub(super) fn read(headers: &'a HeaderMap) -> Result<Self, SignatureError> {
        let timestamp = field(headers, TIMESTAMP)?;
        let is_number = !timestamp.is_empty() && timestamp.bytes().all(|b| b.is_ascii_digit());
        if !is_number {
            return Err(SignatureError::Fields);
        }
        let mut signature = [0; 32];
        hex::decode_to_slice(field(headers, SIGNATURE)?, &mut signature)
            .map_err(|_| SignatureError::Fields)?;
        Ok(Self {
            timestamp,
            timestamp_s: timestamp.parse().map_err(|_| SignatureError::Fields)?,
            deployment: field(headers, DEPLOYMENT)?,
            signature,
        })
    }

    /// The deployment that the request claims to be from.
    pub(super) fn deployment(&self) -> &'a str {
        self.deployment
    }

    /// Whether the timestamp is near our clock.
    pub(super) fn check_time(&self, now_s: u64) -> Result<(), SignatureError> {
        if self.timestamp_s.abs_diff(now_s) > WINDOW_S {
            return Err(SignatureError::Timestamp);
        }
        Ok(())
    }

    /// Verifies the HMAC, in constant time.
    pub(super) fn verify(&self, secret: &Secret, body: &[u8]) -> Result<(), SignatureError> {
        let message = message(self.timestamp, self.deployment, body);
        hmac::verify(&secret.0, message.as_bytes(), &self.signature)
            .map_err(|_| SignatureError::Wrong)
    }

    /// Lets a request pass once for each caller: two that make the same call in one second are two.
    ///
    /// Call it after signature and token have verified: only a deployment's own requests for callers
    /// of its own are remembered.
    pub(super) fn remember(
        &self,
        token: CallersToken<'_>,
        now_s: u64,
        replays: &ReplayCache,
    ) -> Result<(), SignatureError> {
        // What the issuer signed, without its signature: an ECDSA signature can be rewritten to
        // another that verifies too.
        let signed = token
            .0
            .rsplit_once('.')
            .map_or(token.0, |(signed, _)| signed);
        let key = Sha256::new_with_prefix(self.signature).chain_update(signed);
        let quota = Sha256::digest(self.deployment).into();
        let expires_s = self.timestamp_s.saturating_add(WINDOW_S);
        Ok(replays.insert(key.finalize().into(), quota, expires_s, now_s)?)
    }
}

fn message(timestamp: &str, deployment: &str, body: &[u8]) -> String {
    let digest = hex::encode(Sha256::digest(body));
    format!("{timestamp}:{deployment}:{digest}")
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, SignatureError> {
    let mut fields = headers.get_all(name).iter();
    match (fields.next().and_then(|f| f.to_str().ok()), fields.next()) {
        (Some(field), None) if field.len() <= MAX_FIELD_BYTES => Ok(field),
        _ => Err(SignatureError::Fields),
    }
}

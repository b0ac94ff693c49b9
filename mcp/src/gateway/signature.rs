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
    #[error("{0}; requests that differ in nothing can be told apart by their timestamp alone")]
    Replay(ReplayError),
}

impl SignatureError {
    pub(super) fn is_replay(self) -> bool {
        matches!(self, SignatureError::Replay(_))
    }
}

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

    /// Verifies time, HMAC (in constant time) and being the first of its kind, in this order:
    /// only a deployment's own requests are remembered.
    pub(super) fn verify(
        &self,
        secret: Option<&Secret>,
        body: &[u8],
        now_s: u64,
        replays: &ReplayCache,
    ) -> Result<(), SignatureError> {
        let nobody = Secret::new(&[0; 32]);
        let key = &secret.unwrap_or(&nobody).0;
        let message = message(self.timestamp, self.deployment, body);
        let verified = hmac::verify(key, message.as_bytes(), &self.signature);
        if verified.is_err() || secret.is_none() {
            return Err(SignatureError::Wrong);
        }
        if self.timestamp_s.abs_diff(now_s) > WINDOW_S {
            return Err(SignatureError::Timestamp);
        }
        let quota = Sha256::digest(self.deployment).into();
        let expires_s = self.timestamp_s + WINDOW_S;
        replays
            .insert(self.signature, quota, expires_s, now_s)
            .map_err(SignatureError::Replay)
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

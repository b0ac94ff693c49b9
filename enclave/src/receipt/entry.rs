//! What is known of a call that has ended.
use aws_lc_rs::hmac;
use dauth_protocol::{
    Fingerprint, Handle, Owner, RequestPath,
    audit::{BootId, CallReceipt, Ending, MarkKey, Outcome, ReceiptId, Reflection},
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    keyset::{ReceiptKey, ReceiptKeyError},
    open::ConnectionName,
};

/// Longer texts are given by their hash: tokens and policies bound them well beyond what a receipt
/// has room for.
const MAX_TOKEN_ID_BYTES: usize = 64;
const MAX_SERVER_BYTES: usize = 256;
/// A policy has no longer ones, but a call that it refuses may.
const MAX_METHOD_BYTES: usize = 32;

const PATH_PURPOSE: &[u8] = b"dauth-path-hash-v1";
const MARK_PURPOSE: &[u8] = b"dauth-receipt-mark-key-v1";

/// Who called what.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) connection: ConnectionName,
    pub(crate) owner: Owner,
    pub(crate) handle: Handle,
    pub(crate) fingerprint: Fingerprint,
    /// Thumbprint of the key that the caller proved.
    pub(crate) caller: String,
    /// The MCP server that called.
    pub(crate) server: Option<String>,
    pub(crate) token_id: String,
    pub(crate) method: String,
    /// Below the base URL, without query.
    pub(crate) path: RequestPath,
}

/// A call that has ended.
pub(super) struct Entry {
    pub(super) id: ReceiptId,
    pub(super) subject: Subject,
    pub(super) ordinal: u64,
    pub(super) outcome: Outcome,
    pub(super) ending: Ending,
    pub(super) reflection: Reflection,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) started_ms: u64,
    pub(super) duration_ms: u64,
}

/// A receipt's place in a chain.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) boot: BootId,
    pub(super) sequence: u64,
}

impl Entry {
    /// The receipt, with what `key` makes of the connection and the path.
    pub(super) fn receipt(
        &self,
        place: Place,
        key: &ReceiptKey,
    ) -> Result<CallReceipt, ReceiptKeyError> {
        let subject = &self.subject;
        let path_key = subject.derive::<32>(PATH_PURPOSE, key)?;
        let path_key = hmac::Key::new(hmac::HMAC_SHA256, path_key.as_slice());
        let path_hash = hmac::sign(&path_key, subject.path.as_str().as_bytes());
        let path_hash: [u8; 32] = path_hash.as_ref().try_into().map_err(|_| ReceiptKeyError)?;
        let mark_key = MarkKey::from(*subject.derive::<16>(MARK_PURPOSE, key)?);
        Ok(CallReceipt {
            layout: 1,
            boot: place.boot,
            sequence: place.sequence,
            ordinal: self.ordinal,
            id: self.id,
            handle: subject.handle.clone(),
            owner: subject.owner.subject.clone(),
            fingerprint: subject.fingerprint,
            caller: subject.caller.clone(),
            server: subject.server.clone(),
            token_id: subject.token_id.clone(),
            method: subject.method.clone(),
            path_hash: path_hash.into(),
            mark_key,
            outcome: self.outcome,
            ending: self.ending,
            reflection: self.reflection,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            started_ms: self.started_ms,
            duration_ms: self.duration_ms,
        })
    }
}

impl Subject {
    /// The same, with texts that a receipt has room for. Before it waits for its place: a caller
    /// chooses the method, and many receipts may wait.
    pub(super) fn fitted(self) -> Self {
        let fit_server = |server| fitted(server, MAX_SERVER_BYTES);
        Self {
            server: self.server.map(fit_server),
            token_id: fitted(self.token_id, MAX_TOKEN_ID_BYTES),
            method: fitted(self.method, MAX_METHOD_BYTES),
            ..self
        }
    }

    /// A key of this connection for one purpose.
    fn derive<const N: usize>(
        &self,
        purpose: &[u8],
        key: &ReceiptKey,
    ) -> Result<Zeroizing<[u8; N]>, ReceiptKeyError> {
        let mut info = purpose.to_vec();
        let Owner {
            issuer, subject, ..
        } = &self.owner;
        for part in [issuer, subject, self.handle.as_str()] {
            info.extend_from_slice(&(part.len() as u64).to_be_bytes());
            info.extend_from_slice(part.as_bytes());
        }
        key.derive(&info)
    }
}

/// A text of at most `max` bytes: itself, or its hash.
fn fitted(text: String, max: usize) -> String {
    if text.len() <= max {
        text
    } else {
        format!("sha256:{}", hex::encode(Sha256::digest(text)))
    }
}

//! Receipts of calls, and the chain in which an enclave signs for them.
//!
//! Every call that opened a record leaves one [`CallReceipt`]. All receipts of one boot stand in a
//! chain, `c₀ = SHA-256(purpose ‖ boot)`, `cₙ = SHA-256(cₙ₋₁ ‖ SHA-256(receiptₙ))`, and an enclave
//! signs the chain's head after each batch ([`ChainHead`]). Who has one owner's receipts, and of the
//! others in their batches the digests alone, can check that none was changed, moved or made up. A
//! head also carries a [`Mark`] for each receipt, by which an owner sees that one in a batch is of a
//! connection of theirs and was kept back.
mod mark;

use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest as _, Sha256};

use crate::{
    Code, Fingerprint, Handle,
    cbor::{self, CborError},
    limit::{MAX_BATCH_BYTES, MAX_BATCH_RECEIPTS, MAX_CALL_RECEIPT_BYTES, MAX_CHAIN_HEAD_BYTES},
};

/// So many bytes, hexadecimal as text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hex<const N: usize>([u8; N]);

/// The text is not so many bytes in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a hexadecimal text of the right length")]
pub struct InvalidHex;

/// Names one boot of one enclave: random.
pub type BootId = Hex<16>;
/// `DAuth-Receipt-Id` of a call's reply: random.
pub type ReceiptId = Hex<16>;
/// A SHA-256, or an HMAC with it.
pub type Digest = Hex<32>;

pub use mark::Mark;

/// Under which a connection's receipts are marked: see [`Mark`].
pub type MarkKey = Hex<16>;

/// What the enclave says of one call, as CBOR in the chain and as JSON to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallReceipt {
    /// Layout: always 1.
    pub layout: u64,
    /// The boot.
    pub boot: BootId,
    /// The receipt's place among those of its boot: from 1. A gap is a receipt that was lost.
    pub sequence: u64,
    /// The call's place among those of its connection in this boot: from 1, and again from 1 when
    /// the enclave had to forget the connection. A gap is a receipt that was lost or is kept back.
    pub ordinal: u64,
    /// `DAuth-Receipt-Id` of the reply.
    pub id: ReceiptId,
    /// The connection.
    pub handle: Handle,
    /// Its owner: `sub` of the issuer's tokens.
    pub owner: String,
    /// The record that was opened.
    pub fingerprint: Fingerprint,
    /// RFC 7638 thumbprint of the key that the caller proved.
    pub caller: String,
    /// Resource identifier of the MCP server that called; none, when the owner did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// `jti` of the token.
    pub token_id: String,
    /// The method.
    pub method: String,
    /// HMAC-SHA256 of the path below the base URL, under a key that the enclave derives for the
    /// connection: the same path of one connection has the same hash, and nobody else can guess it.
    pub path_hash: Digest,
    /// The key of the connection's marks, which the enclave derives as it does the path's. Only
    /// those who see a receipt of the connection know it.
    pub mark_key: MarkKey,
    /// What the caller was answered with.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How the reply's body ended.
    pub ending: Ending,
    /// Whether the reply held the credential.
    pub reflection: Reflection,
    /// Bytes of the request's body that were sent upstream.
    pub request_bytes: u64,
    /// Bytes of the reply's body that the caller was given.
    pub response_bytes: u64,
    /// When the call came: Unix milliseconds.
    pub started_ms: u64,
    /// Until its reply had ended: milliseconds.
    pub duration_ms: u64,
}

/// What a caller was answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// The upstream answered.
    Answered {
        /// Its status.
        status: u16,
    },
    /// The enclave refused, or the upstream could not be asked.
    Refused {
        /// Why.
        code: Code,
    },
    /// With nothing: the caller left before there was an answer, or the enclave failed.
    Unanswered,
}

/// How a reply's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The caller was given all of it.
    Complete,
    /// The upstream broke off, sent too much, or what does not decode; or the call's time was over.
    Broken,
    /// The caller left before.
    Abandoned,
}

/// Whether a reply held the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reflection {
    /// No.
    None,
    /// It did, and was redacted.
    Redacted,
    /// It did, once too often: the connection is suspended until its owner rotates it.
    Suspended,
}

/// The payload of a signed chain head: a COSE_Sign1 (ES256) under the attested receipt key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainHead {
    /// Layout: always 1.
    pub layout: u64,
    /// Always `"dauth-receipts-v1"`, so that nothing else can be taken for a head.
    pub purpose: String,
    /// The boot.
    pub boot: BootId,
    /// [`CallReceipt::sequence`] of the batch's first receipt.
    pub first: u64,
    /// How many receipts are in the batch: from 1 to [`MAX_BATCH_RECEIPTS`].
    pub count: u64,
    /// The chain before the batch.
    pub previous: Digest,
    /// The chain after it.
    pub head: Digest,
    /// The [`Mark`] of each receipt of the batch, one after the other, in order.
    #[serde(with = "serde_bytes")]
    pub marks: Vec<u8>,
    /// When it was signed: Unix milliseconds.
    pub signed_ms: u64,
}

/// What the enclave hands over: a signed head and the receipts that led to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptBatch {
    /// The COSE_Sign1 of a [`ChainHead`].
    #[serde(with = "serde_bytes")]
    pub head: Vec<u8>,
    /// CBOR of each [`CallReceipt`], in the order of the chain.
    pub receipts: Vec<ByteBuf>,
}

/// One page of `GET /v1/receipts`: an owner's receipts, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptsPage {
    /// The receipts.
    pub receipts: Vec<StoredReceipt>,
    /// The batches that they are in.
    pub batches: Vec<StoredBatch>,
    /// What to ask for next (`after`); nothing, at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A receipt, as an owner gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredReceipt {
    /// The bytes that the chain is made of: padded base64.
    pub receipt: String,
    /// What they say, to be read. A verifier compares.
    #[serde(flatten)]
    pub details: CallReceipt,
}

/// A batch, as an owner gets it: of others' receipts there are digests alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBatch {
    /// The COSE_Sign1 of its [`ChainHead`]: padded base64.
    pub head: String,
    /// SHA-256 of each receipt in it, in order.
    pub digests: Vec<Digest>,
}

impl CallReceipt {
    /// Its mark, for the head of its batch.
    pub fn mark(&self) -> Mark {
        Mark::of(&self.mark_key, &self.boot, self.sequence)
    }

    /// The CBOR form.
    pub fn to_cbor(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes the CBOR form.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, CborError> {
        let receipt: Self = cbor::decode(bytes, MAX_CALL_RECEIPT_BYTES)?;
        match receipt.layout {
            1 => Ok(receipt),
            layout => Err(CborError::UnknownVersion(layout)),
        }
    }
}

impl ChainHead {
    /// The value of [`ChainHead::purpose`].
    pub const PURPOSE: &'static str = "dauth-receipts-v1";

    /// The chain of a boot before its first receipt.
    pub fn start(boot: &BootId) -> Digest {
        let mut hash = Sha256::new();
        hash.update(Self::PURPOSE);
        hash.update(boot.as_bytes());
        Hex(hash.finalize().into())
    }

    /// The chain after one more receipt, given as its SHA-256.
    pub fn next(chain: &Digest, receipt: &Digest) -> Digest {
        let mut hash = Sha256::new();
        hash.update(chain.as_bytes());
        hash.update(receipt.as_bytes());
        Hex(hash.finalize().into())
    }

    /// The marks of the batch's receipts, in order.
    pub fn marks(&self) -> impl Iterator<Item = Mark> + '_ {
        self.marks.chunks_exact(Mark::BYTES).map(Mark::read)
    }

    /// The CBOR form.
    pub fn to_cbor(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes the CBOR form.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, CborError> {
        let head: Self = cbor::decode(bytes, MAX_CHAIN_HEAD_BYTES)?;
        let is_bounded = (1..=MAX_BATCH_RECEIPTS as u64).contains(&head.count)
            && head.first >= 1
            && head.first.checked_add(head.count).is_some()
            && head.marks.chunks_exact(Mark::BYTES).len() as u64 == head.count
            && head.marks.len().is_multiple_of(Mark::BYTES);
        match (head.layout, head.purpose.as_str()) {
            (1, Self::PURPOSE) if is_bounded => Ok(head),
            (1, _) => Err(CborError::Malformed),
            (layout, _) => Err(CborError::UnknownVersion(layout)),
        }
    }
}

impl ReceiptBatch {
    /// The CBOR form.
    pub fn to_cbor(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes the CBOR form.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, CborError> {
        let batch: Self = cbor::decode(bytes, MAX_BATCH_BYTES)?;
        let is_bounded = (1..=MAX_BATCH_RECEIPTS).contains(&batch.receipts.len())
            && batch.head.len() <= MAX_CHAIN_HEAD_BYTES;
        if is_bounded {
            Ok(batch)
        } else {
            Err(CborError::Malformed)
        }
    }
}

impl Digest {
    /// The SHA-256 of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl<const N: usize> Hex<N> {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> From<[u8; N]> for Hex<N> {
    fn from(bytes: [u8; N]) -> Self {
        Self(bytes)
    }
}

impl<const N: usize> FromStr for Hex<N> {
    type Err = InvalidHex;

    fn from_str(text: &str) -> Result<Self, InvalidHex> {
        let mut bytes = [0; N];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidHex)?;
        Ok(Self(bytes))
    }
}

impl<const N: usize> TryFrom<String> for Hex<N> {
    type Error = InvalidHex;

    fn try_from(text: String) -> Result<Self, InvalidHex> {
        text.parse()
    }
}

impl<const N: usize> From<Hex<N>> for String {
    fn from(bytes: Hex<N>) -> Self {
        bytes.to_string()
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl<const N: usize> fmt::Debug for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;

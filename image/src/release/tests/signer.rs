//! A release key of a test: signs as `minisign -S` does.
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::STANDARD};
use blake2::{Blake2b512, Digest};

/// An Ed25519 key with its number.
pub(crate) struct Signer {
    key: Ed25519KeyPair,
    number: [u8; 8],
}

impl Signer {
    pub(crate) fn new(number: u8) -> Self {
        Self {
            key: Ed25519KeyPair::generate().unwrap(),
            number: [number; 8],
        }
    }

    /// The `.pub` file.
    pub(crate) fn public_key(&self) -> String {
        let key = [b"Ed", &self.number[..], self.key.public_key().as_ref()].concat();
        format!("untrusted comment: a test\n{}\n", STANDARD.encode(key))
    }

    /// The `.minisig` file.
    pub(crate) fn sign(&self, bytes: &[u8]) -> String {
        self.signature(*b"ED", &Blake2b512::digest(bytes))
    }

    /// A `.minisig` file of this algorithm, over this message.
    pub(crate) fn signature(&self, algorithm: [u8; 2], message: &[u8]) -> String {
        let comment = "a test";
        let signature = self.key.sign(message);
        let global = self
            .key
            .sign(&[signature.as_ref(), comment.as_bytes()].concat());
        let signed = [&algorithm[..], &self.number, signature.as_ref()].concat();
        format!(
            "untrusted comment: a test\n{}\ntrusted comment: {comment}\n{}\n",
            STANDARD.encode(signed),
            STANDARD.encode(global)
        )
    }
}

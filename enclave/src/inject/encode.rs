//! Encodings of a secret, in memory that is wiped.
use base64::{Engine, prelude::BASE64_STANDARD};

use crate::wipe::WipedBuffer;

/// The base64 of `bytes`, in memory that is wiped.
pub(crate) fn base64(bytes: &[u8]) -> WipedBuffer {
    let mut encoded = WipedBuffer::copy_of(&vec![0; bytes.len().div_ceil(3) * 4]);
    // The slice has the exact length, so nothing is left over and nothing fails.
    let _ = BASE64_STANDARD.encode_slice(bytes, encoded.as_mut_slice());
    encoded
}

/// Percent-encoded but for RFC 3986 section 2.3 unreserved characters.
pub(crate) fn percent_encoded(secret: &[u8]) -> WipedBuffer {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = WipedBuffer::with_capacity(secret.len() * 3);
    for &byte in secret {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.append(&[byte]);
        } else {
            let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
            encoded.append(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded
}

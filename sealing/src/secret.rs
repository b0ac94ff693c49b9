//! A credential in memory.
use dauth_protocol::limit::MAX_SECRET_BYTES;
use zeroize::Zeroizing;

use crate::SealError;

/// A credential: wiped when dropped, and printable, copyable or serializable in no way.
///
/// ```compile_fail,E0277
/// let secret = dauth_sealing::Secret::new(vec![1; 16]).unwrap();
/// println!("{secret:?}"); // no Debug
/// ```
/// ```compile_fail,E0277
/// let secret = dauth_sealing::Secret::new(vec![1; 16]).unwrap();
/// println!("{secret}"); // no Display
/// ```
/// ```compile_fail,E0599
/// let secret = dauth_sealing::Secret::new(vec![1; 16]).unwrap();
/// let copy = secret.clone(); // no Clone
/// ```
/// ```
/// let secret = dauth_sealing::Secret::new(vec![1; 16]).unwrap();
/// assert_eq!(secret.expose(), [1; 16]);
/// ```
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes over the bytes of a credential; they are wiped also when refused.
    pub fn new(bytes: Vec<u8>) -> Result<Self, SealError> {
        Self::from_wiped(Zeroizing::new(bytes))
    }

    /// The bytes. Whoever copies them answers for wiping the copy.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn from_wiped(bytes: Zeroizing<Vec<u8>>) -> Result<Self, SealError> {
        if (1..=MAX_SECRET_BYTES).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(SealError::SecretLength)
        }
    }

    /// A buffer with the bytes and room for a tag, to be encrypted in place.
    pub(crate) fn to_buffer(&self) -> Zeroizing<Vec<u8>> {
        let mut buffer = Zeroizing::new(Vec::with_capacity(self.0.len() + crate::cose::TAG_BYTES));
        buffer.extend_from_slice(&self.0);
        buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_a_length_within_bounds() {
        assert!(Secret::new(vec![0; 1]).is_ok());
        assert!(Secret::new(vec![0; MAX_SECRET_BYTES]).is_ok());
        for length in [0, MAX_SECRET_BYTES + 1] {
            let refused = Secret::new(vec![0; length]).map(drop);
            assert_eq!(refused, Err(SealError::SecretLength));
        }
    }
}

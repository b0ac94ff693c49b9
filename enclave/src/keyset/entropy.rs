//! Randomness for keys that live long.

use rand_core::{TryCryptoRng, TryRng};
use zeroize::{Zeroize, Zeroizing};

use super::KeysetError;
use crate::platform::Attester;

/// Bytes of the Nitro Secure Module, combined with those of the process's own generator, so that
/// neither alone decides a key.
pub(super) struct Entropy<'a> {
    attester: &'a dyn Attester,
}

/// One of the two sources failed.
#[derive(Debug, thiserror::Error)]
#[error("no randomness")]
pub(super) struct NoRandomness;

impl From<NoRandomness> for KeysetError {
    fn from(_: NoRandomness) -> Self {
        KeysetError::Generation
    }
}

impl<'a> Entropy<'a> {
    pub(super) fn new(attester: &'a dyn Attester) -> Self {
        Self { attester }
    }
}

impl TryRng for Entropy<'_> {
    type Error = NoRandomness;

    fn try_next_u32(&mut self) -> Result<u32, NoRandomness> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, NoRandomness> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        self.attester.random(bytes).map_err(|_| NoRandomness)?;
        let mut own = [0; 64];
        for chunk in bytes.chunks_mut(own.len()) {
            aws_lc_rs::rand::fill(&mut own).map_err(|_| NoRandomness)?;
            chunk
                .iter_mut()
                .zip(&own)
                .for_each(|(byte, own)| *byte ^= own);
        }
        own.zeroize();
        Ok(())
    }
}

impl TryCryptoRng for Entropy<'_> {}

/// Random bytes, wiped when dropped.
pub(super) fn random<const N: usize>(
    entropy: &mut Entropy<'_>,
) -> Result<Zeroizing<[u8; N]>, KeysetError> {
    let mut bytes = Zeroizing::new([0; N]);
    entropy.try_fill_bytes(bytes.as_mut_slice())?;
    Ok(bytes)
}

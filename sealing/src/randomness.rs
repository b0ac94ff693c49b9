//! A source of randomness that may fail, for a library that cannot say so.
use core::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

use crate::SealError;

/// Passes on what `source` yields and remembers a failure; [`Fallible::check`] tells of it.
///
/// After a failure it yields zeros, so what was made with it must be discarded.
pub(crate) struct Fallible<'a, R> {
    source: &'a mut R,
    outcome: Result<(), SealError>,
}

impl<'a, R: TryCryptoRng> Fallible<'a, R> {
    pub(crate) fn new(source: &'a mut R) -> Self {
        Self {
            source,
            outcome: Ok(()),
        }
    }

    pub(crate) fn check(self) -> Result<(), SealError> {
        self.outcome
    }
}

impl<R: TryCryptoRng> TryRng for Fallible<'_, R> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        if self.source.try_fill_bytes(bytes).is_err() {
            bytes.fill(0);
            self.outcome = Err(SealError::Randomness);
        }
        Ok(())
    }
}

impl<R: TryCryptoRng> TryCryptoRng for Fallible<'_, R> {}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A reproducible source for tests: SHA-256 in counter mode.
    pub(crate) struct Counter(u64);

    pub(crate) fn rng(seed: u64) -> Counter {
        Counter(seed << 32)
    }

    impl TryRng for Counter {
        type Error = Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            rand_core::utils::next_word_via_fill(self)
        }

        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            rand_core::utils::next_word_via_fill(self)
        }

        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
            use sha2::{Digest, Sha256};
            for chunk in bytes.chunks_mut(32) {
                self.0 += 1;
                let block = Sha256::digest(self.0.to_be_bytes());
                chunk.copy_from_slice(&block[..chunk.len()]);
            }
            Ok(())
        }
    }

    impl TryCryptoRng for Counter {}

    /// A source that fails.
    pub(crate) struct Broken;

    #[derive(Debug)]
    pub(crate) struct Failed;

    impl core::fmt::Display for Failed {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            f.write_str("failed")
        }
    }

    impl core::error::Error for Failed {}

    impl TryRng for Broken {
        type Error = Failed;

        fn try_next_u32(&mut self) -> Result<u32, Failed> {
            Err(Failed)
        }

        fn try_next_u64(&mut self) -> Result<u64, Failed> {
            Err(Failed)
        }

        fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Failed> {
            Err(Failed)
        }
    }

    impl TryCryptoRng for Broken {}
}

//! The system's random source, as `sealing` takes it.
use aws_lc_rs::rand;
use rand_core::{TryCryptoRng, TryRng};

/// aws-lc-rs's generator, seeded by the system.
#[derive(Debug)]
pub(crate) struct SystemSource;

/// The system's random source failed.
#[derive(Debug, thiserror::Error)]
#[error("this system's random source failed")]
pub(crate) struct SourceFailed;

impl TryRng for SystemSource {
    type Error = SourceFailed;

    fn try_next_u32(&mut self) -> Result<u32, SourceFailed> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, SourceFailed> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), SourceFailed> {
        rand::fill(bytes).map_err(|_| SourceFailed)
    }
}

impl TryCryptoRng for SystemSource {}

//! The module's registers: as the hypervisor must have left them, and as the boot leaves them.
use dauth_protocol::measurement::{CONFIGURATION_PCR, Pcr};

use crate::platform::{Attester, AttesterError};

/// Registers that name the image. In debug mode they are zero.
const IMAGE_PCRS: std::ops::Range<u16> = 0..3;
/// One past the last register of the hypervisor's.
const HYPERVISOR_END: u16 = 16;
/// One past the last register of all.
const PCR_END: u16 = 32;

/// Why nobody could believe this enclave's evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The module does not say.
    #[error("the registers of the Nitro Secure Module: {0}")]
    Attester(#[from] AttesterError),
    /// The console of the enclave can be read, and no evidence names its image.
    #[error("PCR{0} is zero: the enclave runs in debug mode; start it without --debug-mode")]
    DebugMode(u16),
    /// Who can run a program here could extend what the hypervisor measured.
    #[error("PCR{0} is not locked: nothing has measured this image")]
    Unlocked(u16),
    /// Something ran here before, and measured what it liked.
    #[error("PCR16 is not fresh: something else in this image has extended or locked it")]
    NotFresh,
    /// The module answers as if it had measured something else.
    #[error("PCR16 does not hold the configuration's measurement")]
    OtherMeasurement,
    /// The register could be extended later, and evidence would not have it.
    #[error("PCR{0} is not locked after the boot has measured")]
    StaysUnlocked(u16),
}

/// Whether this is an image that the hypervisor has measured, and in which nothing ran before. May
/// block.
pub(super) fn check_image(attester: &dyn Attester) -> Result<(), RegisterError> {
    for index in 0..HYPERVISOR_END {
        let register = attester.describe_pcr(index)?;
        if IMAGE_PCRS.contains(&index) && register.value == Pcr::ZERO {
            return Err(RegisterError::DebugMode(index));
        }
        if !register.locked {
            return Err(RegisterError::Unlocked(index));
        }
    }
    let register = attester.describe_pcr(CONFIGURATION_PCR)?;
    if register.locked || register.value != Pcr::ZERO {
        return Err(RegisterError::NotFresh);
    }
    Ok(())
}

/// Measures a digest of the configuration, and locks every register. May block.
pub(super) fn measure(
    attester: &dyn Attester,
    digest: &[u8],
    expected: &Pcr,
) -> Result<(), RegisterError> {
    attester.extend_pcr(CONFIGURATION_PCR, digest)?;
    attester.lock_pcrs(PCR_END)?;
    for index in HYPERVISOR_END..PCR_END {
        if !attester.describe_pcr(index)?.locked {
            return Err(RegisterError::StaysUnlocked(index));
        }
    }
    // What the module holds now counts, not what it said when it was extended.
    if attester.describe_pcr(CONFIGURATION_PCR)?.value != *expected {
        return Err(RegisterError::OtherMeasurement);
    }
    Ok(())
}

#[cfg(test)]
mod tests;

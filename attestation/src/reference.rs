//! What is expected to run (RFC 9334 section 8.3: reference values).
use std::collections::BTreeMap;

use sha2::{Digest, Sha384};

use crate::document::Pcrs;

/// The measurements of one release (RFC 9334 section 8.3).
///
/// A document matches when it has each of these PCRs with this value. A set without PCRs matches
/// nothing.
///
/// ```
/// use dauth_attestation::ReferenceValues;
///
/// let release = ReferenceValues::new()
///     .with_pcr(0, &[0x5a; 48])
///     .with_role_arn("arn:aws:iam::123456789012:role/Webserver");
/// assert_eq!(release.pcrs().map(|(index, _)| index).collect::<Vec<_>>(), [0, 3]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceValues {
    pcrs: BTreeMap<u16, Vec<u8>>,
}

impl ReferenceValues {
    /// No PCR yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires PCR `index` to have `value`.
    #[must_use]
    pub fn with_pcr(mut self, index: u16, value: &[u8]) -> Self {
        self.pcrs.insert(index, value.to_vec());
        self
    }

    /// Requires the image to be signed by the key of this certificate (DER): PCR8.
    ///
    /// Alone it says who signed an image, not which: an older image of the same signer, with a hole
    /// since closed, passes as well. Name PCR0 too where that matters, as for a key policy it does.
    #[must_use]
    pub fn with_signer(self, certificate_der: &[u8]) -> Self {
        let certificate = Sha384::digest(certificate_der);
        self.with_pcr(8, &extended_once(&certificate))
    }

    /// Requires the parent instance to have this IAM role: PCR3. It is zero without a role.
    #[must_use]
    pub fn with_role_arn(self, arn: &str) -> Self {
        self.with_pcr(3, &extended_once(arn.as_bytes()))
    }

    /// Requires the parent instance to be this one, as in `i-1234567890abcdef0`: PCR4.
    #[must_use]
    pub fn with_instance_id(self, id: &str) -> Self {
        self.with_pcr(4, &extended_once(id.as_bytes()))
    }

    /// The PCRs required, in order.
    pub fn pcrs(&self) -> impl Iterator<Item = (u16, &[u8])> {
        self.pcrs
            .iter()
            .map(|(&index, value)| (index, value.as_slice()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pcrs.is_empty()
    }

    /// The first PCR that differs.
    pub(crate) fn mismatch(&self, pcrs: &Pcrs<'_>) -> Option<u16> {
        self.pcrs()
            .find(|&(index, value)| pcrs.get(usize::from(index)) != Some(&Some(value)))
            .map(|(index, _)| index)
    }
}

/// A register that was zero and has been extended with `data`: SHA-384 of both.
fn extended_once(data: &[u8]) -> [u8; 48] {
    Sha384::new()
        .chain_update([0; 48])
        .chain_update(data)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex_of(release: &ReferenceValues, index: u16) -> String {
        release
            .pcrs()
            .find(|(found, _)| *found == index)
            .map(|(_, value)| value.iter().map(|byte| format!("{byte:02x}")).collect())
            .expect("PCR")
    }

    /// The example of the AWS Nitro Enclaves User Guide. PCR4, by the same formula, is compared with
    /// real documents in `tests/suite/real.rs`.
    #[test]
    fn the_role_is_measured_as_aws_says() {
        let release =
            ReferenceValues::new().with_role_arn("arn:aws:iam::123456789012:role/Webserver");
        assert_eq!(
            hex_of(&release, 3),
            "78fce75db17cd4e0a3fb8dad3ad128ca5e77edbb2b2c7f75329dccd99aa5f6ef4fc1f1a452e315b9e98f9e312e6921e6"
        );
    }

    /// PCR8 is SHA384(0^48 || SHA384(certificate)), as `eif_build` has it: like the image, the
    /// certificate is hashed before the register is extended. Expected value by `sha384sum`.
    #[test]
    fn the_signers_certificate_is_hashed_first() {
        let release = ReferenceValues::new().with_signer(b"certificate");
        assert_eq!(
            hex_of(&release, 8),
            "e2ad58e7a1a9fdb1dcd72ae5858372974416919245e567ea8f717937e8b914f644320b0f88dcfca2d7a83b5ee6c832dd"
        );
    }
}

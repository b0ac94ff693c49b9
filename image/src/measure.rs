//! The PCRs of an image.
use dauth_protocol::measurement::Pcr;
use sha2::{Digest, Sha384};

use crate::{error::SignatureError, parse::Eif, signature};

/// What the hypervisor measures of an image, and what `nitro-cli` prints of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurements {
    /// The whole image: kernel, command line and ramdisks.
    pub pcr0: Pcr,
    /// What boots: kernel, command line and the first ramdisk.
    pub pcr1: Pcr,
    /// The application: the other ramdisks.
    pub pcr2: Pcr,
    /// The certificate that signed the image, where one did.
    pub pcr8: Option<Pcr>,
}

impl Measurements {
    /// The registers by number.
    pub fn pcrs(&self) -> impl Iterator<Item = (u16, Pcr)> {
        [(0, self.pcr0), (1, self.pcr1), (2, self.pcr2)]
            .into_iter()
            .chain(self.pcr8.map(|pcr8| (8, pcr8)))
    }
}

impl Eif<'_> {
    /// The PCRs, after the signature was found right where there is one.
    pub fn measure(&self) -> Result<Measurements, SignatureError> {
        let [boot, application @ ..] = self.ramdisks() else {
            // `parse` leaves no image without a ramdisk.
            return Err(SignatureError::Malformed);
        };
        let started = [self.kernel(), self.cmdline().as_bytes(), boot];
        let pcr0 = extended(started.iter().chain(application));
        let pcr8 = match self.signature() {
            None => None,
            Some(section) => Some(extended(
                [signature::verify(section, pcr0)?.as_ref()].iter(),
            )),
        };
        Ok(Measurements {
            pcr0,
            pcr1: extended(started.iter()),
            pcr2: extended(application.iter()),
            pcr8,
        })
    }
}

/// A register that was zero and was extended with the SHA-384 of the parts, one after another.
fn extended<'a>(parts: impl Iterator<Item = &'a &'a [u8]>) -> Pcr {
    let mut hash = Sha384::new();
    for part in parts {
        hash.update(part);
    }
    Pcr::ZERO.extend(&hash.finalize())
}

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

#[cfg(test)]
mod tests {
    use crate::{Architecture, Eif, Image, Measurements, Metadata};

    fn measured(kernel: &[u8], cmdline: &str, ramdisks: &[Vec<u8>]) -> Measurements {
        let image = Image {
            architecture: Architecture::X86_64,
            kernel,
            cmdline,
            ramdisks,
            metadata: Metadata {
                name: "dauth",
                version: "1",
                build_time_s: 0,
            },
        };
        let eif = image.write().unwrap();
        Eif::parse(&eif).unwrap().measure().unwrap()
    }

    #[test]
    fn each_part_is_in_its_registers() {
        let ramdisks = |boot: &[u8], application: &[u8]| [boot.to_vec(), application.to_vec()];
        let plain = measured(b"kernel", "quiet", &ramdisks(b"boot", b"application"));
        let boot = measured(b"kernel", "quiet", &ramdisks(b"other", b"application"));
        let application = measured(b"kernel", "quiet", &ramdisks(b"boot", b"other"));
        let cmdline = measured(b"kernel", "debug", &ramdisks(b"boot", b"application"));
        for changed in [boot, application, cmdline] {
            assert_ne!(changed.pcr0, plain.pcr0);
        }
        assert_ne!(boot.pcr1, plain.pcr1);
        assert_ne!(cmdline.pcr1, plain.pcr1);
        assert_eq!(application.pcr1, plain.pcr1);
        assert_eq!(boot.pcr2, plain.pcr2);
        assert_ne!(application.pcr2, plain.pcr2);
        assert_eq!(plain.pcr8, None);
    }

    /// A limit of AWS's formula, said in docs/image.md: the SHA-256 of the file tells them apart.
    #[test]
    fn the_formula_does_not_see_where_kernel_ends_and_command_line_begins() {
        let ramdisks = [b"boot".to_vec()];
        let one = measured(b"kernel", "quiet", &ramdisks);
        assert_eq!(measured(b"kernelq", "uiet", &ramdisks), one);
    }
}

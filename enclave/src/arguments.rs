//! The one argument of the image's program. It is in the image (`/cmd`), so it is measured.

/// The parent on EC2 (Nitro Enclaves user guide: vsock).
const CID_ON_EC2: u32 = 3;

/// What the program is told. There is no configuration by environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The parent's CID: 3 on EC2, 2 under QEMU.
    pub(crate) parent_cid: u32,
}

/// Why the arguments are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArgumentError {
    /// Something else than `--parent-cid N`.
    #[error("usage: dauth-enclave [--parent-cid N]")]
    Usage,
    /// A CID at which no parent can be (vsock(7)): the hypervisor, this machine, any.
    #[error("--parent-cid: the CID of a parent is a number from 2 to 4294967294")]
    Cid,
}

impl Arguments {
    /// Reads the arguments after the program's name.
    pub(crate) fn parse(
        arguments: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, ArgumentError> {
        let mut arguments = arguments.into_iter();
        let mut next = || arguments.next();
        let parent_cid = match (next(), next(), next()) {
            (None, ..) => CID_ON_EC2,
            (Some(name), Some(value), None) if name.as_ref() == "--parent-cid" => {
                cid(value.as_ref())?
            }
            _ => return Err(ArgumentError::Usage),
        };
        Ok(Self { parent_cid })
    }
}

/// A CID in its one spelling: decimal digits, no sign, no zero in front.
fn cid(text: &str) -> Result<u32, ArgumentError> {
    text.parse()
        .ok()
        .filter(|cid: &u32| cid.to_string() == text)
        .filter(|cid| (libc::VMADDR_CID_HOST..libc::VMADDR_CID_ANY).contains(cid))
        .ok_or(ArgumentError::Cid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_where_ec2_has_it_unless_the_image_says_otherwise() {
        let cid = |arguments: &[&str]| Arguments::parse(arguments).map(|read| read.parent_cid);
        assert_eq!(cid(&[]), Ok(3));
        assert_eq!(cid(&["--parent-cid", "2"]), Ok(2));
        assert_eq!(cid(&["--parent-cid", "4294967294"]), Ok(4_294_967_294));
    }

    #[test]
    fn anything_else_is_refused() {
        for arguments in [
            &["--parent-cid"][..],
            &["--parent-cid=3"],
            &["--parent-cid", "3", "--parent-cid", "2"],
            &["--parent-cid", "3", "more"],
            &["--debug", "3"],
            &["3"],
            &[""],
        ] {
            assert_eq!(Arguments::parse(arguments), Err(ArgumentError::Usage));
        }
        for cid in [
            "",
            "0",
            "1",
            "4294967295",
            "4294967298",
            "-1",
            "+3",
            "03",
            "0x3",
            " 3",
            "3 ",
        ] {
            let read = Arguments::parse(["--parent-cid", cid]);
            assert_eq!(read, Err(ArgumentError::Cid), "{cid:?}");
        }
    }
}

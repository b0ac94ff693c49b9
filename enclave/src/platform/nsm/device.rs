//! The device of a Nitro enclave, and the randomness that it feeds to the kernel.
#![allow(unsafe_code)]

use std::{fs, io, os::unix::fs::FileTypeExt};

use aws_nitro_enclaves_nsm_api::{
    api::{Request, Response},
    driver::{nsm_exit, nsm_init, nsm_process_request},
};

use super::NsmDevice;

const DEVICE: &str = "/dev/nsm";
/// Which hardware feeds the kernel's pool (Linux: hw_random).
const RNG_CURRENT: &str = "/sys/class/misc/hw_random/rng_current";
/// The NSM's name there.
const NSM_RNG: &str = "nsm-hwrng";

/// `/dev/nsm`, through the driver of AWS.
pub struct NitroDevice {
    descriptor: i32,
}

/// Why there is no NSM.
#[derive(Debug, thiserror::Error)]
pub enum OpenNsmError {
    /// Not in an enclave, or the kernel has no driver.
    #[error("/dev/nsm is missing: this program runs in a Nitro enclave alone ({0})")]
    Missing(#[source] io::Error),
    /// Something else stands there.
    #[error("/dev/nsm is not a character device")]
    NotADevice,
    /// The kernel does not say where its randomness comes from.
    #[error("{RNG_CURRENT} cannot be read: {0}")]
    UnknownRandomness(#[source] io::Error),
    /// The kernel's pool is not fed by the NSM.
    #[error("{RNG_CURRENT} is not nsm-hwrng")]
    OtherRandomness,
    /// The kernel's pool has not been seeded.
    #[error("the kernel's source of randomness is not ready")]
    NotSeeded,
    /// getrandom(2) fails otherwise.
    #[error("the kernel's source of randomness does not answer: {0}")]
    NoRandomness(#[source] io::Error),
    /// The driver does not open it.
    #[error("/dev/nsm does not open")]
    Refused,
}

impl NitroDevice {
    /// Opens the device, where the kernel's randomness comes from it too: every key is made of
    /// that, and an enclave has no other source.
    pub fn open() -> Result<Self, OpenNsmError> {
        let metadata = fs::symlink_metadata(DEVICE).map_err(OpenNsmError::Missing)?;
        if !metadata.file_type().is_char_device() {
            return Err(OpenNsmError::NotADevice);
        }
        let current = fs::read_to_string(RNG_CURRENT).map_err(OpenNsmError::UnknownRandomness)?;
        is_nsm(&current)?;
        is_seeded()?;
        // The driver reports failure as -1, not as a Result.
        match nsm_init() {
            descriptor if descriptor >= 0 => Ok(Self { descriptor }),
            _ => Err(OpenNsmError::Refused),
        }
    }
}

fn is_nsm(rng_current: &str) -> Result<(), OpenNsmError> {
    if rng_current.trim_end() == NSM_RNG {
        Ok(())
    } else {
        Err(OpenNsmError::OtherRandomness)
    }
}

/// Asks without waiting: a pool that is not seeded yet answers EAGAIN (getrandom(2)).
fn is_seeded() -> Result<(), OpenNsmError> {
    let mut byte = [0_u8; 1];
    // SAFETY: the pointer is to `byte`, which is live, writable and as long as is said.
    let read =
        unsafe { libc::getrandom(byte.as_mut_ptr().cast(), byte.len(), libc::GRND_NONBLOCK) };
    match read {
        1 => Ok(()),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => Err(OpenNsmError::NotSeeded),
            error => Err(OpenNsmError::NoRandomness(error)),
        },
    }
}

impl NsmDevice for NitroDevice {
    fn process(&self, request: Request) -> Response {
        nsm_process_request(self.descriptor, request)
    }
}

impl Drop for NitroDevice {
    fn drop(&mut self) {
        nsm_exit(self.descriptor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_device_is_an_error_and_no_panic() {
        if !std::path::Path::new(DEVICE).exists() {
            assert!(matches!(NitroDevice::open(), Err(OpenNsmError::Missing(_))));
        }
    }

    #[test]
    fn other_randomness_than_the_nsms_is_refused() {
        assert!(is_nsm("nsm-hwrng\n").is_ok());
        for other in [
            "",
            "none\n",
            "virtio_rng.0\n",
            "nsm-hwrng.0\n",
            " nsm-hwrng\n",
        ] {
            assert!(matches!(is_nsm(other), Err(OpenNsmError::OtherRandomness)));
        }
    }

    #[test]
    fn a_running_machine_is_seeded() {
        assert!(is_seeded().is_ok());
    }
}

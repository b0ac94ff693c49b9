//! The device of a Nitro enclave, and the randomness that it feeds to the kernel.
#![allow(unsafe_code)]

use std::{
    fs, io,
    os::{linux::fs::MetadataExt as _, unix::fs::FileTypeExt as _},
    path::Path,
};

use aws_nitro_enclaves_nsm_api::{
    api::{Request, Response},
    driver::{nsm_exit, nsm_init, nsm_process_request},
};

use super::NsmDevice;

/// Where the driver of AWS looks for the device.
const DEVICE: &str = "/dev/nsm";
/// The NSM's name among the sources of randomness (Linux: hw_random).
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
    /// The kernel does not know a device of this name.
    #[error("/sys/class/misc/nsm/dev cannot be read: {0}")]
    NoDriver(#[source] io::Error),
    /// A device, and not the one of the kernel's driver.
    #[error("/dev/nsm is not the device of the kernel's NSM driver")]
    OtherDevice,
    /// The kernel does not say where its randomness comes from.
    #[error("/sys/class/misc/hw_random/rng_current cannot be read: {0}")]
    UnknownRandomness(#[source] io::Error),
    /// The kernel's pool is not fed by the NSM.
    #[error("/sys/class/misc/hw_random/rng_current is not nsm-hwrng")]
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
        Sources::of_this_machine().check()?;
        is_seeded(ask_for_a_random_byte())?;
        // The driver reports failure as -1, not as a Result.
        match nsm_init() {
            descriptor if descriptor >= 0 => Ok(Self { descriptor }),
            _ => Err(OpenNsmError::Refused),
        }
    }
}

/// Where the kernel tells of the device.
struct Sources<'a> {
    device: &'a Path,
    /// Major and minor number of the driver's device, as in `10:126`.
    device_number: &'a Path,
    /// Which hardware feeds the kernel's pool.
    rng_current: &'a Path,
}

impl Sources<'_> {
    fn of_this_machine() -> Self {
        Self {
            device: Path::new(DEVICE),
            device_number: Path::new("/sys/class/misc/nsm/dev"),
            rng_current: Path::new("/sys/class/misc/hw_random/rng_current"),
        }
    }

    fn check(&self) -> Result<(), OpenNsmError> {
        let metadata = fs::symlink_metadata(self.device).map_err(OpenNsmError::Missing)?;
        if !metadata.file_type().is_char_device() {
            return Err(OpenNsmError::NotADevice);
        }
        let of_driver = fs::read_to_string(self.device_number).map_err(OpenNsmError::NoDriver)?;
        let device = metadata.st_rdev();
        let number = format!("{}:{}", libc::major(device), libc::minor(device));
        if of_driver.trim_end() != number {
            return Err(OpenNsmError::OtherDevice);
        }
        let current =
            fs::read_to_string(self.rng_current).map_err(OpenNsmError::UnknownRandomness)?;
        match current.trim_end() == NSM_RNG {
            true => Ok(()),
            false => Err(OpenNsmError::OtherRandomness),
        }
    }
}

/// Asks without waiting: a pool that is not seeded yet answers EAGAIN (getrandom(2)).
fn ask_for_a_random_byte() -> io::Result<()> {
    let mut byte = [0_u8; 1];
    // SAFETY: the pointer is to `byte`, which is live, writable and as long as is said.
    let read =
        unsafe { libc::getrandom(byte.as_mut_ptr().cast(), byte.len(), libc::GRND_NONBLOCK) };
    match read {
        1 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn is_seeded(answer: io::Result<()>) -> Result<(), OpenNsmError> {
    answer.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenNsmError::NotSeeded,
        _ => OpenNsmError::NoRandomness(error),
    })
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
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    /// A machine of which `/dev/null` is the NSM: the one character device that is everywhere.
    struct Machine {
        dir: TempDir,
        device: PathBuf,
    }

    impl Machine {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("dev"), "1:3\n").unwrap();
            fs::write(dir.path().join("rng_current"), "nsm-hwrng\n").unwrap();
            let device = PathBuf::from("/dev/null");
            Self { dir, device }
        }

        fn tells(self, file: &str, text: &str) -> Self {
            fs::write(self.dir.path().join(file), text).unwrap();
            self
        }

        fn lacks(self, file: &str) -> Self {
            fs::remove_file(self.dir.path().join(file)).unwrap();
            self
        }

        fn with_device(self, device: impl FnOnce(&Path) -> PathBuf) -> Self {
            let device = device(self.dir.path());
            Self { device, ..self }
        }

        fn check(&self) -> Result<(), OpenNsmError> {
            Sources {
                device: &self.device,
                device_number: &self.dir.path().join("dev"),
                rng_current: &self.dir.path().join("rng_current"),
            }
            .check()
        }
    }

    #[test]
    fn no_device_is_an_error_and_no_panic() {
        if !Path::new(DEVICE).exists() {
            assert!(matches!(NitroDevice::open(), Err(OpenNsmError::Missing(_))));
        }
    }

    #[test]
    fn the_drivers_device_is_taken() {
        assert!(Machine::new().check().is_ok());
    }

    #[test]
    fn what_is_no_character_device_is_refused() {
        let machine = Machine::new().with_device(|dir| {
            let file = dir.join("nsm");
            fs::write(&file, "").unwrap();
            file
        });
        assert!(matches!(machine.check(), Err(OpenNsmError::NotADevice)));
        // Nor is a link to one: what it points to could be changed.
        let machine = Machine::new().with_device(|dir| {
            let link = dir.join("nsm");
            std::os::unix::fs::symlink("/dev/null", &link).unwrap();
            link
        });
        assert!(matches!(machine.check(), Err(OpenNsmError::NotADevice)));
    }

    /// The attack: a device of another driver under this name, that would answer in the NSM's place.
    #[test]
    fn the_device_of_another_driver_is_refused() {
        for number in ["10:126\n", "1:30\n", "", "1\n", "11:3\n"] {
            let machine = Machine::new().tells("dev", number);
            assert!(
                matches!(machine.check(), Err(OpenNsmError::OtherDevice)),
                "{number:?}"
            );
        }
        let machine = Machine::new().lacks("dev");
        assert!(matches!(machine.check(), Err(OpenNsmError::NoDriver(_))));
    }

    #[test]
    fn other_randomness_than_the_nsms_is_refused() {
        for other in [
            "",
            "none\n",
            "virtio_rng.0\n",
            "nsm-hwrng.0\n",
            " nsm-hwrng\n",
        ] {
            let machine = Machine::new().tells("rng_current", other);
            assert!(
                matches!(machine.check(), Err(OpenNsmError::OtherRandomness)),
                "{other:?}"
            );
        }
        let machine = Machine::new().lacks("rng_current");
        assert!(matches!(
            machine.check(),
            Err(OpenNsmError::UnknownRandomness(_))
        ));
    }

    #[test]
    fn a_pool_that_is_not_seeded_is_refused_and_not_waited_for() {
        let answer = |code| Err(io::Error::from_raw_os_error(code));
        assert!(is_seeded(ask_for_a_random_byte()).is_ok());
        assert!(matches!(
            is_seeded(answer(libc::EAGAIN)),
            Err(OpenNsmError::NotSeeded)
        ));
        assert!(matches!(
            is_seeded(answer(libc::ENOSYS)),
            Err(OpenNsmError::NoRandomness(_))
        ));
    }
}

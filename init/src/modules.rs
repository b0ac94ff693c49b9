//! Kernel modules of the image: the NSM driver, and whatever else its kernel has not built in.
use std::{fs::File, io, os::fd::AsRawFd, path::Path};

use crate::lines;

/// Loads the files that `order` in `folder` names, one per line, in that order. No file, no modules.
pub(crate) fn load_all(folder: &Path) -> Result<(), String> {
    let Some(order) = lines::if_present(&folder.join("order"))? else {
        return Ok(());
    };
    for name in order.lines().filter(|name| !name.is_empty()) {
        let file = folder.join(name);
        load(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}

fn load(file: &Path) -> io::Result<()> {
    let module = File::open(file)?;
    // SAFETY: the descriptor is open; the parameters are one C string, empty.
    let loaded = unsafe {
        libc::syscall(
            libc::SYS_finit_module,
            module.as_raw_fd(),
            c"".as_ptr(),
            0 as libc::c_int,
        )
    };
    if loaded == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panic")]
    use super::*;

    #[test]
    fn an_image_without_modules_has_none_to_load() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(load_all(folder.path()), Ok(()));
    }

    #[test]
    fn a_module_that_does_not_load_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("order"), "absent.ko\n").unwrap();
        let failure = load_all(folder.path()).unwrap_err();
        assert!(failure.contains("absent.ko"), "{failure}");
        std::fs::write(folder.path().join("absent.ko"), "no module").unwrap();
        assert!(load_all(folder.path()).is_err());
    }
}

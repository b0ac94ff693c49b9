//! The kernel's file systems, and the root that the enclave's program sees.
use std::{
    ffi::{CStr, CString},
    fs, io,
    os::unix::ffi::OsStrExt,
    path::Path,
};

/// A file system of the kernel.
struct Mount {
    kind: &'static CStr,
    flags: libc::c_ulong,
    /// Below the root.
    at: &'static str,
}

const CLOSED: libc::c_ulong = libc::MS_NOSUID | libc::MS_NOEXEC;

/// What the enclave's program finds. In a machine with one program, /tmp and /run are its own.
const MOUNTS: [Mount; 5] = [
    Mount {
        kind: c"devtmpfs",
        flags: CLOSED,
        at: "dev",
    },
    Mount {
        kind: c"proc",
        flags: CLOSED | libc::MS_NODEV,
        at: "proc",
    },
    Mount {
        kind: c"sysfs",
        flags: CLOSED | libc::MS_NODEV | libc::MS_RDONLY,
        at: "sys",
    },
    Mount {
        kind: c"tmpfs",
        flags: CLOSED | libc::MS_NODEV,
        at: "run",
    },
    Mount {
        kind: c"tmpfs",
        flags: CLOSED | libc::MS_NODEV,
        at: "tmp",
    },
];

/// Devices alone, for the console and the modules.
pub(crate) fn early() -> Result<(), String> {
    let [devices, ..] = &MOUNTS;
    devices.mount(Path::new("/"))
}

/// Mounts everything below `root` and makes it this process's root.
pub(crate) fn root(root: &Path) -> Result<(), String> {
    for mount in &MOUNTS {
        mount.mount(root)?;
    }
    std::os::unix::fs::chroot(root)
        .and_then(|()| std::env::set_current_dir("/"))
        .map_err(|error| format!("{}: {error}", root.display()))
}

impl Mount {
    fn mount(&self, root: &Path) -> Result<(), String> {
        let at = root.join(self.at);
        self.try_at(&at)
            .map_err(|error| format!("mounting {}: {error}", at.display()))
    }

    fn try_at(&self, at: &Path) -> io::Result<()> {
        fs::create_dir_all(at)?;
        let at = CString::new(at.as_os_str().as_bytes())?;
        // SAFETY: three live C strings; no data.
        let mounted = unsafe {
            libc::mount(
                self.kind.as_ptr(),
                at.as_ptr(),
                self.kind.as_ptr(),
                self.flags,
                std::ptr::null(),
            )
        };
        if mounted == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

//! `/proc`, by which the process is hardened: the first program of an image need not have mounted it.
#![allow(unsafe_code)]

use std::{ffi::CString, io, os::unix::ffi::OsStrExt, path::Path};

use super::HardeningError;

/// What is needed of it, in place of all of it.
const PROOF: &str = "self/coredump_filter";

/// Mounts it where it is absent and this process may.
pub(super) fn provide(
    proc: &Path,
    mount: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), HardeningError> {
    if proc.join(PROOF).exists() {
        return Ok(());
    }
    mount(proc).map_err(HardeningError::NoProc)?;
    match proc.join(PROOF).exists() {
        true => Ok(()),
        false => Err(HardeningError::NoProc(io::ErrorKind::NotFound.into())),
    }
}

/// Mounts a new `/proc` on a folder that is there.
pub(super) fn mount(proc: &Path) -> io::Result<()> {
    let proc = CString::new(proc.as_os_str().as_bytes())?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    let kind = c"proc".as_ptr();
    // SAFETY: the pointers are to texts that are live and end in a zero; no data is passed.
    super::check(unsafe { libc::mount(kind, proc.as_ptr(), kind, flags, std::ptr::null()) })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn mounted(proc: &Path) -> io::Result<()> {
        fs::create_dir(proc.join("self"))?;
        fs::write(proc.join(PROOF), "33")
    }

    #[test]
    fn a_proc_that_is_there_is_not_mounted_over() {
        let dir = tempfile::tempdir().unwrap();
        mounted(dir.path()).unwrap();
        provide(dir.path(), |_| panic!("it is there")).unwrap();
    }

    #[test]
    fn an_absent_proc_is_mounted_or_named() {
        let dir = tempfile::tempdir().unwrap();
        let refused = provide(dir.path(), |_| {
            Err(io::Error::from_raw_os_error(libc::EPERM))
        });
        let sentence = refused.unwrap_err().to_string();
        assert!(sentence.starts_with("/proc is not mounted"), "{sentence}");
        // A mount that mounts something else.
        assert!(provide(dir.path(), |_| Ok(())).is_err());
        provide(dir.path(), mounted).unwrap();
    }

    #[test]
    fn what_cannot_be_mounted_on_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let absent = dir.path().join("proc");
        assert!(provide(&absent, mount).is_err());
    }
}

//! What the process gives up at boot: core dumps, being attached to, being swapped out. And the
//! one thing that it takes: descriptors, as many as it needs or is granted.
#![allow(unsafe_code)]

mod dumps;
mod proc;

use std::{io, path::Path};

pub(crate) use self::dumps::keep_marking;

/// Descriptors for every connection with its upstream and its streams to the parent, and to spare.
const DESCRIPTORS: libc::rlim_t = 65_536;

/// Why the process is not protected.
#[derive(Debug, thiserror::Error)]
pub enum HardeningError {
    /// The image's first program did not mount it, and this one may not.
    #[error("/proc is not mounted, and cannot be mounted: {0}")]
    NoProc(#[source] io::Error),
    /// The kernel refused.
    #[error("core dumps or attaching could not be forbidden: {0}")]
    Refused(#[from] io::Error),
}

/// Which protections hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardening {
    /// Whether memory is locked. A simulator without the right to lock more than the usual 8 MiB
    /// runs without.
    pub memory_lock: MemoryLock,
}

/// Whether pages can be swapped out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLock {
    /// They stay in memory once touched.
    Locked,
    /// They may be swapped out: the limit on locked memory is too low.
    Unlocked,
}

/// Forbids core dumps and attaching, empties what a dump would hold, locks memory where the limit
/// allows it, and raises the limit of descriptors.
pub fn harden() -> Result<Hardening, HardeningError> {
    proc::provide(Path::new("/proc"), proc::mount)?;
    dumps::leave_out_every_kind()?;
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live `rlimit`.
    check(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) })?;
    // SAFETY: PR_SET_DUMPABLE takes one integer; the rest is ignored.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
    raise_descriptor_limit()?;
    dumps::mark_mappings()?;
    Ok(Hardening {
        memory_lock: lock_memory(),
    })
}

/// Each call holds a stream to its caller and one to its upstream: the usual 1024 descriptors are
/// fewer than the connections that are served, and so may be the 4096 that a kernel grants its first
/// program at most.
fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = descriptor_limit()?;
    limit.rlim_cur = limit.rlim_max.max(DESCRIPTORS);
    let raised = libc::rlimit {
        rlim_cur: limit.rlim_cur,
        rlim_max: limit.rlim_cur,
    };
    // The hard limit is raised by who may: root of an enclave, hardly ever elsewhere.
    set_descriptor_limit(&raised).or_else(|_| {
        limit.rlim_cur = limit.rlim_max;
        set_descriptor_limit(&limit)
    })
}

fn set_descriptor_limit(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: the pointer is to a live `rlimit`.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) })
}

fn descriptor_limit() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live `rlimit`.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok(limit)
}

/// Lifts the limit on locked memory, where this process may: as root of an enclave, whose kernel
/// grants 8 MiB. Elsewhere the operator's limit stands.
pub fn lift_memory_lock_limit() {
    let unlimited = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the pointer is to a live `rlimit`. What is not lifted is told by `Hardening`.
    let _ = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const unlimited) };
}

/// Whether the limit lets this process lock its memory.
pub fn memory_lock_limit() -> MemoryLock {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live `rlimit`.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } == 0;
    // Under a finite limit, a later allocation would fail instead of the lock.
    if known && limit.rlim_cur == libc::RLIM_INFINITY {
        MemoryLock::Locked
    } else {
        MemoryLock::Unlocked
    }
}

fn lock_memory() -> MemoryLock {
    if memory_lock_limit() == MemoryLock::Unlocked {
        return MemoryLock::Unlocked;
    }
    let flags = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: takes flags alone.
    if unsafe { libc::mlockall(flags) } == 0 {
        MemoryLock::Locked
    } else {
        MemoryLock::Unlocked
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_descriptors_as_are_needed_or_granted_are_taken() {
        let before = descriptor_limit().unwrap();
        let low = libc::rlimit {
            rlim_cur: before.rlim_max.min(512),
            ..before
        };
        set_descriptor_limit(&low).unwrap();
        raise_descriptor_limit().unwrap();
        let after = descriptor_limit().unwrap();
        assert_eq!(after.rlim_cur, after.rlim_max, "all that are granted");
        assert!(after.rlim_max >= before.rlim_max);
    }

    #[test]
    fn a_hardened_process_is_not_dumpable_and_its_dump_would_be_empty() {
        harden().unwrap();
        // SAFETY: takes no pointer.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, 0);
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let core: Vec<&str> = core.unwrap().split_whitespace().collect();
        assert_eq!(core[4..6], ["0", "0"]);
        let filter = std::fs::read_to_string("/proc/self/coredump_filter").unwrap();
        assert_eq!(filter.trim(), "00000000");
    }
}

//! What the process gives up at boot: core dumps, being attached to, being swapped out. And the
//! one thing that it takes: all the descriptors that the hard limit grants.
#![allow(unsafe_code)]

use std::io;

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

/// Forbids core dumps and attaching, locks memory where the limit allows it, and raises the limit
/// of descriptors.
pub fn harden() -> io::Result<Hardening> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live `rlimit`.
    check(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) })?;
    // SAFETY: PR_SET_DUMPABLE takes one integer; the rest is ignored.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) })?;
    raise_descriptor_limit()?;
    Ok(Hardening {
        memory_lock: lock_memory(),
    })
}

/// Each call holds a stream to its caller and one to its upstream: the usual 1024 descriptors are
/// fewer than the connections that are served.
fn raise_descriptor_limit() -> io::Result<()> {
    let mut limit = descriptor_limit()?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to a live `rlimit`.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })
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

fn lock_memory() -> MemoryLock {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live `rlimit`.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } == 0;
    // Under a finite limit, a later allocation would fail instead of this call.
    if !known || limit.rlim_cur != libc::RLIM_INFINITY {
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
    fn all_descriptors_of_the_hard_limit_are_taken() {
        let mut limit = descriptor_limit().unwrap();
        limit.rlim_cur = limit.rlim_max.min(512);
        // SAFETY: the pointer is to a live `rlimit`.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }).unwrap();
        raise_descriptor_limit().unwrap();
        assert_eq!(descriptor_limit().unwrap().rlim_cur, limit.rlim_max);
    }
}

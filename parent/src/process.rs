//! Who this process is: no root once the listeners are bound, and no way back.
#![expect(
    unsafe_code,
    reason = "the user database and the calls that change all threads' user are libc's"
)]
use std::{
    collections::BTreeSet,
    ffi::{CStr, CString, NulError},
    io,
    mem::MaybeUninit,
};

use identity::{BIND_LOW_PORTS, Identity, User};

use crate::configuration::{AsRoot, Process};

mod identity;

/// More than any entry of a user database has.
const MAX_ENTRY_BYTES: usize = 64 * 1024;
/// As many as the kernel lets a process have (`NGROUPS_MAX`).
const MAX_GROUPS: usize = 65_536;

/// Why the process does not become who it should be.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Started as root, and nothing said of it.
    #[error(
        "this is root: name the user to become ([process] user = \"dauth\"), or say that it stays root \
         ([process] as_root = \"permitted\")"
    )]
    Root,
    /// A name with a NUL character.
    #[error("[process] user: {0}")]
    Name(#[from] NulError),
    /// The user database does not have it.
    #[error("[process] user: there is no user {0}")]
    Unknown(String),
    /// The user is root.
    #[error("[process] user: {0} is root")]
    UserIsRoot(String),
    /// The kernel refused.
    #[error("cannot become {user} ({step}): {source}")]
    Refused {
        /// Who.
        user: String,
        /// In which call.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A thread is still who it was, or kept groups or capabilities.
    #[error(
        "this process became {0}, but not in all its threads, or it kept groups or capabilities, or it \
         could become root again"
    )]
    Incomplete(String),
}

/// Forbids this thread, and those that it starts from now on, to gain rights through programs that
/// they run (prctl(2), `PR_SET_NO_NEW_PRIVS`); raises the soft limit of open files to the hard one.
/// Before the runtime starts its threads.
pub fn prepare() -> io::Result<()> {
    // SAFETY: neither call touches memory but the structure that it is given.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut limit = MaybeUninit::<libc::rlimit>::uninit();
        if libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) == 0 {
            let mut limit = limit.assume_init();
            limit.rlim_cur = limit.rlim_max;
            // With fewer files there are fewer connections, and an error that says so.
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
    Ok(())
}

/// Becomes the user that the configuration names: groups, group, user, in every thread; and makes
/// sure of it. A process that is not root and names nobody stays who it is.
pub fn become_user(process: &Process) -> Result<(), ProcessError> {
    // SAFETY: it cannot fail and touches nothing.
    let is_root = unsafe { libc::geteuid() } == 0;
    let Some(user) = &process.user else {
        return match (is_root, process.as_root) {
            (true, AsRoot::Refused) => Err(ProcessError::Root),
            _ => Ok(()),
        };
    };
    let found = look_up(user)?;
    if found.uid == 0 {
        return Err(ProcessError::UserIsRoot(user.clone()));
    }
    if !is_root {
        let own = Identity {
            user: found,
            // Who started the process gave it these.
            groups: supplementary_groups().map_err(|e| refused(user, "getgroups", e))?,
            capabilities: BIND_LOW_PORTS,
        };
        return match own.is_of_all_threads() {
            true => Ok(()),
            false => Err(refused(
                user,
                "not root",
                io::ErrorKind::PermissionDenied.into(),
            )),
        };
    }
    let name = CString::new(user.as_str())?;
    // SAFETY: numbers alone; libc changes every thread, here and below.
    let group = || unsafe { libc::setresgid(found.gid, found.gid, found.gid) };
    // SAFETY: as above.
    let id = || unsafe { libc::setresuid(found.uid, found.uid, found.uid) };
    // SAFETY: the name is a string with its NUL, alive for the call.
    let groups = || unsafe { libc::initgroups(name.as_ptr(), found.gid) };
    let steps: [(&'static str, &dyn Fn() -> libc::c_int); 3] = [
        ("initgroups", &groups),
        ("setresgid", &group),
        ("setresuid", &id),
    ];
    for (step, call) in steps {
        if call() != 0 {
            return Err(refused(user, step, io::Error::last_os_error()));
        }
    }
    // SAFETY: as above. It must fail.
    let may_return = unsafe { libc::setresuid(0, 0, 0) } == 0;
    let expected = Identity {
        user: found,
        groups: groups_of(&name, found.gid),
        capabilities: 0,
    };
    match !may_return && expected.is_of_all_threads() {
        true => Ok(()),
        false => Err(ProcessError::Incomplete(user.clone())),
    }
}

fn refused(user: &str, step: &'static str, source: io::Error) -> ProcessError {
    ProcessError::Refused {
        user: user.to_owned(),
        step,
        source,
    }
}

fn look_up(user: &str) -> Result<User, ProcessError> {
    let name = CString::new(user)?;
    let mut entry = MaybeUninit::<libc::passwd>::uninit();
    let mut strings = vec![0; MAX_ENTRY_BYTES];
    let mut found = std::ptr::null_mut();
    // SAFETY: every pointer is to memory of this function, as long as it says; the entry is read
    // only where the call says that it wrote it.
    unsafe {
        let failed = libc::getpwnam_r(
            name.as_ptr(),
            entry.as_mut_ptr(),
            strings.as_mut_ptr(),
            strings.len(),
            &raw mut found,
        );
        if failed != 0 || found.is_null() {
            return Err(ProcessError::Unknown(user.to_owned()));
        }
        let entry = entry.assume_init();
        Ok(User {
            uid: entry.pw_uid,
            gid: entry.pw_gid,
        })
    }
}

/// The groups that the group database gives a user, and its own.
fn groups_of(name: &CStr, gid: libc::gid_t) -> BTreeSet<libc::gid_t> {
    let mut groups = vec![0; MAX_GROUPS];
    let mut count = libc::c_int::try_from(groups.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the name is a string with its NUL; the list is as long as it says.
    let listed =
        unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) };
    // None that a process has: it has the user's own at least.
    groups.truncate(usize::try_from(listed).unwrap_or(0));
    groups.into_iter().collect()
}

/// Those of this thread.
fn supplementary_groups() -> io::Result<BTreeSet<libc::gid_t>> {
    let mut groups = vec![0; MAX_GROUPS];
    let count = libc::c_int::try_from(groups.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the list is as long as it says.
    let listed = unsafe { libc::getgroups(count, groups.as_mut_ptr()) };
    groups.truncate(usize::try_from(listed).map_err(|_| io::Error::last_os_error())?);
    Ok(groups.into_iter().collect())
}

#[cfg(test)]
mod tests;

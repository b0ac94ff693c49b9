//! Who this process is: no root once the listeners are bound, and no way back.
#![expect(
    unsafe_code,
    reason = "the user database and the calls that change all threads' user are libc's"
)]
use std::{
    ffi::{CString, NulError},
    fs, io,
    mem::MaybeUninit,
};

use crate::configuration::{AsRoot, Process};

/// More than any entry of a user database has.
const MAX_ENTRY_BYTES: usize = 64 * 1024;

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
    /// A thread is still who it was.
    #[error("this process became {0}, but not in all its threads, or it could become root again")]
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
        return match all_threads_are(found) {
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
    match !may_return && all_threads_are(found) {
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

#[derive(Clone, Copy)]
struct User {
    uid: libc::uid_t,
    gid: libc::gid_t,
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

/// Whether each thread's real, effective, saved and file system user and group are these.
fn all_threads_are(user: User) -> bool {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return false;
    };
    threads.into_iter().all(|thread| {
        let status = thread.and_then(|thread| fs::read_to_string(thread.path().join("status")));
        status.is_ok_and(|status| is_of(&status, user))
    })
}

fn is_of(status: &str, user: User) -> bool {
    let has = |field: &str, id: u32| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let ids: Vec<_> = line.unwrap_or_default().split_whitespace().collect();
        ids.len() == 4 && ids.iter().all(|found| *found == id.to_string())
    };
    has("Uid:", user.uid) && has("Gid:", user.gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_one_of_the_four_ids_counts() {
        let user = User { uid: 7, gid: 8 };
        let status = |uids, gids| format!("Name:\tx\nUid:\t{uids}\nGid:\t{gids}\n");
        assert!(is_of(&status("7\t7\t7\t7", "8\t8\t8\t8"), user));
        for (uids, gids) in [
            ("7\t7\t0\t7", "8\t8\t8\t8"),
            ("0\t7\t7\t7", "8\t8\t8\t8"),
            ("7\t7\t7\t7", "8\t8\t8\t0"),
            ("7\t7\t7", "8\t8\t8\t8"),
        ] {
            assert!(!is_of(&status(uids, gids), user), "{uids} {gids}");
        }
        assert!(!is_of("", user));
    }

    #[test]
    fn users_that_cannot_be_become_are_named() {
        let process = |user: &str| Process {
            user: Some(user.to_owned()),
            as_root: AsRoot::Permitted,
        };
        for (user, words) in [
            ("root", "root is root"),
            ("no-such-user", "no user no-such-user"),
        ] {
            let message = become_user(&process(user)).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
        assert!(become_user(&process("a\0b")).is_err());
    }
}

//! The enclave's program, and what it leaves to the first process.
use std::{ffi::CString, fmt, io, ptr};

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It returned, or called `exit`.
    Exit(libc::c_int),
    /// A signal ended it.
    Signal(libc::c_int),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(0) => f.write_str("it is done"),
            Self::Exit(code) => write!(f, "exit status {code}"),
            Self::Signal(number) => write!(f, "signal {number}"),
        }
    }
}

/// What a child exits with when the program cannot be executed, as shells do.
const NOT_EXECUTED: libc::c_int = 127;

/// Starts the program and reaps every process that ends, until it is this one.
pub(crate) fn run_to_end(command: &[CString], environment: &[CString]) -> Result<Status, String> {
    let failed = |error: io::Error| match command.first() {
        Some(program) => format!("{}: {error}", program.to_string_lossy()),
        None => error.to_string(),
    };
    let child = start(command, environment).map_err(failed)?;
    loop {
        let mut status = 0;
        // SAFETY: the pointer is to a live number.
        let ended = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        if ended == child {
            return Ok(read(status));
        }
        if ended < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(failed(error));
            }
        }
    }
}

fn start(command: &[CString], environment: &[CString]) -> io::Result<libc::pid_t> {
    let arguments = pointers(command);
    let environment = pointers(environment);
    let Some(program) = command.first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // SAFETY: this process has one thread, and the child does nothing but the calls below.
    let child = unsafe { libc::fork() };
    match child {
        0 => {
            // SAFETY: two lists of live C strings, each ended by a null pointer.
            unsafe {
                libc::setsid();
                libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
                libc::_exit(NOT_EXECUTED)
            }
        }
        child if child > 0 => Ok(child),
        _ => Err(io::Error::last_os_error()),
    }
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    let pointers = strings.iter().map(|string| string.as_ptr());
    pointers.chain([ptr::null()]).collect()
}

fn read(status: libc::c_int) -> Status {
    if libc::WIFSIGNALED(status) {
        Status::Signal(libc::WTERMSIG(status))
    } else {
        Status::Exit(libc::WEXITSTATUS(status))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panic")]
    use super::*;

    fn run(command: &[&str], environment: &[&str]) -> Status {
        let strings = |of: &[&str]| -> Vec<CString> {
            of.iter().map(|text| CString::new(*text).unwrap()).collect()
        };
        // A child that is not the program's would be reaped as well: tests run beside each other,
        // so this is the one test that starts processes.
        run_to_end(&strings(command), &strings(environment)).unwrap()
    }

    #[test]
    fn the_program_gets_its_arguments_and_its_environment_and_its_end_is_told() {
        let shell = |script, environment: &[&str]| run(&["/bin/sh", "-c", script], environment);
        assert_eq!(shell("exit 0", &[]), Status::Exit(0));
        assert_eq!(shell("exit 7", &[]), Status::Exit(7));
        assert_eq!(shell("kill -KILL $$", &[]), Status::Signal(libc::SIGKILL));
        assert_eq!(
            shell("test \"$A\" = 1 && test -z \"$CARGO\"", &["A=1"]),
            Status::Exit(0)
        );
        // Orphans are reaped without being taken for it.
        assert_eq!(shell("(exit 3) & exit 4", &[]), Status::Exit(4));
        assert_eq!(run(&["/nonexistent"], &[]), Status::Exit(NOT_EXECUTED));
        assert!(run_to_end(&[], &[]).is_err());
    }
}

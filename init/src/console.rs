//! The console: the one place where a failure to boot can be read, and only in debug mode.
use std::{
    fs,
    os::fd::{AsRawFd, IntoRawFd},
};

/// Makes /dev/console the three standard streams. A kernel that found no console leaves them closed.
pub(crate) fn open() {
    let Ok(console) = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/console")
    else {
        return;
    };
    for stream in 0..=2 {
        // SAFETY: both are numbers; `console` is open.
        unsafe { libc::dup2(console.as_raw_fd(), stream) };
    }
    if console.as_raw_fd() <= 2 {
        // It took a closed stream's number, and stays.
        let _ = console.into_raw_fd();
    }
}

/// One line. Nothing is done about a console that is not there.
pub(crate) fn say(sentence: &str) {
    let line = format!("dauth-init: {sentence}\n");
    // SAFETY: the pointer and the length are of one live string.
    unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
}

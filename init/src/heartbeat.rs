//! Tells the parent that the kernel has come up, as nitro-cli expects within its first minute.
#![allow(
    clippy::cast_possible_truncation,
    reason = "of small constants: sizes and a family"
)]
use std::{
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::Path,
};

use crate::lines;

/// The parent on EC2.
const PARENT_CID: libc::c_uint = 3;
/// Where nitro-cli listens.
const PORT: libc::c_uint = 9000;
/// What is sent, and comes back.
const BEAT: u8 = 0xb7;
/// For sending and for the echo; to connect, the kernel gives two seconds.
const TIMEOUT_S: i64 = 10;

/// Sends the beat and waits for its echo. `cid_file`, when the image has it, names another parent.
pub(crate) fn beat(cid_file: &Path) -> Result<(), String> {
    let cid = match lines::if_present(cid_file)? {
        None => PARENT_CID,
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| format!("{} holds no CID", cid_file.display()))?,
    };
    connect(cid)
        .and_then(|stream| exchange(&stream))
        .map_err(|error| format!("no heartbeat at CID {cid}: {error}"))
}

fn exchange(stream: &OwnedFd) -> io::Result<()> {
    set_timeout(stream, libc::SO_RCVTIMEO)?;
    set_timeout(stream, libc::SO_SNDTIMEO)?;
    let beat = BEAT;
    // SAFETY: the pointer is to one live byte.
    let sent = unsafe { libc::write(stream.as_raw_fd(), (&raw const beat).cast(), 1) };
    one_byte(sent)?;
    let mut echo = 0_u8;
    // SAFETY: the pointer is to one live byte, which is ours to write.
    let received = unsafe { libc::read(stream.as_raw_fd(), (&raw mut echo).cast(), 1) };
    one_byte(received)?;
    if echo == BEAT {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

fn connect(cid: libc::c_uint) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    // SAFETY: takes numbers.
    let fd = checked(unsafe { libc::socket(libc::AF_VSOCK, kind, 0) })?;
    // SAFETY: the descriptor was just made and is nobody else's.
    let stream = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: all of its fields are numbers, for which zero is a value.
    let mut address: libc::sockaddr_vm = unsafe { mem::zeroed() };
    address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    address.svm_port = PORT;
    address.svm_cid = cid;
    // SAFETY: the pointer and the length are of one live address.
    checked(unsafe {
        libc::connect(
            stream.as_raw_fd(),
            (&raw const address).cast(),
            mem::size_of_val(&address) as libc::socklen_t,
        )
    })?;
    Ok(stream)
}

fn set_timeout(stream: &OwnedFd, option: libc::c_int) -> io::Result<()> {
    let timeout = libc::timeval {
        tv_sec: TIMEOUT_S,
        tv_usec: 0,
    };
    // SAFETY: the pointer and the length are of one live value.
    checked(unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const timeout).cast(),
            mem::size_of_val(&timeout) as libc::socklen_t,
        )
    })
    .map(drop)
}

fn one_byte(moved: isize) -> io::Result<()> {
    match moved {
        1 => Ok(()),
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panic")]
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
    };

    use super::*;

    /// What comes of a parent that reads the beat and writes `answer`.
    fn answered(answer: &[u8]) -> io::Result<()> {
        let (enclave, mut parent) = UnixStream::pair().unwrap();
        parent.write_all(answer).unwrap();
        parent.shutdown(std::net::Shutdown::Write).unwrap();
        let exchanged = exchange(&OwnedFd::from(enclave));
        let mut beat = Vec::new();
        parent.read_to_end(&mut beat).unwrap();
        assert_eq!(beat, [0xb7]);
        exchanged
    }

    #[test]
    fn the_echo_must_be_the_beat() {
        assert!(answered(&[0xb7]).is_ok());
        let kind = |answer: &[u8]| answered(answer).map_err(|error| error.kind());
        assert_eq!(kind(&[0xb6]), Err(io::ErrorKind::InvalidData));
        assert_eq!(kind(&[]), Err(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn another_parent_is_a_number_or_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "two\n").unwrap();
        assert!(beat(file.path()).unwrap_err().contains("holds no CID"));
    }
}

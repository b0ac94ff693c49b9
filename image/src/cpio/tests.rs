use std::{
    io::Write,
    process::{Command, Stdio},
};

use super::*;

fn archive() -> Archive<'static> {
    let mut archive = Archive::new(0x5e0be100);
    archive.directory("rootfs/proc").unwrap();
    archive
        .file("rootfs/dauth-enclave", Permissions::Executable, b"\x7fELF")
        .unwrap();
    archive
        .file("cmd", Permissions::Readable, b"/dauth-enclave\n")
        .unwrap();
    archive
}

#[test]
fn the_bytes_are_those_of_the_format() {
    let mut archive = Archive::new(0x0102_0304);
    archive
        .file("ab", Permissions::Private, b"contents!")
        .unwrap();
    let expected = [
        "070701",
        "00000001", // inode
        "00008180", // mode
        "00000000", // owner
        "00000000", // group
        "00000001", // links
        "01020304", // time
        "00000009", // length
        "00000000000000000000000000000000",
        "00000003", // name and NUL
        "00000000", // check
        "ab\0\0\0\0contents!\0\0\0",
    ]
    .concat();
    let bytes = archive.write();
    assert!(bytes.starts_with(expected.as_bytes()));
    let trailer = expected.len();
    assert!(bytes[trailer..].starts_with(b"0707010000000000000000"));
    assert_eq!(bytes.len(), 512);
    assert!(bytes[trailer..].windows(10).any(|w| w == b"TRAILER!!!"));
}

#[test]
fn the_order_in_which_entries_are_added_does_not_matter() {
    let mut other = Archive::new(0x5e0be100);
    other
        .file("cmd", Permissions::Readable, b"/dauth-enclave\n")
        .unwrap();
    other
        .file("rootfs/dauth-enclave", Permissions::Executable, b"\x7fELF")
        .unwrap();
    other.directory("rootfs/proc").unwrap();
    other.directory("rootfs").unwrap();
    assert_eq!(other.write(), archive().write());
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    let mut archive = Archive::new(0);
    for path in [
        "",
        "/cmd",
        "..",
        "a/../b",
        "./a",
        "a//b",
        "a/",
        "a\0b",
        "a\nb",
        "TRAILER!!!",
        &"x".repeat(256),
    ] {
        let refused = Err(CpioError::Path(path.to_owned()));
        assert_eq!(archive.directory(path), refused);
        assert_eq!(archive.file(path, Permissions::Readable, b""), refused);
    }
}

#[test]
fn nothing_takes_the_place_of_another() {
    let mut archive = archive();
    let file = |archive: &mut Archive<'_>, path| archive.file(path, Permissions::Readable, b"");
    let taken = |path: &str| Err(CpioError::Taken(path.to_owned()));
    assert_eq!(file(&mut archive, "cmd"), taken("cmd"));
    assert_eq!(file(&mut archive, "rootfs"), taken("rootfs"));
    assert_eq!(file(&mut archive, "cmd/x"), taken("cmd"));
    assert_eq!(archive.directory("cmd"), taken("cmd"));
}

/// GNU cpio reads it as it was meant, where it is installed.
#[test]
fn cpio_lists_the_entries() {
    let Ok(mut cpio) = Command::new("cpio")
        .args(["--list", "--verbose", "--numeric-uid-gid", "--quiet"])
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    else {
        println!("SKIPPED: cpio is not installed");
        return;
    };
    cpio.stdin
        .take()
        .unwrap()
        .write_all(&archive().write())
        .unwrap();
    let output = cpio.wait_with_output().unwrap();
    assert!(output.status.success());
    let listed = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let entries: Vec<_> = lines
        .iter()
        .map(|f| (f[0], f[2], f[4], f[f.len() - 1]))
        .collect();
    assert_eq!(
        entries,
        [
            ("-rw-r--r--", "0", "15", "cmd"),
            ("drwxr-xr-x", "0", "0", "rootfs"),
            ("-rwxr-xr-x", "0", "4", "rootfs/dauth-enclave"),
            ("drwxr-xr-x", "0", "0", "rootfs/proc"),
        ]
    );
}

//! Secrets that the documents have one make, and builds: who may read them, and what gets in.
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use super::text;

/// Runs a line of the documents as a shell of a user does whose new files everyone reads.
fn shell(line: &str, folder: &Path) {
    let line = format!("umask 022\n{line}");
    let status = Command::new("bash")
        .args(["-c", &line])
        .current_dir(folder)
        .status()
        .unwrap();
    assert!(status.success(), "{line}");
}

#[test]
fn no_secret_that_the_document_makes_is_one_that_everyone_reads() {
    let document = text("docs/operate.md");
    let is_random = |line: &&str| line.starts_with("    ") && line.contains("openssl rand");
    let mut seen = 0;
    for (number, line) in document.lines().enumerate().filter(|(_, l)| is_random(l)) {
        seen += 1;
        let folder = tempfile::tempdir().unwrap();
        // Neither root nor openssl: what counts is the file's mode.
        let here = |line: &str| {
            let path = format!("{}/", folder.path().display());
            line.replace("sudo ", "")
                .replace("-g dauth ", "")
                .replace("/etc/dauth/", &path)
                .replace("openssl rand -hex 32", "echo 00")
        };
        let before = document.lines().nth(number - 1).unwrap();
        if before.contains("install ") && before.contains("/dev/null") {
            shell(&here(before), folder.path());
        }
        shell(&here(line), folder.path());
        let made: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(made.len(), 1, "{line}");
        for file in made {
            let file = file.unwrap();
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o007, 0, "{line}: {mode:o}");
            assert_eq!(fs::read_to_string(file.path()).unwrap(), "00");
        }
    }
    assert_eq!(seen, 2);
}

#[test]
fn no_secret_gets_into_a_layer_or_a_commit() {
    let lines = |path: &str| -> Vec<String> { text(path).lines().map(str::to_owned).collect() };
    for name in ["*.secret", "release.key", "host-credential"] {
        assert!(lines(".gitignore").contains(&name.to_owned()), "{name}");
        // Docker's patterns are of the whole path.
        let anywhere = format!("**/{name}");
        assert!(lines(".dockerignore").contains(&anywhere), "{name}");
    }
}

/// What `Dockerfile.enclave` has apt-get install in a base image that has these programs.
fn installed(programs: &[&str]) -> String {
    let file = text("Dockerfile.enclave");
    let (_, command) = file.split_once("\nRUN command -v musl-gcc").unwrap();
    let (command, _) = command.split_once("\nWORKDIR").unwrap();
    let command = format!("command -v musl-gcc{}", command.replace("\\\n", " "));
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    fs::write(&log, "").unwrap();
    let apt_get = folder.path().join("apt-get");
    fs::write(
        &apt_get,
        format!("#!/bin/sh\necho \"$@\" >> {}\n", log.display()),
    )
    .unwrap();
    fs::set_permissions(&apt_get, fs::Permissions::from_mode(0o755)).unwrap();
    for program in programs {
        symlink("/bin/true", folder.path().join(program)).unwrap();
    }
    let status = Command::new("/bin/sh")
        .args(["-c", &command])
        .env_clear()
        .env("PATH", folder.path())
        .env("MUSL_TOOLS", "musl-tools=1")
        .status()
        .unwrap();
    assert!(status.success());
    fs::read_to_string(log).unwrap()
}

#[test]
fn a_base_image_keeps_the_compiler_that_its_digest_pins() {
    assert_eq!(installed(&["gcc", "musl-gcc"]), "");
    let beside_gcc = installed(&["gcc"]);
    assert!(
        beside_gcc.ends_with(" --no-upgrade musl-tools=1\n"),
        "{beside_gcc}"
    );
    let without = installed(&[]);
    assert!(
        without.ends_with(" musl-tools=1 gcc libc6-dev\n"),
        "{without}"
    );
    assert!(text("Dockerfile.enclave").contains("MUSL_TOOLS=musl-tools=1."));
}

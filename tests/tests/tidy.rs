//! What a reviewer should not have to look for, in every file that git knows.
#![allow(clippy::unwrap_used, reason = "tests fail by panic")]

use std::{fs, path::PathBuf, process::Command};

/// A file longer than this is rarely one idea.
const MAX_LINES: usize = 500;
/// Crates that say in their first lines that they are pure.
const PURE: [&str; 4] = ["protocol", "attestation", "sealing", "token"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn files(pattern: &str) -> Vec<(String, String)> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            pattern,
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let files: Vec<_> = listed
        .lines()
        .filter_map(|name| Some((name.to_owned(), fs::read_to_string(root().join(name)).ok()?)))
        .collect();
    assert!(!files.is_empty(), "git lists no {pattern}");
    files
}

#[test]
fn files_are_of_one_idea() {
    for (name, text) in files("*.rs") {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{name} has {lines} lines: split it");
    }
}

#[test]
fn modules_are_named_for_what_they_are() {
    for (name, _) in files("*.rs") {
        for vague in ["util", "utils", "common", "helper", "helpers", "misc"] {
            let is_vague = name
                .split('/')
                .any(|part| part.trim_end_matches(".rs") == vague);
            assert!(!is_vague, "{name}: say what it is");
        }
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Spelt so that this file does not find itself.
    let marks = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ig", "nore"),
    ];
    for (name, text) in files("*.rs") {
        for mark in marks {
            assert!(!text.contains(mark), "{name} holds {mark}");
        }
    }
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    let paths = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
    ];
    for pattern in ["*.rs", "*.toml", "*.md"] {
        for (name, text) in files(pattern) {
            for path in paths {
                assert!(!text.contains(path), "{name} holds {path}");
            }
        }
    }
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    for (name, text) in files("*/Cargo.toml") {
        assert!(
            text.contains("[lints]\nworkspace = true"),
            "{name} has lints of its own"
        );
    }
}

#[test]
fn pure_crates_are_pure() {
    let impure = [
        "SystemTime",
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "std::thread",
    ];
    for folder in PURE {
        let lib = fs::read_to_string(root().join(folder).join("src/lib.rs")).unwrap();
        assert!(
            lib.contains("#![forbid(unsafe_code)]"),
            "{folder} may hold unsafe code"
        );
        for (name, text) in files(&format!("{folder}/src/*.rs")) {
            let code = text.split("#[cfg(test)]").next().unwrap();
            let is_test = name.ends_with("tests.rs") || name.contains("/tests/");
            for word in impure.iter().filter(|_| !is_test) {
                assert!(!code.contains(word), "{name} holds {word}");
            }
        }
    }
}

#[test]
fn global_allocators_stand_in_programs_alone() {
    for (name, text) in files("*.rs") {
        let sets_one = text
            .lines()
            .any(|line| line.trim() == "#[global_allocator]");
        let is_program = name.ends_with("main.rs") || name.contains("/bin/");
        assert!(
            !sets_one || is_program,
            "{name} is a library and sets an allocator"
        );
    }
}

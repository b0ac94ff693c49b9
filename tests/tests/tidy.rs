//! What a reviewer should not have to look for, in every file that git knows.
#![allow(clippy::unwrap_used, reason = "tests fail by panic")]

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

/// A file longer than this is rarely one idea.
const MAX_LINES: usize = 500;
/// Crates that say in their first lines that they are pure.
const PURE: [&str; 5] = ["protocol", "attestation", "sealing", "token", "image"];

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

/// The cells of the tables in `docs/scrubbing.md`, and the tests that they name.
#[test]
fn no_piece_of_the_table_is_missing() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let tests = cells_that_are_tests(&read("enclave/src/call/tests/forms.rs"));
    let (named, reasoned, missing) = cells_of_tables(&read("docs/scrubbing.md"));
    assert_eq!(
        missing,
        Vec::<String>::new(),
        "cells with neither test nor reason"
    );
    assert!(named.len() > 200, "only {} cells were read", named.len());
    assert_eq!(named, tests);
    assert!(reasoned.is_disjoint(&tests), "{reasoned:?}");
}

/// `form::place` for each place that a macro's line `form: place place;` names.
fn cells_that_are_tests(source: &str) -> BTreeSet<String> {
    let between = |start: &str, end: &str| {
        let (_, rest) = source.split_once(start).unwrap();
        rest.split_once(end).unwrap().0
    };
    let rows = between("\ntable! {\n", "\n}").split(';');
    let rows = rows.filter_map(|row| row.split_once(':'));
    let others = ("another", between("\nothers!(", ")"));
    rows.chain([others])
        .flat_map(|(form, places)| {
            let cell = move |place| format!("{}::{place}", form.trim());
            places.split_whitespace().map(cell)
        })
        .collect()
}

/// Cells that name their test, cells that say why there is none, and others.
fn cells_of_tables(page: &str) -> (BTreeSet<String>, BTreeSet<String>, Vec<String>) {
    let (mut named, mut reasoned, mut missing) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let (_, tables) = page.split_once("### ").unwrap();
    let mut places = Vec::new();
    for line in tables.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let form = cells[0].trim_matches('`');
        if form.is_empty() {
            places = cells[1..]
                .iter()
                .map(|cell| cell.trim_matches('`'))
                .collect();
        } else if !form.starts_with('-') {
            assert_eq!(cells.len(), places.len() + 1, "{line}");
            for (place, cell) in places.iter().zip(&cells[1..]) {
                let name = format!("{form}::{place}");
                if *cell == format!("`{name}`") {
                    named.insert(name);
                } else if cell
                    .strip_prefix("no: ")
                    .is_some_and(|reason| reason.len() > 10)
                {
                    reasoned.insert(name);
                } else {
                    missing.push(name);
                }
            }
        }
    }
    (named, reasoned, missing)
}

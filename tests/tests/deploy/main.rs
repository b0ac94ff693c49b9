//! `deploy/` and the documents, against the programs that they speak of: options, configurations,
//! names of metrics, what alarms match, and the manifests that the chart gives.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panic"
)]

mod alarms;
mod chart;
mod commands;
mod configurations;
mod metrics;
mod secrets;
mod sizes;
mod template;
mod terraform;
mod units;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use dauth_tests::binary;

/// A file or folder of the repository.
fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Files of a folder with this ending, sorted.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(at(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} has no .{ending}");
    files
}

/// A tool of this machine, where it is installed.
fn tool(name: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(name).args(arguments).output() {
        Ok(output) => Some(output),
        Err(_) => {
            println!("SKIPPED: {name} is not installed");
            None
        }
    }
}

fn all(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// What `PROGRAM WORDS --help` prints, where there is such a command.
fn help(program: &str, words: &[&str]) -> Option<String> {
    let output = Command::new(binary(program))
        .args(words)
        .arg("--help")
        .output()
        .unwrap();
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

/// The options that a help text lists.
fn options_of(help: &str) -> BTreeSet<String> {
    let is_option = |word: &&str| word.starts_with('-') && word.len() > 1;
    help.lines()
        .filter(|line| line.trim_start().starts_with('-'))
        .flat_map(|line| line.split([' ', ',', '=']).filter(is_option))
        .map(str::to_owned)
        .collect()
}

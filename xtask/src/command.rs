//! Running another program and saying what it was.
use std::{fmt, process::Command};

/// A program that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) fn cargo(arguments: &[&str]) -> Result<(), Failure> {
    run(Command::new(env!("CARGO")).args(arguments))
}

pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let line = command.get_args().fold(
        command.get_program().to_string_lossy().into_owned(),
        |line, argument| format!("{line} {}", argument.to_string_lossy()),
    );
    println!("xtask: {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure(format!("{line}: {status}"))),
        Err(error) => Err(Failure(format!("{line}: {error}"))),
    }
}

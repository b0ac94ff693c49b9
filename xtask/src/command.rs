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

/// Runs a command, and ends it with all that it started once `limit_s` seconds have passed.
pub(crate) fn within(limit_s: u32, command: &mut Command) -> Result<(), Failure> {
    let mut limited = Command::new("timeout");
    limited
        .args(["--kill-after=10", &limit_s.to_string()])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        limited.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    run(&mut limited)
}

/// What a command writes, without blanks around it.
pub(crate) fn output_of(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .output()
        .map_err(|error| Failure::new(format!("{command:?}: {error}")))?;
    if !output.status.success() {
        return Err(Failure::new(format!("{command:?}: {}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
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

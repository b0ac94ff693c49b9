//! How a command fails: one sentence on stderr, and an exit status.
use std::process::ExitCode;

/// A command that did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    sentence: String,
    status: u8,
}

impl Failure {
    /// Refused or failed: exit status 1. The sentence says what was wrong, where, what to do.
    pub(crate) fn refused(sentence: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            status: 1,
        }
    }

    /// Asked for in a way that makes no sense: exit status 2.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            status: 2,
        }
    }

    /// Prints the sentence. Where standard error is closed there is nobody to tell.
    pub(crate) fn report(&self) -> ExitCode {
        anstream::eprintln!("dauth: {}", self.sentence);
        ExitCode::from(self.status)
    }
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// An error with its causes, as one sentence.
pub(crate) fn sentence(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let detail = error.to_string();
        if !text.contains(&detail) {
            text = format!("{text}: {detail}");
        }
        cause = error.source();
    }
    text
}

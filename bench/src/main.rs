//! Measurements: a subject, its peers and its floor, interleaved in one run.
//!
//! Absolute times vary with the machine; the ratios are what `DESIGN` budgets.
#![allow(clippy::print_stdout, reason = "results go to stdout")]

mod attest;
mod call;
mod measure;
mod peers;
mod report;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measure DAuth against its peers and floors. Build with --release.
#[derive(Parser)]
#[command(version)]
struct Bench {
    #[command(subcommand)]
    subject: Subject,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Subject {
    /// Verification of an attestation document, against the signatures alone and against published
    /// verifiers.
    Attest(attest::Options),
    /// A sealed call: what it costs to search a reply for the credential, and what it adds to a
    /// direct call and to an event on its way.
    Call(call::Options),
}

fn main() -> ExitCode {
    let Bench { subject, json } = Bench::parse();
    let measured = match &subject {
        Subject::Attest(options) => attest::run(options),
        Subject::Call(options) => call::run(options),
    };
    match measured {
        Ok(report) => {
            let printed = if json {
                report.to_json()
            } else {
                report.to_text()
            };
            println!("{printed}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("dauth-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

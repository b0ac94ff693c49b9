//! Measurements: a subject, its peers and its floor, interleaved in one run.
//!
//! Absolute times vary with the machine; the ratios are what `DESIGN` budgets.
#![allow(clippy::print_stdout, reason = "results go to stdout")]

mod attest;
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
}

#[derive(Subcommand)]
enum Subject {
    /// Verification of an attestation document, against the signatures alone and against published
    /// verifiers.
    Attest(attest::Options),
}

fn main() -> ExitCode {
    let Subject::Attest(options) = Bench::parse().subject;
    match attest::run(&options) {
        Ok(report) => {
            println!(
                "{}",
                if options.json {
                    report.to_json()
                } else {
                    report.to_text()
                }
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("dauth-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

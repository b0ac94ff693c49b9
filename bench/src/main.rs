//! Measurements: a subject, its peers and its floor, interleaved in one run.
//!
//! Absolute times vary with the machine; the ratios are what `DESIGN` budgets.
#![allow(clippy::print_stdout, reason = "results go to stdout")]

mod attest;
mod measure;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Measure DAuth against its peers and floors. Build with --release.
#[derive(Parser)]
#[command(version)]
struct Bench {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// Verification of an attestation document, against five P-384 verifications.
    Attest(Options),
}

/// What every measurement takes.
#[derive(Args, Clone, Copy)]
pub(crate) struct Options {
    /// How often each candidate is measured.
    #[arg(long, default_value_t = 300)]
    rounds: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let Subject::Attest(options) = Bench::parse().subject;
    match attest::run(options) {
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

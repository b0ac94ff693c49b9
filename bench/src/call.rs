//! A sealed call: its reply searched for the credential, and the way through the enclave.
mod direct;
mod events;
mod forms;
mod scrubbing;
mod sealed;
mod stack;
mod texts;

use std::error::Error;

use clap::Args;

use crate::report::Report;

/// What is measured.
#[derive(Args)]
pub(crate) struct Options {
    /// How often each candidate is measured.
    #[arg(long, default_value_t = 300)]
    rounds: usize,
    /// How many events are timed on their way.
    #[arg(long, default_value_t = 200)]
    events: usize,
    /// Leave out what needs a running stack, whose programs are built first: measure the search alone.
    #[arg(long)]
    without_stack: bool,
}

pub(crate) fn run(options: &Options) -> Result<Report, Box<dyn Error>> {
    let mut report = Report {
        title: "A sealed call",
        input: "replies of 1 MiB; calls over pooled connections on one machine".to_owned(),
        rounds: options.rounds,
        medians: Vec::new(),
        ratios: Vec::new(),
        figures: Vec::new(),
    };
    scrubbing::measure_into(&mut report)?;
    if !options.without_stack {
        stack::measure_into(&mut report, options.events)?;
    }
    Ok(report)
}

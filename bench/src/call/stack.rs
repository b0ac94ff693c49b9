//! What is measured over a running stack.
use std::error::Error;

use dauth_tests::Stack;

use super::{events, sealed};
use crate::report::Report;

/// What upstreams are sent, in place of a person's key.
pub(super) const SECRET: &str = "bench-0123456789abcdef0123456789abcdef";

/// Starts a stack, measures, and stops it.
pub(super) fn measure_into(report: &mut Report, events: usize) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let stack = Stack::start();
    runtime.block_on(async {
        sealed::measure_into(&stack, report).await?;
        events::measure_into(&stack, report, events).await
    })
}

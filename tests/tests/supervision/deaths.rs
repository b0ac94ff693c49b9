//! Enclaves that die under load: calls fail for a moment, with a code that says to try again.
use std::{collections::BTreeSet, time::Instant};

use dauth_tests::{Stack, wait_until};

use crate::{
    callers::Callers,
    fixture::{Supervised, connection, kill, wait_until_idle},
};

const CALLERS: usize = 8;
const CALLS: u64 = 60;

/// Kills one of `enclaves` with SIGKILL under load, so many times. What failed is retryable, and all
/// goes on. Prints for how long calls failed.
async fn killed_under_load(enclaves: usize, times: u64) {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let (_upstream, handle) = connection(&stack).await;
    let supervised = Supervised::start(&stack, enclaves);
    let file = stack.file();
    let callers = Callers::start(CALLERS, &file, supervised.gateway(), &handle).await;
    callers.goes_on(CALLS).await;
    let mut seen = 0;
    for death in 1..=times {
        let before = supervised.enclave_pids();
        let killed_at = Instant::now();
        kill("-KILL", before[0]);
        wait_until("another enclave is started", || {
            let now = supervised.enclave_pids();
            now.len() == enclaves && !now.contains(&before[0])
        });
        supervised.wait_until_ready(enclaves);
        let ready_after = killed_at.elapsed();
        callers.goes_on(CALLS).await;
        let failed = callers.failed();
        let of_this_death = &failed[seen..];
        let last = of_this_death.iter().map(|failed| failed.at).max();
        println!(
            "kill -9 of one of {enclaves}: {} of {} calls so far failed, the last {:?} after; all \
             enclaves ready after {ready_after:?}",
            of_this_death.len(),
            callers.served() + failed.len() as u64,
            last.map(|at| at.duration_since(killed_at)),
        );
        seen = failed.len();
        assert_eq!(
            supervised.metric("dauth_parent_enclave_deaths_total"),
            Some(death)
        );
    }
    let failed = callers.stop().await;
    let codes: BTreeSet<(&str, bool)> = failed
        .iter()
        .map(|failed| (failed.code.as_str(), failed.retryable))
        .collect();
    println!("codes: {codes:?}");
    let final_failure = failed.iter().find(|failed| !failed.is_retryable());
    assert!(final_failure.is_none(), "{}", final_failure.unwrap());
    assert_eq!(supervised.enclave_pids().len(), enclaves);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_enclave_is_killed_under_load_and_comes_back() {
    killed_under_load(1, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_enclaves_is_killed_under_load_and_comes_back() {
    killed_under_load(2, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enclave_that_ends_by_itself_is_started_again() {
    let stack = Stack::start();
    wait_until_idle(&stack);
    let supervised = Supervised::start(&stack, 1);
    let before = supervised.enclave_pids();
    kill("-TERM", before[0]);
    wait_until("another enclave serves", || {
        let now = supervised.enclave_pids();
        now.len() == 1 && now != before
    });
    supervised.wait_until_ready(1);
}

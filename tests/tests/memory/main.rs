//! The secret's life in memory: in the enclave while a call is under way, nowhere ten seconds after
//! the call has ended, however it ended, and in no other process ever.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "tests fail by panic"
)]

mod ending;
mod hardening;
mod keys;
mod looked;
mod matrix;
mod mutations;
mod sight;
mod upstream;

use dauth_protocol::Injection;
use dauth_tests::Stack;
use sight::Sight;

use crate::ending::Ending;

/// A stack for each injection: an owner has so many connections at most.
async fn nothing_is_left_of(injection: Injection, test: &str) {
    if Sight::of_this_test(test) == Sight::None {
        return;
    }
    let stack = Stack::start();
    let looked = matrix::run(&stack, &injection, &Ending::ALL).await;
    looked.assert_seen_during(&Ending::ALL);
    looked.assert_nothing_after();
    let pooled = Ending::ALL.iter().filter(|ending| ending.is_pooled());
    // What is pooled is in memory, and has been searched.
    assert_eq!(looked.pooled, pooled.count());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_bearer_token_however_a_call_ends() {
    nothing_is_left_of(
        Injection::Bearer {},
        "nothing_is_left_of_a_bearer_token_however_a_call_ends",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_basic_password_however_a_call_ends() {
    let user = "me".parse().unwrap();
    nothing_is_left_of(
        Injection::Basic { user },
        "nothing_is_left_of_a_basic_password_however_a_call_ends",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_header_field_however_a_call_ends() {
    let template = "X-Api-Key: key {secret}".parse().unwrap();
    nothing_is_left_of(
        Injection::Header { template },
        "nothing_is_left_of_a_header_field_however_a_call_ends",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_query_parameter_however_a_call_ends() {
    let name = "api_key".parse().unwrap();
    nothing_is_left_of(
        Injection::Query { name },
        "nothing_is_left_of_a_query_parameter_however_a_call_ends",
    )
    .await;
}

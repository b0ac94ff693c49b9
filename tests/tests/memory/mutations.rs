//! Enclaves with a fault in them, each of which the scan must find (`enclave/src/mutation.rs`).
use dauth_protocol::Injection;
use dauth_tests::{Stack, mutated_binaries};

use crate::{ending::Ending, looked::Looked, matrix, sight::Sight};

/// The calls of a matrix on an enclave with this fault; none, when there is no looking into it.
async fn look_into(mutation: &str, injection: &Injection, endings: &[Ending]) -> Looked {
    let folder = mutated_binaries(mutation);
    let stack = Stack::start_with(&["--bin-dir", folder.path().to_str().unwrap()]);
    matrix::run(&stack, injection, endings).await
}

fn api_key() -> Injection {
    let template = "X-Api-Key: key {secret}".parse().unwrap();
    Injection::Header { template }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enclave_that_does_not_wipe_is_found() {
    if Sight::of_this_test("mutations::an_enclave_that_does_not_wipe_is_found") == Sight::None {
        return;
    }
    let endings = [
        Ending::Success,
        Ending::Reflected,
        Ending::CancelledBeforeHead,
    ];
    let looked = look_into("no-wiping", &Injection::Bearer {}, &endings).await;
    for ending in endings {
        looked.assert_found_after(ending);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enclave_that_does_not_splice_is_found() {
    if Sight::of_this_test("mutations::an_enclave_that_does_not_splice_is_found") == Sight::None {
        return;
    }
    let looked = look_into("no-splice", &api_key(), &[Ending::Success]).await;
    looked.assert_found_after(Ending::Success);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_pooled_after_a_reflection_is_found() {
    let name = "mutations::a_connection_pooled_after_a_reflection_is_found";
    if Sight::of_this_test(name) == Sight::None {
        return;
    }
    let endings = [Ending::Reflected, Ending::Success];
    let looked = look_into("pool-after-reflection", &api_key(), &endings).await;
    looked.assert_found_after(Ending::Reflected);
    looked.assert_nothing_after_but(Ending::Reflected);
}

/// The fault here is the panic, and nothing is to be found: what unwinds is wiped as it goes, and
/// the process serves on.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_call_that_panics() {
    if Sight::of_this_test("mutations::nothing_is_left_of_a_call_that_panics") == Sight::None {
        return;
    }
    let folder = mutated_binaries("none");
    let stack = Stack::start_with(&["--bin-dir", folder.path().to_str().unwrap()]);
    let enclave = stack.file().enclave.pid;
    let looked = matrix::run(&stack, &api_key(), &Ending::PANICS).await;
    looked.assert_seen_during(&Ending::PANICS);
    looked.assert_nothing_after();
    let panics = stack.logs().matches("as the path asks").count();
    assert_eq!(panics, Ending::PANICS.len(), "{}", stack.logs());
    let looked = matrix::run(&stack, &api_key(), &[Ending::Success]).await;
    looked.assert_nothing_after();
    assert_eq!(stack.file().enclave.pid, enclave, "it was started again");
}

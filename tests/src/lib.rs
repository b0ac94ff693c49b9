//! End-to-end tests over one [`Stack`] of real processes, one file in `tests/` per boundary.
//!
//! [`Stack`] is what a user has after `dauth simulate`; [`Upstream`] is an API that a test scripts;
//! [`dauth_simulator::memory`] looks into processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panic"
)]

mod balancer;
mod chunks;
mod enclave;
mod identities;
mod load;
mod mutation;
mod second_enclave;
mod stack;
mod stack_file;
mod store;
mod upstream;
pub mod vm;

pub use balancer::Balancer;
pub use chunks::Chunks;
pub use enclave::{Answer, Enclave};
pub use load::Load;
pub use mutation::mutated_binaries;
pub use second_enclave::SecondEnclave;
pub use stack::{Ran, Stack, binary, simulate_once, wait_until};
pub use stack_file::{Client, StackFile};
pub use store::{Stored, Vault};
pub use upstream::{Request, Upstream, tls_acceptor};

/// The body of an http address on loopback.
pub async fn get(url: http::Uri) -> String {
    use http_body_util::{BodyExt, Empty};
    let stream = tokio::net::TcpStream::connect(url.authority().unwrap().as_str())
        .await
        .unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(url.path())
        .header("host", "localhost")
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert!(
        response.status().is_success(),
        "{url}: {}",
        response.status()
    );
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.into()).unwrap()
}

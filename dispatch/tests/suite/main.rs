//! Clients of this crate against servers that the tests write out: an authorization server and a
//! resource over plain HTTP on loopback, and an attested enclave over TCP.
#[cfg(test)]
mod enclave;
#[cfg(test)]
mod issuer;
#[cfg(test)]
mod plain_server;
#[cfg(test)]
mod replaced;
#[cfg(test)]
mod resource;
// One fake attester serves both crates; what it has for attacks on TLS is not used here.
#[cfg(test)]
#[path = "../../../attested-tls/tests/suite/support/mod.rs"]
#[allow(dead_code, reason = "shared with dauth-attested-tls")]
mod support;

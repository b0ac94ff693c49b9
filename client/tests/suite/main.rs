//! An owner against an attested enclave and a control plane that the tests write out, honest and
//! otherwise.
#[cfg(test)]
mod control_plane;
#[cfg(test)]
mod enclave;
#[cfg(test)]
mod owner;
#[cfg(test)]
mod receipts;
// One fake attester and one plain server serve three crates; not all of them is used here.
#[cfg(test)]
#[path = "../../../dispatch/tests/suite/plain_server.rs"]
#[allow(dead_code, reason = "shared with dauth-dispatch")]
mod plain_server;
#[cfg(test)]
#[path = "../../../attested-tls/tests/suite/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with dauth-attested-tls")]
mod support;

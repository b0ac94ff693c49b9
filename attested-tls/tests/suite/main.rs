//! Both ends of an attested session in one process: the client of this crate, and an enclave (or
//! something that would like to pass for one) that the tests write out.
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod session;
// Shared with dauth-dispatch and dauth-client, which use what is not used here.
#[cfg(test)]
#[allow(dead_code, reason = "shared with dauth-client")]
mod support;

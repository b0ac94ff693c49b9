//! Both ends of an attested session in one process: the client of this crate, and an enclave (or
//! something that would like to pass for one) that the tests write out.
#[cfg(test)]
mod attacks;
#[cfg(test)]
mod session;
#[cfg(test)]
mod support;

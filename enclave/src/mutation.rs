//! Faults that the memory-scan test puts into an enclave which is built for it alone, to see that it
//! finds them. Nothing that is shipped is built with `cfg(mutations)`: no manifest can switch it on.
#![allow(clippy::panic, reason = "a fault that is asked for")]

use core::sync::atomic::{AtomicU8, Ordering};
use std::env;

/// Names the fault in the environment of that build.
const VARIABLE: &str = "DAUTH_MUTATION";

/// A fault. One at most is there at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mutation {
    /// None but those that a call asks for; see [`panic_at`].
    None,
    /// Neither the allocator wipes nor our own buffers.
    NoWiping,
    /// The HTTP library is given the credential in the place of a placeholder.
    NoSplice,
    /// A connection whose reply held the credential serves again.
    PoolAfterReflection,
    /// What only the boot needs is kept: the data key, and the role's credentials.
    KeepBootSecrets,
}

/// Read by the allocator as well, so it can be no more than this.
static CHOSEN: AtomicU8 = AtomicU8::new(Mutation::None as u8);

impl Mutation {
    pub(crate) fn is_chosen(self) -> bool {
        CHOSEN.load(Ordering::Relaxed) == self as u8
    }
}

/// Puts the fault in place that the environment names.
pub(crate) fn choose() {
    let mutation = match env::var(VARIABLE).as_deref() {
        Err(_) | Ok("none") => Mutation::None,
        Ok("no-wiping") => Mutation::NoWiping,
        Ok("no-splice") => Mutation::NoSplice,
        Ok("pool-after-reflection") => Mutation::PoolAfterReflection,
        Ok("keep-boot-secrets") => Mutation::KeepBootSecrets,
        Ok(other) => panic!("{VARIABLE}: there is no {other}"),
    };
    CHOSEN.store(mutation as u8, Ordering::Relaxed);
}

/// Panics when the path of a call asks for it at this place.
pub(crate) fn panic_at(place: &str, path: &str) {
    assert!(!path.ends_with(place), "as the path asks");
}

/// Keeps a copy for ever, if that is the fault.
pub(crate) fn keep(secret: &[u8]) {
    if Mutation::KeepBootSecrets.is_chosen() {
        // What nobody reads, an optimizing compiler does not write.
        core::hint::black_box(Vec::leak(secret.to_vec()));
    }
}

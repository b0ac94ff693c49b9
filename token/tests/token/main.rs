//! What verifies, what does not, and what an independent implementation thinks of both.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access_tokens;
mod arbitrary;
mod binding;
mod oracle;
mod proofs;
mod signing;

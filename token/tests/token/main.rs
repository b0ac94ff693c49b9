//! What verifies, what does not, and what an independent implementation thinks of both.
mod access_tokens;
mod arbitrary;
mod oracle;
mod proofs;
mod signing;

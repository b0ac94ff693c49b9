//! The verifier against real documents, forged ones, and noise.
mod arbitrary;
mod real;

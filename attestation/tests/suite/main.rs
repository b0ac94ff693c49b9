//! The verifier against real documents, forged ones, and noise.
mod arbitrary;
mod chain;
mod document;
mod forge;
mod policy;
mod real;

//! Who calls, and what was proved about it.
mod call;

pub use call::{Authorized, Call};

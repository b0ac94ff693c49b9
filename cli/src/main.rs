//! The `dauth` command.
fn main() {}

//! Enclaves in virtual machines: QEMU's nitro-enclave machine boots a real image, with a real
//! `/dev/nsm` and real AF_VSOCK. `cargo xtask vm-test` brings the tools.
mod image;
mod machine;
mod tools;

pub use image::{image, simulated_enclave};
pub use machine::{Machine, become_machine};
pub use tools::Tools;

/// The host, as a guest of QEMU addresses it. On EC2 the parent is 3.
pub const PARENT_CID: u32 = 2;

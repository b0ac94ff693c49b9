//! What stands in for AWS, for an upstream and for an MCP server; never shipped in the image.
//!
//! The simulated NSM and KMS bring trust anchors of their own and pass through the production
//! verifier and client: no production crate knows that a simulator exists.

pub mod ca;
pub mod demo_mcp;
pub mod enclave;
pub mod kms;
pub mod mcp_client;
pub mod memory;
mod monitor;
pub mod nsm;
pub mod unix;
pub mod upstream;

/// The name of the authority that signs upstreams' certificates.
pub const UPSTREAM_CA_NAME: &str = "DAuth simulation, upstreams";
/// The name of the authority that signs the simulated KMS's certificate.
pub const KMS_CA_NAME: &str = "DAuth simulation, KMS";

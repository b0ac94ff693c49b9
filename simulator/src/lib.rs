//! Simulated NSM, simulated KMS, demo upstream and demo MCP server; never shipped in the image

pub mod kms;
pub mod nsm;
pub mod demo_mcp;
pub mod upstream;

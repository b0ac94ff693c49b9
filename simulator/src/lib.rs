//! Simulated NSM, simulated KMS, demo upstream and demo MCP server; never shipped in the image

pub mod nsm;

//! RFC 9334 verifier of AWS Nitro Enclaves evidence

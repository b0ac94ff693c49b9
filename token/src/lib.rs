//! Verification of RFC 9068 access tokens and RFC 9449 DPoP proofs

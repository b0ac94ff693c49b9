//! A TLS session whose peer key an attestation result endorses

//! One DPoP-bound request: to a token endpoint, or through an attested session

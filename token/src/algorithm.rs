//! Signature algorithms.
use core::fmt;

/// A signature algorithm that is accepted. There is no other: `none` and HMAC have no value here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (RFC 7518 section 3.4): 64 bytes, r then s.
    Es256,
    /// Ed25519 (RFC 8037 section 3.1; RFC 9864 section 2.2).
    Ed25519,
}

impl Algorithm {
    /// The `alg` names that are accepted, as authorization-server metadata lists them.
    pub const NAMES: [&'static str; 3] = ["ES256", "EdDSA", "Ed25519"];

    /// The algorithm of an `alg` name; both names of Ed25519 are understood.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Algorithm::Es256),
            // RFC 9864 section 4.1.2 deprecates the name "EdDSA", which most libraries still write.
            "EdDSA" | "Ed25519" => Some(Algorithm::Ed25519),
            _ => None,
        }
    }

    /// The `alg` name to write.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Es256 => "ES256",
            Algorithm::Ed25519 => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_no_other_name() {
        for name in Algorithm::NAMES {
            assert!(Algorithm::from_name(name).is_some());
        }
        for name in [
            "none", "None", "NONE", "", "HS256", "RS256", "ES384", "es256", "ES256 ",
        ] {
            assert_eq!(Algorithm::from_name(name), None);
        }
    }
}

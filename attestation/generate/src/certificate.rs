//! Certificates (RFC 5280 section 4.1), as AWS has them: P-384, no EKU, no subjectAltName.
use crate::{der, keys::Key};

/// keyUsage bits (RFC 5280 section 4.2.1.3), first byte.
pub(crate) const DIGITAL_SIGNATURE: u8 = 0x80;
pub(crate) const KEY_CERT_SIGN: u8 = 0x04;
pub(crate) const CRL_SIGN: u8 = 0x02;

const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const SECP384R1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// netscape-comment, which says nothing. Marked critical, nobody may pass over it.
const COMMENT: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xf8, 0x42, 0x01, 0x0d];

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// Name of the subject and of its key.
    pub(crate) subject: String,
    /// Name of the key, where it is not the subject's.
    pub(crate) key: Option<String>,
    pub(crate) serial: i64,
    pub(crate) valid_s: [u64; 2],
    pub(crate) authority: Authority,
    pub(crate) key_usage: Option<u8>,
    pub(crate) oddity: Oddity,
}

/// basicConstraints (RFC 5280 section 4.2.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Authority {
    No,
    Yes,
    /// With a pathLenConstraint.
    AtMost(i64),
}

/// What no certificate of AWS has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oddity {
    None,
    /// An extended key usage for servers alone.
    ForServers,
    /// A critical extension that says nothing.
    CriticalComment,
    /// The same, so long, not critical.
    Comment(usize),
    /// basicConstraints twice.
    ConstraintsTwice,
    /// It says that it is signed with SHA-256.
    Sha256,
    /// Its key is said to be one of Ed25519.
    Ed25519Key,
}

impl Template {
    pub(crate) fn signer(&self) -> Key {
        Key::named(self.key.as_deref().unwrap_or(&self.subject))
    }

    /// The certificate, signed by `issuer`.
    pub(crate) fn signed_by(&self, issuer: &Self) -> Vec<u8> {
        let algorithm = der::sequence(&[der::oid(match self.oddity {
            Oddity::Sha256 => ECDSA_WITH_SHA256,
            _ => ECDSA_WITH_SHA384,
        })]);
        let tbs = der::sequence(&[
            der::element(0xa0, &der::integer(2)),
            der::integer(self.serial),
            algorithm.clone(),
            name(&issuer.subject),
            der::sequence(&self.valid_s.map(der::time)),
            name(&self.subject),
            self.public_key(),
            der::element(0xa3, &der::sequence(&self.extensions())),
        ]);
        let signature = issuer.signer().sign_der(&tbs);
        der::sequence(&[tbs, algorithm, der::bits(&signature)])
    }

    /// subjectPublicKeyInfo (RFC 5480 section 2; RFC 8410 section 4).
    fn public_key(&self) -> Vec<u8> {
        let point = self.signer().point();
        if self.oddity == Oddity::Ed25519Key {
            return der::sequence(&[
                der::sequence(&[der::oid(ED25519)]),
                der::bits(&point[1..33]),
            ]);
        }
        der::sequence(&[
            der::sequence(&[der::oid(EC_PUBLIC_KEY), der::oid(SECP384R1)]),
            der::bits(&point),
        ])
    }

    fn extensions(&self) -> Vec<Vec<u8>> {
        let constraints = match self.authority {
            Authority::No => der::sequence(&[]),
            Authority::Yes => der::sequence(&[der::truth()]),
            Authority::AtMost(below) => der::sequence(&[der::truth(), der::integer(below)]),
        };
        let mut extensions = vec![critical(BASIC_CONSTRAINTS, &constraints)];
        extensions.extend(
            self.key_usage
                .map(|usage| critical(KEY_USAGE, &der::named_bits(usage))),
        );
        extensions.extend(match self.oddity {
            Oddity::None | Oddity::Sha256 | Oddity::Ed25519Key => None,
            Oddity::ConstraintsTwice => Some(critical(BASIC_CONSTRAINTS, &constraints)),
            Oddity::ForServers => Some(der::sequence(&[
                der::oid(EXTENDED_KEY_USAGE),
                der::octets(&der::sequence(&[der::oid(SERVER_AUTH)])),
            ])),
            Oddity::CriticalComment => Some(critical(COMMENT, &der::utf8("must be known"))),
            Oddity::Comment(length) => Some(der::sequence(&[
                der::oid(COMMENT),
                der::octets(&der::utf8(&"x".repeat(length))),
            ])),
        });
        extensions
    }
}

fn critical(id: &[u8], value: &[u8]) -> Vec<u8> {
    der::sequence(&[der::oid(id), der::truth(), der::octets(value)])
}

fn name(common: &str) -> Vec<u8> {
    der::sequence(&[der::set(&[der::sequence(&[
        der::oid(COMMON_NAME),
        der::utf8(common),
    ])])])
}

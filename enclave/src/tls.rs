//! The enclave's own TLS: a key made at boot, which evidence endorses.
//!
//! The certificate is an envelope for the key and proves nothing: clients compare the key with the
//! attested one. Hence a fixed DER template instead of a certificate library.
use std::sync::Arc;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs as provider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// SubjectPublicKeyInfo of a P-256 key up to its point (RFC 5480 section 2).
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// AlgorithmIdentifier of ecdsa-with-SHA256 (RFC 5758 section 3.2).
const ECDSA_WITH_SHA256: [u8; 12] = [
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];
/// Name: CN=dauth-enclave.
const NAME: [u8; 26] = *b"\x30\x18\x31\x16\x30\x14\x06\x03\x55\x04\x03\x0c\x0ddauth-enclave";
/// Validity: 2020 to the end of 9999 (RFC 5280 section 4.1.2.5): trust does not come from it.
const VALIDITY: &[u8] = b"\x30\x20\x17\x0d200101000000Z\x18\x0f99991231235959Z";
/// Version 3, serial number 1.
const VERSION_AND_SERIAL: [u8; 8] = [0xa0, 0x03, 0x02, 0x01, 0x02, 0x02, 0x01, 0x01];

/// A TLS key and what clients need to know of it.
pub struct TlsIdentity {
    spki: Vec<u8>,
    server: Arc<ServerConfig>,
}

/// The key or its configuration could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the TLS key could not be made")]
pub struct TlsKeyError;

impl TlsIdentity {
    /// Makes a P-256 key and a TLS 1.3 server configuration for it.
    pub fn generate() -> Result<Self, TlsKeyError> {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .map_err(|_| TlsKeyError)?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref())
            .map_err(|_| TlsKeyError)?;
        let spki = [&P256_SPKI_PREFIX[..], key.public_key().as_ref()].concat();
        let certificate = self_signed(&spki, |message| {
            key.sign(&random, message)
                .map(|s| s.as_ref().to_vec())
                .map_err(|_| TlsKeyError)
        })?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_ref().to_vec()));
        let mut server =
            ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .map_err(|_| TlsKeyError)?
                .with_no_client_auth()
                .with_single_cert(vec![CertificateDer::from(certificate)], private)
                .map_err(|_| TlsKeyError)?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A resumed session proves possession of a ticket, not of the attested key.
        server.send_tls13_tickets = 0;
        Ok(Self {
            spki,
            server: Arc::new(server),
        })
    }

    /// SubjectPublicKeyInfo, DER.
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The configuration that ingress is served with.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

/// A certificate (RFC 5280 section 4.1) of `spki`, signed by `sign`.
fn self_signed(
    spki: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, TlsKeyError>,
) -> Result<Vec<u8>, TlsKeyError> {
    let to_be_signed = sequence(&[
        &VERSION_AND_SERIAL,
        &ECDSA_WITH_SHA256,
        &NAME,
        VALIDITY,
        &NAME,
        spki,
    ]);
    let signature = sign(&to_be_signed)?;
    // BIT STRING with no unused bits.
    let bits = [&[0][..], &signature].concat();
    Ok(sequence(&[
        &to_be_signed,
        &ECDSA_WITH_SHA256,
        &tlv(0x03, &bits),
    ]))
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// One DER element; everything in this template is shorter than 64 KiB.
fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = content.len().to_be_bytes();
    let length: &[u8] = match content.len() {
        0..0x80 => &[low],
        0x80..0x100 => &[0x81, low],
        _ => &[0x82, high, low],
    };
    [&[tag][..], length, content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_holds_the_key_and_is_well_formed() {
        let identity = TlsIdentity::generate().unwrap();
        let certificate = self_signed(identity.spki(), |_| Ok(vec![0; 70])).unwrap();
        let der = CertificateDer::from(certificate);
        let parsed = webpki::EndEntityCert::try_from(&der).unwrap();
        assert_eq!(parsed.subject_public_key_info().as_ref(), identity.spki());
    }
}

//! The identity of the https listener, whose key the enclave's configuration pins.
use std::{fmt, io, path::Path, sync::Arc};

use aws_lc_rs::digest;
use rcgen::{
    CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, date_time_ymd,
};
use rustls::{ServerConfig, version::TLS13};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::private_file;

const KEY_FILE: &str = "tls-key.pk8";
const PIN_FILE: &str = "tls-spki-sha256";

/// A P-256 key and a certificate that it signed itself.
///
/// The enclave trusts the key, by the SHA-256 of its SubjectPublicKeyInfo, not the certificate: so
/// the certificate is made anew at each start and never has to be renewed.
pub struct Identity {
    /// SHA-256 of the SubjectPublicKeyInfo (DER), lower-case hexadecimal: `issuer_keys.spki_sha256`
    /// of a deployment configuration.
    pub spki_sha256: String,
    /// The certificate (DER).
    pub certificate: Vec<u8>,
    key: PrivatePkcs8KeyDer<'static>,
}

/// The https identity of a state directory, created there if there is none.
///
/// The pin is also written to `tls-spki-sha256` in it, for a person to copy.
pub fn tls_identity(state_dir: &Path) -> io::Result<Identity> {
    private_file::create_directory(state_dir)?;
    let pkcs8 = private_file::load_or_create(&state_dir.join(KEY_FILE), || {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map(|pair| pair.serialize_der())
            .map_err(io::Error::other)
    })?;
    let key = PrivatePkcs8KeyDer::from(pkcs8);
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, KEY_FILE))?;
    let certificate = self_signed(&pair).map_err(io::Error::other)?;
    let spki_sha256 = hex::encode(digest::digest(
        &digest::SHA256,
        &pair.subject_public_key_info(),
    ));
    std::fs::write(state_dir.join(PIN_FILE), format!("{spki_sha256}\n"))?;
    Ok(Identity {
        spki_sha256,
        certificate,
        key,
    })
}

fn self_signed(pair: &KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut certificate = CertificateParams::new(names)?;
    certificate
        .distinguished_name
        .push(DnType::CommonName, "DAuth control plane");
    certificate.not_before = date_time_ymd(2020, 1, 1);
    certificate.not_after = date_time_ymd(2120, 1, 1);
    Ok(certificate.self_signed(pair)?.der().to_vec())
}

impl Identity {
    /// TLS 1.3 alone: the one client is the enclave.
    pub(crate) fn server_config(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(self.certificate.clone())],
                PrivateKeyDer::Pkcs8(self.key.clone_key()),
            )?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.spki_sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_stays_from_start_to_start() {
        let state = tempfile::tempdir().unwrap();
        let first = tls_identity(state.path()).unwrap();
        assert_eq!(
            tls_identity(state.path()).unwrap().spki_sha256,
            first.spki_sha256
        );
        let file = std::fs::read_to_string(state.path().join(PIN_FILE)).unwrap();
        assert_eq!(file.trim(), first.spki_sha256);
        assert!(first.server_config().is_ok());
    }
}

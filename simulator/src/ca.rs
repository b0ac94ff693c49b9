//! Certificate authorities of the simulation: one for upstreams, one for the simulated KMS.
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

/// A certificate authority: certificate and key, both PEM.
pub struct Authority {
    params: CertificateParams,
    certificate_pem: String,
    key_pem: String,
}

/// A server's certificate and key, both PEM.
pub struct ServerIdentity {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key (PKCS #8).
    pub key_pem: String,
}

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("certificate authority: {0}")]
pub struct AuthorityError(#[from] rcgen::Error);

impl Authority {
    /// Makes an authority with a key of its own.
    pub fn create(name: &str) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let params = params(name);
        let certificate_pem = params.self_signed(&key)?.pem();
        Ok(Self {
            params,
            certificate_pem,
            key_pem: key.serialize_pem(),
        })
    }

    /// The authority of this name that was stored.
    pub fn from_pem(name: &str, certificate_pem: String, key_pem: String) -> Self {
        Self {
            params: params(name),
            certificate_pem,
            key_pem,
        }
    }

    /// The certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, PEM.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Issues a server certificate for DNS names and IP addresses.
    pub fn issue(&self, names: &[&str]) -> Result<ServerIdentity, AuthorityError> {
        let issuer = Issuer::from_params(&self.params, KeyPair::from_pem(&self.key_pem)?);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "DAuth simulation");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(ServerIdentity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};

    use super::*;

    #[test]
    fn an_issued_certificate_verifies_for_its_names_alone() {
        let authority = Authority::create("test").unwrap();
        let server = authority.issue(&["api.test", "127.0.0.1"]).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap())
            .unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(
            roots.into(),
            provider.into(),
        )
        .build()
        .unwrap();
        let leaf = CertificateDer::from_pem_slice(server.certificate_pem.as_bytes()).unwrap();
        let verify = |name: &'static str| {
            use rustls::client::danger::ServerCertVerifier;
            let name = ServerName::try_from(name).unwrap();
            verifier
                .verify_server_cert(&leaf, &[], &name, &[], UnixTime::now())
                .is_ok()
        };
        assert!(verify("api.test") && verify("127.0.0.1"));
        assert!(!verify("other.test") && !verify("127.0.0.2"));
    }
}

//! The root of simulated NSMs.
use dauth_attestation::{AnchorError, TrustAnchors};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::pki::{BACKDATED_S, DAY_S, PkiError, named, set_validity};

const LIFETIME_S: u64 = 30 * 365 * DAY_S;

/// The root of simulated NSMs: made once, and kept with the state of the simulator.
pub struct SimulatorRoot {
    key: KeyPair,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
}

impl SimulatorRoot {
    /// A new root, valid for thirty years from `now_s` (Unix seconds).
    pub fn create(now_s: u64) -> Result<Self, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
        let mut params = root_params();
        set_validity(&mut params, now_s.saturating_sub(BACKDATED_S), LIFETIME_S);
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key,
        })
    }

    /// Private key and certificate, for a file that its owner alone may read.
    pub fn to_pem(&self) -> String {
        self.key.serialize_pem() + &self.certificate_pem
    }

    /// Reads what [`SimulatorRoot::to_pem`] wrote.
    pub fn from_pem(pem: &str) -> Result<Self, PkiError> {
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ECDSA_P384_SHA384)
            .map_err(|_| PkiError::RootKey)?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| PkiError::Root(AnchorError::NotPem))?;
        TrustAnchors::from_der(&certificate)?;
        let public = key.public_key_raw();
        if !certificate
            .windows(public.len())
            .any(|window| window == public)
        {
            return Err(PkiError::RootKey);
        }
        let start = pem.find("-----BEGIN CERTIFICATE-----");
        let certificate_pem = pem.get(start.unwrap_or_default()..).unwrap_or_default();
        Ok(Self {
            certificate_pem: certificate_pem.to_owned(),
            certificate,
            key,
        })
    }

    /// The certificate alone: what clients of the simulator pin.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The certificate in DER.
    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Signs one certificate.
    pub(super) fn sign(
        &self,
        params: &CertificateParams,
        key: &KeyPair,
    ) -> Result<CertificateDer<'static>, PkiError> {
        let own = root_params();
        let issuer = Issuer::from_params(&own, &self.key);
        Ok(params.signed_by(key, &issuer)?.into())
    }

    /// The root as trust anchor.
    pub fn trust_anchors(&self) -> Result<TrustAnchors, PkiError> {
        Ok(TrustAnchors::from_der(&self.certificate)?)
    }
}

fn root_params() -> CertificateParams {
    let mut params = named("root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
    ];
    params
}

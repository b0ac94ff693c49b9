//! The certificates between a simulated root and the key that signs documents.
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair},
};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384,
};
use rustls_pki_types::CertificateDer;

use super::{
    pki::{BACKDATED_S, DAY_S, HOUR_S, PkiError, Validity, named, set_validity},
    root::SimulatorRoot,
};

const LEAF_LIFETIME_S: u64 = 3 * HOUR_S + 3;
/// A leaf that ends sooner is replaced: a document should outlive its way to the verifier.
const LEAF_RENEWAL_S: u64 = 15 * 60;

/// The authorities between root and leaf, from the top.
const LEVELS: [Level; 3] = [
    Level {
        name: "regional",
        lifetime_s: 20 * DAY_S,
        renewal_s: 6 * DAY_S,
        path_length: 2,
    },
    Level {
        name: "zonal",
        lifetime_s: 6 * DAY_S,
        renewal_s: DAY_S,
        path_length: 1,
    },
    Level {
        name: "instance",
        lifetime_s: DAY_S,
        renewal_s: LEAF_LIFETIME_S,
        path_length: 0,
    },
];

struct Level {
    name: &'static str,
    lifetime_s: u64,
    /// An authority that ends sooner is replaced, so that none ends before what it signs.
    renewal_s: u64,
    path_length: u8,
}

/// The certificates of one NSM, and the key at their end.
pub(super) struct Chain {
    root: CertificateDer<'static>,
    authorities: Vec<Authority>,
    leaf: Leaf,
}

struct Authority {
    params: CertificateParams,
    key: KeyPair,
    certificate: CertificateDer<'static>,
    validity: Validity,
}

struct Leaf {
    key: EcdsaKeyPair,
    certificate: CertificateDer<'static>,
    validity: Validity,
}

impl Chain {
    pub(super) fn mint(
        root: &SimulatorRoot,
        module_id: &str,
        now_s: u64,
    ) -> Result<Self, PkiError> {
        let mut authorities = Vec::with_capacity(LEVELS.len());
        add_authorities(&mut authorities, root, now_s)?;
        let leaf = mint_leaf(&authorities, root, module_id, now_s)?;
        Ok(Self {
            root: root.certificate().clone(),
            authorities,
            leaf,
        })
    }

    /// Replaces what is near its end, or not yet valid, and everything below it.
    pub(super) fn renew(
        &mut self,
        root: &SimulatorRoot,
        module_id: &str,
        now_s: u64,
    ) -> Result<(), PkiError> {
        let kept = self
            .authorities
            .iter()
            .zip(&LEVELS)
            .take_while(|(authority, level)| authority.validity.covers(now_s, level.renewal_s))
            .count();
        let authorities_hold = kept == LEVELS.len();
        if authorities_hold && self.leaf.validity.covers(now_s, LEAF_RENEWAL_S) {
            return Ok(());
        }
        self.authorities.truncate(kept);
        add_authorities(&mut self.authorities, root, now_s)?;
        self.leaf = mint_leaf(&self.authorities, root, module_id, now_s)?;
        Ok(())
    }

    /// The certificates above the leaf, the root first.
    pub(super) fn cabundle(&self) -> impl Iterator<Item = &[u8]> {
        let authorities = self.authorities.iter().map(|one| one.certificate.as_ref());
        std::iter::once(self.root.as_ref()).chain(authorities)
    }

    /// The certificate of the signing key.
    pub(super) fn certificate(&self) -> &[u8] {
        &self.leaf.certificate
    }

    /// r and s, 96 bytes.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        let signature = self.leaf.key.sign(&SystemRandom::new(), message);
        Ok(signature
            .map_err(|_| PkiError::SigningKey)?
            .as_ref()
            .to_vec())
    }
}

fn add_authorities(
    authorities: &mut Vec<Authority>,
    root: &SimulatorRoot,
    now_s: u64,
) -> Result<(), PkiError> {
    for level in LEVELS.iter().skip(authorities.len()) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
        let mut params = named(level.name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(level.path_length));
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let from_s = now_s.saturating_sub(BACKDATED_S);
        let validity = set_validity(&mut params, from_s, level.lifetime_s);
        let certificate = signed(&params, &key, authorities, root)?;
        authorities.push(Authority {
            params,
            key,
            certificate,
            validity,
        });
    }
    Ok(())
}

fn mint_leaf(
    authorities: &[Authority],
    root: &SimulatorRoot,
    module_id: &str,
    now_s: u64,
) -> Result<Leaf, PkiError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
    let mut params = named(module_id);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::ContentCommitment,
    ];
    let validity = set_validity(&mut params, now_s, LEAF_LIFETIME_S);
    let certificate = signed(&params, &key, authorities, root)?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, key.serialized_der())
        .map_err(|_| PkiError::SigningKey)?;
    Ok(Leaf {
        key,
        certificate,
        validity,
    })
}

/// A certificate by the lowest authority there is.
fn signed(
    params: &CertificateParams,
    key: &KeyPair,
    authorities: &[Authority],
    root: &SimulatorRoot,
) -> Result<CertificateDer<'static>, PkiError> {
    let Some(authority) = authorities.last() else {
        return root.sign(params, key);
    };
    let issuer = Issuer::from_params(&authority.params, &authority.key);
    Ok(params.signed_by(key, &issuer)?.into())
}

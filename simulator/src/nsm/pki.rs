//! What the simulator's certificates have in common. Lifetimes and usages are those of AWS's.
use std::time::Duration;

use dauth_attestation::AnchorError;
use rcgen::{CertificateParams, DistinguishedName, DnType};

pub(super) const HOUR_S: u64 = 3600;
pub(super) const DAY_S: u64 = 24 * HOUR_S;
/// AWS's authorities are backdated, leaf certificates are not.
pub(super) const BACKDATED_S: u64 = HOUR_S;

/// Why a certificate of the simulator was not made or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A key or certificate could not be made.
    #[error("the simulator's certificate could not be made: {0}")]
    Mint(#[from] rcgen::Error),
    /// A key that was just made cannot sign.
    #[error("the simulator's signing key is not usable")]
    SigningKey,
    /// The PEM text has no certificate of a root.
    #[error("the simulator's root is not usable: {0}")]
    Root(#[from] AnchorError),
    /// The PEM text has no private key, or that of another certificate.
    #[error("the simulator's root has no private key that fits its certificate")]
    RootKey,
}

/// The seconds in which a certificate is valid.
#[derive(Clone, Copy)]
pub(super) struct Validity {
    from_s: u64,
    until_s: u64,
}

impl Validity {
    /// Whether it holds now and for `ahead_s` more.
    pub(super) fn covers(self, now_s: u64, ahead_s: u64) -> bool {
        self.from_s <= now_s && now_s.saturating_add(ahead_s) <= self.until_s
    }
}

pub(super) fn named(name: &str) -> CertificateParams {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::OrganizationName, "DAuth simulator");
    distinguished_name.push(
        DnType::CommonName,
        format!("{name}.simulated.nitro-enclaves"),
    );
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name;
    params
}

/// Sets the validity of `params`, and returns it.
pub(super) fn set_validity(
    params: &mut CertificateParams,
    from_s: u64,
    lifetime_s: u64,
) -> Validity {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let until_s = from_s.saturating_add(lifetime_s);
    params.not_before = epoch + Duration::from_secs(from_s);
    params.not_after = epoch + Duration::from_secs(until_s);
    Validity { from_s, until_s }
}

//! Whose word counts. What is asked and answered is tested against the simulated KMS.
use std::sync::Arc;

use dauth_protocol::measurement::Pcr;
use rustls::RootCertStore;

use super::*;
use crate::{
    keyset::tests::{configuration, fleet::Fleet},
    kms::KmsSettings,
};

async fn refusal(fleet: &Fleet, endpoint: Option<&str>, authority: LockAuthority) -> CustodyError {
    let mut configuration = configuration();
    configuration.kms.endpoint = endpoint.map(str::to_owned);
    let client = KmsClient::new(KmsSettings {
        attester: fleet.nsm(),
        host: fleet.host(),
        roots: Arc::new(RootCertStore::empty()),
        configuration: &configuration,
        configuration_bytes: b"",
    });
    let image = Predecessor {
        pcr0: Pcr::from([1; 48]),
        pcr16: Pcr::from([2; 48]),
    };
    let rule = KeyPolicyRule::Locked;
    let checked = check(&client.unwrap(), rule, &image, authority).await;
    checked.expect_err("no KMS is there")
}

/// The attack: the deployment's configuration names a KMS of its author's, with a certificate of a
/// public root. It would call its key locked, and knows each data key.
#[tokio::test]
async fn a_lock_that_another_than_aws_vouches_for_does_not_count() {
    let fleet = Fleet::new();
    let connects = || std::mem::take(&mut fleet.parent.state().connects);
    for endpoint in ["https://kms.example", "https://kms.eu-west-2.amazonaws.com"] {
        let refused = refusal(&fleet, Some(endpoint), LockAuthority::Aws).await;
        assert!(matches!(refused, CustodyError::Endpoint), "{refused}");
        assert!(connects().is_empty(), "it is not even asked");
    }
    for endpoint in [None, Some("https://kms-fips.eu-west-1.amazonaws.com")] {
        let refused = refusal(&fleet, endpoint, LockAuthority::Aws).await;
        assert!(matches!(refused, CustodyError::Kms(_)), "{refused}");
        assert_eq!(connects().len(), 1);
    }
    // Roots of one KMS alone are as good.
    let refused = refusal(&fleet, Some("https://kms.example"), LockAuthority::Roots).await;
    assert!(matches!(refused, CustodyError::Kms(_)), "{refused}");
}

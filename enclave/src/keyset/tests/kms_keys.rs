//! Which KMS key is asked for what.
use std::sync::Arc;

use dauth_protocol::deployment::Kms;
use rustls::RootCertStore;

use super::{
    super::data_keys::{DataKeys, KmsKeys},
    configuration,
    fleet::Fleet,
};
use crate::kms::{KmsClient, KmsSettings};

fn kms_in(region: &str) -> Kms {
    Kms {
        key_arn: format!("arn:aws:kms:{region}:0:key/{region}"),
        region: region.to_owned(),
        ..configuration().kms
    }
}

#[tokio::test]
async fn each_kms_key_is_asked_where_it_is_and_the_current_one_for_what_is_new() {
    let fleet = Fleet::new();
    let mut configuration = configuration();
    configuration.kms = kms_in("eu-west-1");
    configuration.former_kms = vec![kms_in("eu-west-2"), kms_in("eu-west-3")];
    let client = KmsClient::new(KmsSettings {
        attester: fleet.nsm(),
        host: fleet.host(),
        roots: Arc::new(RootCertStore::empty()),
        configuration: &configuration,
        configuration_bytes: b"",
    });
    let keys = KmsKeys::new(client.unwrap(), &configuration).unwrap();
    let connects = || std::mem::take(&mut fleet.parent.state().connects);
    for region in ["eu-west-1", "eu-west-2", "eu-west-3"] {
        let arn = kms_in(region).key_arn;
        assert!(keys.decrypt(&arn, b"wrapped").await.is_err());
        assert_eq!(connects(), [format!("kms.{region}.amazonaws.com:443")]);
    }
    assert!(keys.generate().await.is_err());
    assert_eq!(connects(), ["kms.eu-west-1.amazonaws.com:443"]);
}

//! Which KMS key is asked for what.
use std::sync::Arc;

use dauth_protocol::{
    DeploymentConfiguration,
    deployment::{KeyPolicyRule, Kms},
    key_configuration::GuardingKey,
};
use rustls::RootCertStore;

use super::{
    super::{
        Announcement,
        data_keys::{DataKeys, KmsKeys},
        generation,
    },
    IMAGE, configuration,
    fleet::{Fleet, order},
    image,
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

/// A keyset that is still under an unlocked key is not said to be under the locked one.
#[tokio::test]
async fn clients_are_told_of_the_kms_key_that_the_generation_is_under() {
    let fleet = Fleet::with_keyset().await;
    let guarding = |kms: Kms, policy| GuardingKey {
        arn: kms.key_arn,
        policy,
    };
    let locked = guarding(kms_in("eu-west-2"), KeyPolicyRule::Locked);
    let announcement = Announcement {
        tls_key: b"tls key".to_vec(),
        kms_key: locked.clone(),
        audience: configuration().audience,
    };
    let moving = DeploymentConfiguration {
        kms: kms_in("eu-west-2"),
        former_kms: vec![configuration().kms],
        ..configuration()
    };
    let context = fleet.context_of(image(IMAGE), moving);
    let first = generation::load_at(&context, fleet.now_ms()).await.unwrap();
    let unlocked = guarding(configuration().kms, KeyPolicyRule::Unchecked);
    assert_eq!(announcement.of(&first).kms_key, unlocked);
    let second = generation::change(&context, &first, &order(1, []), fleet.now_ms()).await;
    assert_eq!(announcement.of(&second.unwrap()).kms_key, locked);
}

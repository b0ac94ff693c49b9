//! Each rule of the chain, broken once.
use core::time::Duration;

use dauth_attestation::{Error, Field, Policy};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};

use crate::forge::{
    Forge, INSTANCE, LEAF, NOW_MS, NOW_S, REGIONAL, ROOT, ZONAL, anything, bytes, valid,
};

type Edit = fn(&mut [CertificateParams; 5]);

fn refuse(cases: &[(&str, Edit, Error)]) {
    for (name, edit, expected) in cases {
        let forge = Forge::with_certificates(edit);
        assert_eq!(forge.judge(), Err(expected.clone()), "{name}");
    }
}

#[test]
fn every_certificate_must_be_valid_at_the_time_given() {
    let forge = Forge::new();
    for (at_s, ok) in [(NOW_S, true), (NOW_S + 3600, true), (NOW_S + 3601, false)] {
        assert_eq!(forge.judge_at(at_s * 1000, &anything()).is_ok(), ok);
    }
    for level in [REGIONAL, ZONAL, INSTANCE, LEAF] {
        let field = if level == LEAF {
            Field::Certificate
        } else {
            Field::Cabundle
        };
        let ended = Forge::with_certificates(|all| valid(&mut all[level], NOW_S - 9, NOW_S - 1));
        let not_after_s = NOW_S - 1;
        assert_eq!(ended.judge(), Err(Error::Expired { field, not_after_s }));
        let later = NOW_S + 3600;
        let early = Forge::with_certificates(|all| valid(&mut all[level], later, later + 9));
        let not_before_s = later;
        assert_eq!(
            early.judge(),
            Err(Error::NotYetValid {
                field,
                not_before_s
            })
        );
    }
    let root = Forge::with_certificates(|all| valid(&mut all[ROOT], NOW_S - 9, NOW_S - 1));
    assert_eq!(root.judge(), Err(Error::NoValidAnchor));
}

#[test]
fn leeway_is_for_the_beginning_of_the_leaf_alone() {
    let policy = Policy {
        leeway: Duration::from_secs(10),
        ..anything()
    };
    let forge = Forge::new();
    assert!(forge.judge_at(NOW_MS - 10_000, &policy).is_ok());
    let early = Error::NotYetValid {
        field: Field::Certificate,
        not_before_s: NOW_S,
    };
    assert_eq!(forge.judge_at(NOW_MS - 11_000, &policy), Err(early));

    let authority = Forge::with_certificates(|all| valid(&mut all[ZONAL], NOW_S, NOW_S + 60));
    let early = Error::NotYetValid {
        field: Field::Cabundle,
        not_before_s: NOW_S,
    };
    assert_eq!(authority.judge_at(NOW_MS - 1000, &policy), Err(early));

    let ended = Forge::with_certificates(|all| valid(&mut all[LEAF], NOW_S, NOW_S + 60));
    let late = Error::Expired {
        field: Field::Certificate,
        not_after_s: NOW_S + 60,
    };
    assert_eq!(ended.judge_at(NOW_MS + 61_000, &policy), Err(late));
}

#[test]
fn key_usage_is_checked_on_every_certificate() {
    const NONE: Error = Error::NoKeyCertSign;
    refuse(&[
        (
            "regional",
            |all| all[REGIONAL].key_usages = vec![KeyUsagePurpose::CrlSign],
            NONE,
        ),
        (
            "zonal",
            |all| all[ZONAL].key_usages = vec![KeyUsagePurpose::DigitalSignature],
            NONE,
        ),
        (
            "instance without",
            |all| all[INSTANCE].key_usages.clear(),
            NONE,
        ),
        (
            "leaf",
            |all| all[LEAF].key_usages = vec![KeyUsagePurpose::KeyCertSign],
            Error::NoDigitalSignature,
        ),
        (
            "leaf without",
            |all| all[LEAF].key_usages.clear(),
            Error::NoDigitalSignature,
        ),
    ]);
}

#[test]
fn authorities_are_authorities_and_the_leaf_is_none() {
    refuse(&[
        (
            "zonal is no CA",
            |all| all[ZONAL].is_ca = IsCa::ExplicitNoCa,
            Error::IssuerNotCa,
        ),
        (
            "instance is no CA",
            |all| all[INSTANCE].is_ca = IsCa::ExplicitNoCa,
            Error::IssuerNotCa,
        ),
        (
            "leaf is a CA",
            |all| all[LEAF].is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Error::LeafIsCa,
        ),
        (
            "leaf has a path length",
            |all| all[LEAF].is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
            Error::LeafPathLength,
        ),
        (
            "root allows two CAs below",
            |all| all[ROOT].is_ca = IsCa::Ca(BasicConstraints::Constrained(2)),
            Error::PathLength,
        ),
        (
            "regional allows one CA below",
            |all| all[REGIONAL].is_ca = IsCa::Ca(BasicConstraints::Constrained(1)),
            Error::PathLength,
        ),
        (
            "zonal allows none",
            |all| all[ZONAL].is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
            Error::PathLength,
        ),
    ]);
    let servers = Forge::with_certificates(|all| {
        all[LEAF].extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    assert_eq!(servers.judge(), Err(Error::ExtendedKeyUsage));
}

#[test]
fn the_bundle_is_the_chain_in_its_order() {
    let mut swapped = Forge::new();
    swapped.cabundle().swap(REGIONAL, ZONAL);
    assert_eq!(swapped.judge(), Err(Error::CabundleOrder));

    let mut extra = Forge::new();
    let zonal = extra.cabundle()[ZONAL].clone();
    extra.cabundle().push(zonal);
    assert_eq!(extra.judge(), Err(Error::CabundleOrder));

    let mut missing = Forge::new();
    missing.cabundle().remove(ZONAL);
    assert_eq!(missing.judge(), Err(Error::CabundleOrder));

    let mut root_alone = Forge::new();
    root_alone.cabundle().truncate(1);
    assert_eq!(root_alone.judge(), Err(Error::UnknownRoot));

    let mut noise = Forge::new();
    noise.cabundle()[ZONAL] = bytes(b"no certificate");
    assert_eq!(noise.judge(), Err(Error::NotACertificate(Field::Cabundle)));
    noise = Forge::new();
    noise.set("certificate", bytes(b"no certificate"));
    assert_eq!(
        noise.judge(),
        Err(Error::NotACertificate(Field::Certificate))
    );
}

#[test]
fn a_root_of_the_same_name_is_another_root() {
    // The bundled root of the stranger is in its document, and is not believed.
    let mut stranger = Forge::new();
    stranger.anchors = Forge::new().anchors;
    assert_eq!(stranger.judge(), Err(Error::CertificateSignature));
}

#[test]
fn authorities_of_one_name_are_refused_before_any_signature() {
    let forge = Forge::with_certificates(|all| {
        let name = all[ROOT].distinguished_name.clone();
        for authority in &mut all[REGIONAL..=INSTANCE] {
            authority.distinguished_name = name.clone();
        }
    });
    assert_eq!(forge.judge(), Err(Error::CabundleOrder));
}

#[test]
fn only_p384_with_sha384_signs() {
    let forge = Forge::with_key_of(ZONAL, &PKCS_ECDSA_P256_SHA256);
    assert_eq!(forge.judge(), Err(Error::CertificateAlgorithm));
    let forge = Forge::with_key_of(LEAF, &PKCS_ECDSA_P256_SHA256);
    assert_eq!(forge.judge(), Err(Error::SignerKey));
}

#[test]
fn an_unknown_critical_extension_is_refused_and_another_is_not() {
    enum Criticality {
        Critical,
        Ignorable,
    }
    let extended = |level: usize, criticality| {
        Forge::with_certificates(|all| {
            let mut extension =
                CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 1], vec![5, 0]);
            extension.set_criticality(matches!(criticality, Criticality::Critical));
            all[level].custom_extensions.push(extension);
        })
    };
    for level in [REGIONAL, LEAF] {
        assert!(extended(level, Criticality::Ignorable).judge().is_ok());
        let refused = extended(level, Criticality::Critical).judge();
        assert_eq!(refused, Err(Error::CriticalExtension));
    }
}

#[test]
fn an_extension_that_comes_twice_is_refused() {
    // keyUsage with digitalSignature and with keyCertSign.
    for usage in [[3, 2, 7, 0x80], [3, 2, 2, 0x04]] {
        for level in [LEAF, ZONAL] {
            let twice = Forge::with_certificates(|all| {
                let again = CustomExtension::from_oid_content(&[2, 5, 29, 15], usage.to_vec());
                all[level].custom_extensions.push(again);
            });
            assert!(twice.judge().is_err());
        }
    }
}

#[test]
fn the_result_is_valid_while_the_whole_chain_is() {
    let forge = Forge::new();
    let result = forge.judge().expect("accepted");
    assert_eq!(result.chain_valid_from_s(), NOW_S);
    assert_eq!(result.chain_valid_until_s(), NOW_S + 3600);
    let root = Forge::with_certificates(|all| valid(&mut all[ROOT], NOW_S - 9, NOW_S + 60));
    let result = root.judge().expect("accepted");
    assert_eq!(result.chain_valid_until_s(), NOW_S + 60);
}

//! Path validation (RFC 5280 section 6.1; AWS section 3.2.3), broken.
use super::{Case, Verdict, accepted::widen, case, reject, reject_chain};
use crate::{
    cbor::Cbor,
    certificate::{Authority, CRL_SIGN, KEY_CERT_SIGN, Oddity},
    forge::{AT_S, INSTANCE, LEAF, REGIONAL, ROOT, ZONAL, constrained_root, leaf_validity},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = validity();
    cases.extend(roles());
    cases.extend(path());
    cases
}

fn validity() -> Vec<Case> {
    vec![
        reject(
            "leaf_not_yet_valid",
            "NotYetValid",
            "a second too early",
            |f| {
                f.at_ms = leaf_validity()[0] * 1000 - 1;
            },
        ),
        reject("leaf_expired", "Expired", "a second too late", |f| {
            f.at_ms = (leaf_validity()[1] + 1) * 1000;
        }),
        case(
            "leaf_ahead_beyond_leeway",
            "a leaf whose time comes in 11 seconds, and a leeway of 10",
            Verdict::Reject("NotYetValid"),
            |all| all[LEAF].valid_s = [AT_S + 11, AT_S + 3600],
            |f| f.policy.leeway_s = 10,
        ),
        case(
            "zonal_ahead_within_leeway",
            "leeway is for the leaf alone",
            Verdict::Reject("NotYetValid"),
            |all| all[ZONAL].valid_s = [AT_S + 1, AT_S + 3600],
            |f| f.policy.leeway_s = 10,
        ),
        reject_chain("regional_expired", "Expired", "an expired CA", |all| {
            all[REGIONAL].valid_s = [AT_S - 3600, AT_S - 1];
        }),
        case(
            "root_expired",
            "a chain that outlives its root (and has GeneralizedTime)",
            Verdict::Reject("NoValidAnchor"),
            |all| {
                for below in &mut all[REGIONAL..=LEAF] {
                    below.valid_s[1] = 2_600_000_000;
                }
            },
            |f| f.at_ms = 2_550_000_000_000,
        ),
    ]
}

fn roles() -> Vec<Case> {
    vec![
        reject_chain(
            "zonal_no_key_cert_sign",
            "NoKeyCertSign",
            "a CA that signs CRLs alone",
            |all| {
                all[ZONAL].key_usage = Some(CRL_SIGN);
            },
        ),
        reject_chain(
            "instance_no_key_usage",
            "NoKeyCertSign",
            "a CA without keyUsage",
            |all| {
                all[INSTANCE].key_usage = None;
            },
        ),
        reject_chain(
            "leaf_no_digital_signature",
            "NoDigitalSignature",
            "a leaf for certificates",
            |all| {
                all[LEAF].key_usage = Some(KEY_CERT_SIGN);
            },
        ),
        reject_chain(
            "leaf_no_key_usage",
            "NoDigitalSignature",
            "a leaf without keyUsage",
            |all| {
                all[LEAF].key_usage = None;
            },
        ),
        reject_chain(
            "instance_no_ca",
            "IssuerNotCa",
            "an issuer that is no CA",
            |all| {
                all[INSTANCE].authority = Authority::No;
            },
        ),
        reject_chain("leaf_ca", "LeafIsCa", "a leaf that is a CA", |all| {
            all[LEAF].authority = Authority::Yes;
        }),
        reject_chain(
            "leaf_path_length",
            "LeafPathLength",
            "a leaf with a pathLenConstraint",
            |all| {
                all[LEAF].authority = Authority::AtMost(0);
            },
        ),
        reject_chain(
            "leaf_for_servers",
            "ExtendedKeyUsage",
            "a leaf for servers alone",
            |all| {
                all[LEAF].oddity = Oddity::ForServers;
            },
        ),
        reject_chain(
            "zonal_critical_extension",
            "CriticalExtension",
            "a critical extension",
            |all| {
                all[ZONAL].oddity = Oddity::CriticalComment;
            },
        ),
        reject_chain(
            "zonal_sha256",
            "CertificateAlgorithm",
            "a CA signed with SHA-256",
            |all| {
                all[ZONAL].oddity = Oddity::Sha256;
            },
        ),
        reject_chain(
            "zonal_extension_twice",
            "Chain",
            "basicConstraints twice (RFC 5280 section 4.2)",
            |all| {
                all[ZONAL].oddity = Oddity::ConstraintsTwice;
            },
        ),
        reject_chain(
            "leaf_key_ed25519",
            "SignerKey",
            "a leaf with another kind of key",
            |all| {
                all[LEAF].oddity = Oddity::Ed25519Key;
            },
        ),
    ]
}

fn path() -> Vec<Case> {
    vec![
        reject_chain(
            "regional_path_length",
            "PathLength",
            "one CA too many below the regional",
            |all| {
                all[REGIONAL].authority = Authority::AtMost(1);
            },
        ),
        reject_chain(
            "zonal_path_length",
            "PathLength",
            "one CA too many below the zonal",
            |all| {
                all[ZONAL].authority = Authority::AtMost(0);
            },
        ),
        case(
            "root_path_length",
            "a root that allows three CAs below it, and four",
            Verdict::Reject("PathLength"),
            |all| {
                all[ROOT] = constrained_root();
                widen(all, 4);
            },
            |f| f.root = "root_path_length_3.pem",
        ),
        reject(
            "cabundle_swapped",
            "CabundleOrder",
            "two certificates in the other's place",
            |f| {
                f.cabundle().swap(REGIONAL, ZONAL);
            },
        ),
        reject("cabundle_gap", "CabundleOrder", "a CA is missing", |f| {
            f.cabundle().remove(ZONAL);
        }),
        reject(
            "cabundle_repeat",
            "CabundleOrder",
            "a CA comes twice",
            |f| {
                let instance = f.cabundle()[INSTANCE].clone();
                f.cabundle().push(instance);
            },
        ),
        reject(
            "certificate_noise",
            "NotACertificate",
            "certificate is none",
            |f| {
                f.set("certificate", Cbor::bytes(b"no certificate"));
            },
        ),
        reject(
            "cabundle_noise",
            "NotACertificate",
            "an issuer in cabundle is none",
            |f| {
                f.cabundle()[ZONAL] = Cbor::bytes(b"no certificate");
            },
        ),
        reject(
            "root_alone",
            "UnknownRoot",
            "a leaf without its issuers",
            |f| {
                f.cabundle().truncate(1);
            },
        ),
        reject_chain(
            "other_root",
            "UnknownRoot",
            "the chain of another root, sent along",
            |all| {
                all[ROOT].subject = "another root".to_owned();
            },
        ),
    ]
}

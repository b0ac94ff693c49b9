//! What a verifier must accept.
use super::{Case, Verdict, accept, accept_chain, case};
use crate::{
    cbor::{Cbor, Length},
    certificate::{Authority, KEY_CERT_SIGN, Oddity},
    forge::{
        AT_MS, AT_S, INSTANCE, LEAF, MADE_MS, REGIONAL, ROOT, ZONAL, authority, constrained_root,
        leaf_validity,
    },
    manifest::{DebugMode, UserData},
};

const OPTIONAL: [&str; 3] = ["public_key", "user_data", "nonce"];
const DAY: u64 = 86_400;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = forms();
    cases.extend(fields());
    cases.extend(chains());
    cases.extend(policies());
    cases
}

fn forms() -> Vec<Case> {
    vec![
        accept(
            "indefinite_map",
            "a payload of indefinite length, as since 2025 (RFC 8949 section 3.2.2)",
            |_| {},
        ),
        accept(
            "definite_map",
            "a payload of definite length, as until 2024",
            |f| f.map = Length::Definite,
        ),
        accept(
            "indefinite_pcrs_and_cabundle",
            "a map and an array of indefinite length within",
            |f| {
                let pcrs = f.pcrs().clone();
                f.set("pcrs", Cbor::Map(Length::Indefinite, pcrs));
                let bundle = f.cabundle().clone();
                f.set("cabundle", Cbor::Array(Length::Indefinite, bundle));
            },
        ),
        accept(
            "tag_18",
            "COSE_Sign1 with its tag (RFC 9052 section 2)",
            |f| {
                f.edit_document = |document| document.insert(0, 0xd2);
            },
        ),
        accept("other_order", "fields in another order", |f| {
            f.fields.reverse();
        }),
    ]
}

fn fields() -> Vec<Case> {
    vec![
        accept("pcrs_1", "one PCR", |f| f.pcrs().truncate(1)),
        accept("pcrs_17", "PCR16 locked", |f| {
            f.pcrs()
                .push((Cbor::Unsigned(16), Cbor::bytes(&[0x16; 48])));
        }),
        accept("pcrs_32", "all PCRs locked", |f| {
            for index in 16..32 {
                f.pcrs()
                    .push((Cbor::Unsigned(index), Cbor::bytes(&[1; 48])));
            }
        }),
        accept("pcrs_32_48_64_bytes", "PCRs of each length", |f| {
            f.pcrs()[8].1 = Cbor::bytes(&[8; 32]);
            f.pcrs()[9].1 = Cbor::bytes(&[9; 64]);
        }),
        accept(
            "pcr3_zero",
            "PCR3 of zeros: an instance without a role",
            |f| {
                f.pcrs()[3].1 = Cbor::bytes(&[0; 48]);
            },
        ),
        accept("optional_absent", "no optional field", |f| {
            for key in OPTIONAL {
                f.remove(key);
            }
        }),
        accept("optional_null", "optional fields of null", |f| {
            for key in OPTIONAL {
                f.set(key, Cbor::Null);
            }
        }),
        accept("optional_empty", "optional fields that are empty", |f| {
            for key in OPTIONAL {
                f.set(key, Cbor::bytes(&[]));
            }
        }),
        accept("optional_512_bytes", "optional fields of 512 bytes", |f| {
            for key in OPTIONAL {
                f.set(key, Cbor::bytes(&[0x33; 512]));
            }
        }),
        accept(
            "optional_1024_bytes",
            "optional fields of 1024 bytes",
            |f| {
                for key in OPTIONAL {
                    f.set(key, Cbor::bytes(&[0x33; 1024]));
                }
            },
        ),
    ]
}

fn chains() -> Vec<Case> {
    vec![
        accept_chain("intermediates_1", "one intermediate", |all| {
            all.drain(REGIONAL..INSTANCE);
        }),
        accept_chain("intermediates_4", "four intermediates", |all| {
            widen(all, 4);
        }),
        accept_chain("intermediates_6", "six intermediates, the most", |all| {
            widen(all, 6);
        }),
        case(
            "root_path_length_met",
            "a root that allows three CAs below it, and three",
            Verdict::Accept,
            |all| all[ROOT] = constrained_root(),
            |f| f.root = "root_path_length_3.pem",
        ),
        accept_chain(
            "path_length_absent",
            "CAs without a pathLenConstraint",
            |all| {
                for ca in &mut all[REGIONAL..=INSTANCE] {
                    ca.authority = Authority::Yes;
                }
            },
        ),
        accept_chain(
            "certificate_1024_bytes",
            "a certificate of 1024 bytes",
            |all| {
                let mut length = 500;
                // The length of a signature differs by a byte or two.
                while length < 1024 {
                    all[LEAF].oddity = Oddity::Comment(length);
                    if all[LEAF].signed_by(&all[INSTANCE]).len() == 1024 {
                        return;
                    }
                    length += 1;
                }
                panic!("no comment makes 1024 bytes");
            },
        ),
        accept(
            "bundled_root_ignored",
            "a first certificate in cabundle that is none: the pinned root counts",
            |f| f.cabundle()[0] = Cbor::bytes(b"no certificate"),
        ),
        accept("first_second", "the first second of the leaf", |f| {
            f.at_ms = leaf_validity()[0] * 1000;
        }),
        accept("last_second", "the last second of the leaf", |f| {
            f.at_ms = leaf_validity()[1] * 1000 + 999;
        }),
        case(
            "leaf_ahead_within_leeway",
            "a leaf whose time comes in 10 seconds, and a leeway of 10",
            Verdict::Accept,
            |all| all[LEAF].valid_s = [AT_S + 10, AT_S + 3600],
            |f| f.policy.leeway_s = 10,
        ),
    ]
}

fn policies() -> Vec<Case> {
    vec![
        accept("nonce_expected", "the nonce is the one expected", |f| {
            f.set("nonce", Cbor::bytes(&[7; 32]));
            f.policy.nonce = Some("07".repeat(32));
        }),
        accept("user_data_expected", "user_data is what is expected", |f| {
            f.set("user_data", Cbor::bytes(b"expected"));
            f.policy.user_data = Some(UserData::Equals(hex::encode("expected")));
        }),
        accept(
            "user_data_tagged",
            "user_data begins with a purpose tag",
            |f| {
                f.set("user_data", Cbor::bytes(b"purpose and more"));
                f.policy.user_data = Some(UserData::Tagged(hex::encode("purpose")));
            },
        ),
        accept(
            "image_of_two_releases",
            "the image is the second of two",
            |f| {
                f.policy.images = Some(vec![image(0xb0), image(0xa0)]);
            },
        ),
        accept("age_at_most", "as old as is allowed", |f| {
            f.policy.max_age_s = Some(60);
            f.at_ms = MADE_MS + 60_000;
        }),
        accept(
            "timestamp_ahead_within_leeway",
            "as far in the future as is allowed",
            |f| {
                f.set("timestamp", Cbor::Unsigned(AT_MS + 10_000));
                f.policy.max_age_s = Some(60);
                f.policy.leeway_s = 10;
            },
        ),
        accept(
            "debug_mode_allowed",
            "PCR0 to PCR2 of zeros, allowed",
            |f| {
                for index in 0..3 {
                    f.pcrs()[index].1 = Cbor::bytes(&[0; 48]);
                }
                f.policy.debug_mode = DebugMode::Allow;
            },
        ),
    ]
}

/// The PCRs of one release; those of the documents have `first` 0xa0.
pub(super) fn image(first: u8) -> std::collections::BTreeMap<u16, String> {
    (0..3)
        .zip(first..)
        .map(|(index, byte)| (index, hex::encode([byte; 48])))
        .collect()
}

/// Puts CAs between zonal and instance until there are so many; each allows what is below it.
pub(super) fn widen(all: &mut Vec<crate::certificate::Template>, intermediates: usize) {
    const NAMES: [&str; 3] = ["more 1", "more 2", "more 3"];
    for (name, serial) in NAMES.iter().zip(10..).take(intermediates - 3) {
        let valid_s = [AT_S - DAY, AT_S + DAY];
        all.insert(
            INSTANCE,
            authority(name, serial, valid_s, Authority::No, KEY_CERT_SIGN),
        );
    }
    let last = all.len() - 2;
    for (below, ca) in (0..).zip(all[REGIONAL..=last].iter_mut().rev()) {
        ca.authority = Authority::AtMost(below);
    }
    debug_assert!(all.len() > ZONAL);
}

//! Where published verifiers and ours differ, and why.
use super::Files;

const NSM: &str = "nsm-nitro-enclave-utils";
const IC: &str = "ic_tee_nitro_attestation";

/// Documents that one or more peers judge in another way than we do, for one reason.
struct Difference {
    /// Why. Ours follows the rule in brackets.
    reason: &'static str,
    peers: &'static [&'static str],
    files: &'static [&'static str],
}

const ACCEPTED_BY_US_ALONE: &[Difference] = &[
    Difference {
        reason: "The tag is not taken (RFC 9052 section 4.2: tagged or untagged).",
        peers: &[NSM],
        files: &["accept_tag_18.cose"],
    },
    Difference {
        reason: "There is no leeway on notBefore, although AWS does not backdate leaves.",
        peers: &[NSM, IC],
        files: &["accept_leaf_ahead_within_leeway.cose"],
    },
    Difference {
        reason: "The root in the document is read; we read the pinned one alone.",
        peers: &[IC],
        files: &["accept_bundled_root_ignored.cose"],
    },
];

const REFUSED_BY_US_ALONE: &[Difference] = &[
    Difference {
        reason: "No length is bounded (AWS sections 3.1 and 3.2.2.2).",
        peers: &[NSM, IC],
        files: &[
            "reject_too_long.cose",
            "reject_nonce_1025_bytes.cose",
            "reject_public_key_1025_bytes.cose",
            "reject_user_data_1025_bytes.cose",
        ],
    },
    Difference {
        reason: "The algorithm in the header is not looked at (RFC 9052 section 4.4, AWS section 3.1).",
        peers: &[NSM],
        files: &[
            "reject_algorithm_es256.cose",
            "reject_algorithm_es512.cose",
            "reject_algorithm_text.cose",
            "reject_no_algorithm.cose",
            "reject_no_header.cose",
        ],
    },
    Difference {
        reason: "Other headers are passed over, crit too (RFC 9052 section 3.1: it must not be).",
        peers: &[NSM, IC],
        files: &[
            "reject_critical_header.cose",
            "reject_protected_key_id.cose",
            "reject_unprotected_key_id.cose",
        ],
    },
    Difference {
        reason: "Bytes after the payload's map, and keys that are no text, are passed over.",
        peers: &[IC],
        files: &[
            "reject_integer_key.cose",
            "reject_payload_trailing_byte.cose",
        ],
    },
    Difference {
        reason: "Text and bytes stand for each other (AWS section 3.2.2.2).",
        peers: &[NSM],
        files: &["reject_module_id_bytes.cose", "reject_nonce_text.cose"],
    },
    Difference {
        reason: "Byte strings in chunks are taken; no NSM sends them, and we allocate nothing to join them.",
        peers: &[NSM, IC],
        files: &["reject_user_data_chunks.cose"],
    },
    Difference {
        reason: "The rules of the fields are not applied (AWS section 3.2.2.2).",
        peers: &[NSM, IC],
        files: &[
            "reject_digest_sha256.cose",
            "reject_module_id_empty.cose",
            "reject_pcr_32.cose",
            "reject_pcr_47_bytes.cose",
            "reject_pcr_empty.cose",
            "reject_pcr_twice.cose",
            "reject_pcrs_empty.cose",
            "reject_unknown_field.cose",
        ],
    },
    Difference {
        reason: "A timestamp of zero is one (AWS section 3.2.2.2). The other peer looks for certificates of 1970.",
        peers: &[NSM],
        files: &["reject_timestamp_zero.cose"],
    },
    Difference {
        reason: "cabundle is a set in which a path is found, not the chain (AWS section 3.2.3).",
        peers: &[NSM],
        files: &[
            "reject_cabundle_8.cose",
            "reject_cabundle_repeat.cose",
            "reject_cabundle_swapped.cose",
        ],
    },
    Difference {
        reason: "The root's own validity and pathLenConstraint do not count (AWS section 3.2.3.1).",
        peers: &[NSM],
        files: &["reject_root_expired.cose", "reject_root_path_length.cose"],
    },
    Difference {
        reason: "keyUsage is not looked at (AWS section 3.2.3.3).",
        peers: &[NSM, IC],
        files: &[
            "reject_instance_no_key_usage.cose",
            "reject_leaf_no_digital_signature.cose",
            "reject_leaf_no_key_usage.cose",
            "reject_zonal_no_key_cert_sign.cose",
        ],
    },
    Difference {
        reason: "A leaf for TLS servers alone is taken: this peer asks webpki for one, we for a client.",
        peers: &[NSM],
        files: &["reject_leaf_for_servers.cose"],
    },
    Difference {
        reason: "Validity is judged at the document's own time: nothing that was valid ever expires.",
        peers: &[IC],
        files: &[
            "reject_leaf_expired.cose",
            "reject_leaf_not_yet_valid.cose",
            "reject_regional_expired.cose",
            "reject_root_expired.cose",
        ],
    },
    Difference {
        reason: "Names and signatures make the chain, no extension does (RFC 5280 section 6.1.4).",
        peers: &[IC],
        files: &[
            "reject_instance_no_ca.cose",
            "reject_leaf_ca.cose",
            "reject_leaf_for_servers.cose",
            "reject_leaf_path_length.cose",
            "reject_regional_path_length.cose",
            "reject_root_path_length.cose",
            "reject_zonal_critical_extension.cose",
            "reject_zonal_extension_twice.cose",
            "reject_zonal_path_length.cose",
        ],
    },
    Difference {
        reason: "No difference: this peer knows the root of AWS alone, and would refuse the root of each forged document.",
        peers: &[IC],
        files: &[
            "reject_cabundle_empty.cose",
            "reject_other_root.cose",
            "reject_root_of_same_name.cose",
        ],
    },
];

/// The files listed, by peer. Each has its reason.
pub(crate) fn listed() -> Files {
    let mut listed = Files::new();
    for difference in ACCEPTED_BY_US_ALONE.iter().chain(REFUSED_BY_US_ALONE) {
        assert!(!difference.reason.is_empty());
        for peer in difference.peers {
            for file in difference.files {
                let new = listed.entry(*peer).or_default().insert((*file).to_owned());
                assert!(new, "{file} is listed twice for {peer}");
            }
        }
    }
    listed
}

#[test]
fn the_verdict_of_each_listed_file_is_in_its_name() {
    let all_begin = |differences: &[Difference], verdict: &str| {
        differences
            .iter()
            .flat_map(|difference| difference.files)
            .all(|file| file.starts_with(verdict))
    };
    assert!(all_begin(ACCEPTED_BY_US_ALONE, "accept_"));
    assert!(all_begin(REFUSED_BY_US_ALONE, "reject_"));
}

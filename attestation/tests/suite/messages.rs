//! Each refusal is one plain sentence with the rule that is broken.
use dauth_attestation::{CborError, Error, Field};

#[test]
fn times_are_written_as_people_read_them() {
    let cases = [
        (
            Error::NotYetValid {
                field: Field::Certificate,
                not_before_s: 1_665_651_479,
            },
            "the signing certificate is not valid before 2022-10-13T08:57:59Z (AWS section 3.2.3.1)",
        ),
        (
            Error::Expired {
                field: Field::Cabundle,
                not_after_s: 1_665_662_282,
            },
            "a CA certificate of cabundle is not valid after 2022-10-13T11:58:02Z (AWS section 3.2.3.1)",
        ),
        (
            Error::TooOld { age_ms: 300_001 },
            "the document is 300 s old: too old for the policy (RFC 9334 section 10.1)",
        ),
    ];
    for (error, expected) in cases {
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn every_refusal_is_a_sentence_that_names_its_rule() {
    let (field, length, index) = (Field::Certificate, 0, 5);
    let source = CborError::UnexpectedType;
    for error in [
        Error::TooLong(20_000),
        Error::Envelope(source),
        Error::NotCoseSign1,
        Error::ProtectedHeader(source),
        Error::NoAlgorithm,
        Error::OtherAlgorithm,
        Error::DuplicateAlgorithm,
        Error::CriticalHeader,
        Error::OtherHeader,
        Error::UnprotectedHeader,
        Error::SignatureLength(95),
        Error::Payload(source),
        Error::Value { field, source },
        Error::UnknownField,
        Error::DuplicateField(field),
        Error::MissingField(field),
        Error::EmptyModuleId,
        Error::Digest,
        Error::ZeroTimestamp,
        Error::NoPcrs,
        Error::PcrIndex(32),
        Error::DuplicatePcr(4),
        Error::PcrLength { index, length },
        Error::EmptyCabundle,
        Error::LongCabundle,
        Error::CertificateLength { field, length },
        Error::OptionalLength { field, length },
        Error::NotACertificate(field),
        Error::NoKeyCertSign,
        Error::NoDigitalSignature,
        Error::NoValidAnchor,
        Error::UnknownRoot,
        Error::CertificateSignature,
        Error::IssuerNotCa,
        Error::LeafIsCa,
        Error::LeafPathLength,
        Error::PathLength,
        Error::CabundleOrder,
        Error::CertificateAlgorithm,
        Error::CriticalExtension,
        Error::ExtendedKeyUsage,
        Error::Chain(webpki::Error::BadDer),
        Error::DocumentSignature,
        Error::SignerKey,
        Error::DebugMode(0),
        Error::UnknownImage(0),
        Error::NoReferenceValues,
        Error::NoExpectedNonce,
        Error::Nonce,
        Error::NoExpectedUserData,
        Error::UserData,
        Error::Purpose,
        Error::FromTheFuture { ahead_ms: 2001 },
    ] {
        let text = error.to_string();
        let names_rule = ["(AWS", "(RFC", "(bound of this verifier)"]
            .iter()
            .any(|rule| text.contains(rule));
        assert!(names_rule, "{text}");
        assert!(!text.contains('\n') && !text.ends_with('.'), "{text}");
        assert!(!text.contains("Error") && !text.contains('{'), "{text}");
    }
}

//! Why evidence is refused: one variant for each rule.
use crate::{CborError, Field, utc::Utc};

/// The rule that a document breaks. "AWS" is `docs/attestation_process.md` of the
/// NSM API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Form: COSE_Sign1.
    /// More bytes than a payload of 16384 and its envelope.
    #[error(
        "the document has {0} bytes: at most 16384 of payload, and its envelope (AWS section 3.1)"
    )]
    TooLong(usize),
    /// The outer structure is not the CBOR of COSE_Sign1.
    #[error("the document is not a COSE_Sign1 (RFC 9052 section 4.2): {0}")]
    Envelope(#[source] CborError),
    /// The outer array has another number of items.
    #[error("the document is not a COSE_Sign1: not an array of four items (RFC 9052 section 4.2)")]
    NotCoseSign1,
    /// The protected header is not one CBOR map.
    #[error("the protected header is not one CBOR map (RFC 9052 section 3): {0}")]
    ProtectedHeader(#[source] CborError),
    /// No alg in the protected header.
    #[error("the protected header names no algorithm: AWS signs with ES384 (AWS section 3.1)")]
    NoAlgorithm,
    /// Another algorithm than ES384.
    #[error("the protected header names another algorithm than ES384 (AWS section 3.1)")]
    OtherAlgorithm,
    /// alg, twice.
    #[error("the protected header names its algorithm twice (RFC 9052 section 3)")]
    DuplicateAlgorithm,
    /// crit: extensions that must be understood. None is.
    #[error(
        "the protected header has crit, and this verifier knows no critical extension (RFC 9052 section 3.1)"
    )]
    CriticalHeader,
    /// Any other protected parameter.
    #[error("the protected header has a parameter besides the algorithm (AWS section 3.1)")]
    OtherHeader,
    /// An unprotected header parameter, which nobody has signed.
    #[error("the unprotected header is not empty (AWS section 3.1)")]
    UnprotectedHeader,
    /// A signature that is not r and s of P-384.
    #[error("the signature has {0} bytes: ES384 has 96 (RFC 9053 section 2.1)")]
    SignatureLength(usize),

    // Form: the fields.
    /// The payload is not a CBOR map with text keys, or something follows it.
    #[error("the payload is not one CBOR map with text keys (AWS section 2.2): {0}")]
    Payload(#[source] CborError),
    /// A value of another type.
    #[error("{field} is not of its type (AWS section 3.2.2.2): {source}")]
    Value {
        /// The field.
        field: Field,
        /// What is wrong with the value.
        source: CborError,
    },
    /// A key that is no field of a document.
    #[error("the payload has a key that is none of the nine fields (AWS section 3.2.2.1)")]
    UnknownField,
    /// A key that comes twice.
    #[error("{0} comes twice (RFC 8949 section 5.6)")]
    DuplicateField(Field),
    /// A mandatory field is missing.
    #[error("{0} is missing (AWS section 3.2.2.1)")]
    MissingField(Field),
    /// An empty module id.
    #[error("module_id is empty (AWS section 3.2.2.2)")]
    EmptyModuleId,
    /// Another digest.
    #[error("digest is not SHA384 (AWS section 3.2.2.2)")]
    Digest,
    /// A timestamp of zero.
    #[error("timestamp is zero (AWS section 3.2.2.2)")]
    ZeroTimestamp,
    /// No PCR at all.
    #[error("pcrs is empty: there are 1 to 32 (AWS section 3.2.2.2)")]
    NoPcrs,
    /// A register that does not exist.
    #[error("PCR{0} does not exist: indices are 0 to 31 (AWS section 3.2.2.2)")]
    PcrIndex(u64),
    /// A register that comes twice.
    #[error("PCR{0} comes twice (RFC 8949 section 5.6)")]
    DuplicatePcr(u64),
    /// A value that is no digest.
    #[error("PCR{index} has {length} bytes: it may have 32, 48 or 64 (AWS section 3.2.2.2)")]
    PcrLength {
        /// The register.
        index: u64,
        /// Its length in bytes.
        length: usize,
    },
    /// An empty cabundle.
    #[error("cabundle is empty (AWS section 3.2.2.2)")]
    EmptyCabundle,
    /// More certificates than a chain can have.
    #[error("cabundle has more than 7 certificates: no path is that long (bound of this verifier)")]
    LongCabundle,
    /// A certificate that is too short or too long.
    #[error("{} has {length} bytes: it may have 1 to 1024 (AWS section 3.2.2.2)", .field.certificate())]
    CertificateLength {
        /// `certificate` or `cabundle`.
        field: Field,
        /// Its length in bytes.
        length: usize,
    },
    /// An optional field that is too long.
    #[error("{field} has {length} bytes: at most 1024 (AWS section 3.2.2.2)")]
    OptionalLength {
        /// `public_key`, `user_data` or `nonce`.
        field: Field,
        /// Its length in bytes.
        length: usize,
    },

    // Chain.
    /// Bytes that are no certificate.
    #[error("{} is not X.509 version 3 in DER (RFC 5280 section 4.1)", .0.certificate())]
    NotACertificate(Field),
    /// A certificate whose time has not come.
    #[error("{} is not valid before {} (AWS section 3.2.3.1)", .field.certificate(), Utc(*.not_before_s))]
    NotYetValid {
        /// `certificate` or `cabundle`.
        field: Field,
        /// First second of validity, Unix time.
        not_before_s: u64,
    },
    /// A certificate whose time is over.
    #[error("{} is not valid after {} (AWS section 3.2.3.1)", .field.certificate(), Utc(*.not_after_s))]
    Expired {
        /// `certificate` or `cabundle`.
        field: Field,
        /// Last second of validity, Unix time.
        not_after_s: u64,
    },
    /// An issuer without keyCertSign.
    #[error("a CA certificate of cabundle lacks the key usage keyCertSign (AWS section 3.2.3.3)")]
    NoKeyCertSign,
    /// A signer without digitalSignature.
    #[error("the signing certificate lacks the key usage digitalSignature (AWS section 3.2.3.3)")]
    NoDigitalSignature,
    /// No pinned root is valid at the time asked for.
    #[error("no pinned root is valid at the time given (AWS section 3.2.3.1)")]
    NoValidAnchor,
    /// The chain ends elsewhere than in a pinned root.
    #[error("the chain does not end in a pinned root (AWS section 3.2.3)")]
    UnknownRoot,
    /// A certificate that its issuer has not signed.
    #[error("a certificate of the chain is not signed by its issuer (RFC 5280 section 6.1.3)")]
    CertificateSignature,
    /// An issuer that is no CA.
    #[error("an issuing certificate of cabundle is not that of a CA (AWS section 3.2.3.2)")]
    IssuerNotCa,
    /// A signer that is a CA.
    #[error("the signing certificate is that of a CA (AWS section 3.2.3.2)")]
    LeafIsCa,
    /// A signer that says how many CAs may be below it.
    #[error("the signing certificate has a pathLenConstraint (AWS section 3.2.3.3)")]
    LeafPathLength,
    /// More CAs below an issuer than it allows.
    #[error(
        "the chain has more CA certificates than a pathLenConstraint in it allows (AWS section 3.2.3.2)"
    )]
    PathLength,
    /// The certificates of the bundle are not, in this order, the chain.
    #[error(
        "cabundle is not the chain from the root to the issuer of the signing certificate, in this order (AWS section 3.2.3)"
    )]
    CabundleOrder,
    /// A certificate whose signature or key is not of P-384 and SHA-384.
    #[error(
        "a certificate of the chain is not signed with ECDSA over P-384 and SHA-384 (AWS section 3.2.3)"
    )]
    CertificateAlgorithm,
    /// An extension that is critical and that no verifier of evidence knows.
    #[error(
        "a certificate of the chain has a critical extension that is not known (RFC 5280 section 4.2)"
    )]
    CriticalExtension,
    /// An extended key usage that leaves out what an NSM does.
    #[error("a certificate of the chain is confined to another use (RFC 5280 section 4.2.1.12)")]
    ExtendedKeyUsage,
    /// Any other rule of path validation.
    #[error("the chain is not valid (RFC 5280 section 6.1): {0}")]
    Chain(#[source] webpki::Error),
    /// The document is not signed by the key of its certificate.
    #[error(
        "the document is not signed by the key of its signing certificate (RFC 9052 section 4.4)"
    )]
    DocumentSignature,
    /// The key of the signing certificate is no P-384 key: ES384 needs one.
    #[error("the key of the signing certificate is not one of P-384 (AWS section 3.1)")]
    SignerKey,

    // Policy.
    /// A register of the boot image is zero: anyone at the host's console can read the memory.
    #[error("PCR{0} is zero: the enclave runs in debug mode (AWS: attestation in debug mode)")]
    DebugMode(u16),
    /// Measurements of no accepted image.
    #[error("PCR{0} is that of no accepted image (RFC 9334 section 8.3: reference values)")]
    UnknownImage(u16),
    /// The policy accepts no image at all.
    #[error("the policy names no image, or one without PCRs (RFC 9334 section 8.3)")]
    NoReferenceValues,
    /// The policy expects a nonce, but names none.
    #[error("the policy names no nonce to expect (RFC 9334 section 10.2)")]
    NoExpectedNonce,
    /// Another nonce than the verifier's, or none.
    #[error("the document's nonce is not the one expected (RFC 9334 section 10.2)")]
    Nonce,
    /// The policy expects user data, or a purpose tag, but names none.
    #[error(
        "the policy names no user data to expect, or an empty purpose tag (RFC 9334 section 8.5)"
    )]
    NoExpectedUserData,
    /// Other user data than the policy expects, or none.
    #[error("the document's user_data is not what is expected (RFC 9334 section 8.5)")]
    UserData,
    /// A document made for another purpose.
    #[error(
        "the document's user_data does not begin with the purpose tag expected (RFC 9334 section 8.5)"
    )]
    Purpose,
    /// Older than the policy allows.
    #[error("the document is {} s old: too old for the policy (RFC 9334 section 10.1)", .age_ms / 1000)]
    TooOld {
        /// Its age in milliseconds.
        age_ms: u64,
    },
    /// A timestamp beyond the leeway in the future.
    #[error("the document was made {ahead_ms} ms after the time given (RFC 9334 section 10.1)")]
    FromTheFuture {
        /// How far, in milliseconds.
        ahead_ms: u64,
    },
}

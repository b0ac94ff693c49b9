//! Why an image is refused.

/// The bytes are no image that every reader understands in the same way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EifError {
    /// The first four bytes are not `.eif`.
    #[error("not an enclave image: it does not begin with '.eif'")]
    NotAnEif,
    /// It ends before what its header announces.
    #[error("the image is cut off")]
    Truncated,
    /// A version of the format that is not known here.
    #[error("version {0} of the image format is not known")]
    UnknownVersion(u16),
    /// Flags whose meaning is not known here.
    #[error("flags {0:#06x} of the image are not known")]
    UnknownFlags(u16),
    /// More sections than a header has room for.
    #[error("{0} sections, and an image has at most 32")]
    TooManySections(usize),
    /// A section of a type that is not known here.
    #[error("section type {0} is not known")]
    UnknownSection(u16),
    /// Header and section disagree about where a section is or how long: a loader that follows the
    /// one would boot what a reader of the other did not measure.
    #[error("section {0} is not where the header says, or not as long")]
    SectionMismatch(usize),
    /// Bytes after the last section.
    #[error("{0} bytes after the last section")]
    TrailingBytes(usize),
    /// The CRC-32 is of other bytes.
    #[error("the CRC is wrong: the image was damaged")]
    Crc,
    /// Not one kernel, then one command line, then at least one ramdisk.
    #[error("an image has one kernel, one command line and at least one ramdisk, in this order")]
    Order,
    /// More than one metadata or signature section.
    #[error("more than one section of metadata or of signatures")]
    Repeated,
    /// The command line is not text.
    #[error("the kernel's command line is not UTF-8")]
    Cmdline,
    /// The signature is not right.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// The image is signed, and the signature is not right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not CBOR of one certificate and one COSE_Sign1.
    #[error("the signature section is malformed")]
    Malformed,
    /// Not one certificate with a key of P-256, P-384 or P-521.
    #[error("the signing certificate has no elliptic-curve key that is known")]
    Certificate,
    /// The certificate's key did not make it.
    #[error("the signature was not made by the key of the signing certificate")]
    Forged,
    /// It was made over the PCR0 of another image.
    #[error("the signature is of another image: its PCR0 is not this one's")]
    OtherImage,
}

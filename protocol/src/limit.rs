//! Bounds on what another party may send, each with its unit in the name.

/// A handle, as text.
pub const MAX_HANDLE_BYTES: usize = 96;
/// A request path below a connection, percent-encoded as sent.
pub const MAX_PATH_BYTES: usize = 4096;
/// A query string, as sent.
pub const MAX_QUERY_BYTES: usize = 8192;
/// A base URL.
pub const MAX_BASE_URL_BYTES: usize = 1024;
/// A policy in its JSON form.
pub const MAX_POLICY_BYTES: usize = 32 * 1024;
/// Rules in one policy.
pub const MAX_POLICY_RULES: usize = 128;
/// Servers in one policy.
pub const MAX_POLICY_SERVERS: usize = 32;
/// An envelope, as a client sends it to be admitted.
pub const MAX_ENVELOPE_BYTES: usize = 128 * 1024;
/// A record, as the vault stores it.
pub const MAX_RECORD_BYTES: usize = 128 * 1024;
/// A credential. OAuth grants with long tokens fit.
pub const MAX_SECRET_BYTES: usize = 16 * 1024;
/// A credential shorter than this cannot be scrubbed without damage to ordinary text.
pub const MIN_SECRET_BYTES: usize = 16;
/// An attestation document (KMS accepts 262,144; the NSM answers in 0x3000).
pub const MAX_DOCUMENT_BYTES: usize = 16 * 1024;
/// A key configuration.
pub const MAX_KEY_CONFIGURATION_BYTES: usize = 32 * 1024;
/// A deployment configuration.
pub const MAX_CONFIGURATION_BYTES: usize = 64 * 1024;
/// A sealed keyset.
pub const MAX_KEYSET_BYTES: usize = 256 * 1024;
/// The life of an envelope: what a client seals is admitted at once or not at all.
pub const MAX_ENVELOPE_LIFE_S: u64 = 600;
/// The life of a record when the owner asks for none.
pub const DEFAULT_RECORD_LIFE_S: u64 = 30 * 24 * 3600;
/// The life of a dispatch token.
pub const MAX_DISPATCH_TOKEN_LIFE_S: u64 = 120;
/// One write to AF_VSOCK: some kernels stall above 32 KiB.
pub const MAX_VSOCK_WRITE_BYTES: usize = 16 * 1024;
/// The evidence nonce, decoded.
pub const EVIDENCE_NONCE_BYTES: core::ops::RangeInclusive<usize> = 16..=64;
/// The head of a request or a reply.
pub const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Header fields in one request or reply.
pub const MAX_HEADER_COUNT: usize = 100;
/// A request body, unless the policy says otherwise.
pub const DEFAULT_MAX_REQUEST_BYTES: u64 = 8 * 1024 * 1024;
/// A reply body, unless the policy says otherwise.
pub const DEFAULT_MAX_RESPONSE_BYTES: u64 = 64 * 1024 * 1024;
/// The time that an upstream has for the head of its reply, unless the policy says otherwise.
pub const DEFAULT_TIMEOUT_MS: u64 = 30_000;
/// The longest time that a policy may give an upstream.
pub const MAX_TIMEOUT_MS: u64 = 600_000;
/// The receipt of one call, CBOR.
pub const MAX_CALL_RECEIPT_BYTES: usize = 4 * 1024;
/// Receipts that are signed for and handed over together.
pub const MAX_BATCH_RECEIPTS: usize = 128;
/// A signed chain head: most of it the marks of a full batch.
pub const MAX_CHAIN_HEAD_BYTES: usize = 2048;
/// A batch of receipts with its head.
pub const MAX_BATCH_BYTES: usize =
    MAX_BATCH_RECEIPTS * (MAX_CALL_RECEIPT_BYTES + 8) + MAX_CHAIN_HEAD_BYTES + 64;
/// Replies of one connection in an hour that may hold its credential, unless the policy says
/// otherwise. Beyond it the connection is suspended: someone is trying forms.
pub const DEFAULT_MAX_REFLECTIONS_PER_HOUR: u64 = 1000;
/// How long a reply may go on after the token that opened it has expired.
pub const MAX_STREAM_AFTER_TOKEN_S: u64 = 600;

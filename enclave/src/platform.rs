//! What differs between Nitro and the simulator: an attester and a transport, and nothing else.
use std::{future::Future, io, pin::Pin};

use dauth_protocol::measurement::Pcr;
use tokio::io::{AsyncRead, AsyncWrite};

pub mod nsm;
mod shared;
pub mod vsock;

pub use shared::SharedModule;
#[cfg(test)]
pub(crate) use shared::tests as slow_module;

/// A future of a trait object's method.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Bytes in both directions, with half-close.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

/// A boxed [`ByteStream`].
pub type BoxStream = Box<dyn ByteStream>;

/// The two ends of an enclave that are not the same everywhere.
pub struct Platform {
    /// Proves what runs.
    pub attester: std::sync::Arc<dyn Attester>,
    /// Reaches the parent, and is reached by it.
    pub transport: std::sync::Arc<dyn Transport>,
}

/// The Nitro Secure Module, or a simulation of it (RFC 9334: attester).
///
/// Every method may block for long: the driver serializes calls under one mutex. Call them on a
/// blocking thread.
pub trait Attester: Send + Sync + 'static {
    /// A signed attestation document over `claims`.
    fn attest(&self, claims: &Claims) -> Result<Vec<u8>, AttesterError>;
    /// Fills `buffer` from the module's own source of randomness.
    fn random(&self, buffer: &mut [u8]) -> Result<(), AttesterError>;
    /// The state of a register.
    fn describe_pcr(&self, index: u16) -> Result<PcrState, AttesterError>;
    /// Extends a register and returns its new value.
    fn extend_pcr(&self, index: u16, data: &[u8]) -> Result<Pcr, AttesterError>;
    /// Locks the registers `[0, end)`. Only locked registers appear in documents.
    fn lock_pcrs(&self, end: u16) -> Result<(), AttesterError>;
}

/// What a document shall carry beside the measurements; an empty field is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Starts with a purpose tag (`dauth_protocol::Purpose`); at most 512 bytes.
    pub user_data: Vec<u8>,
    /// The verifier's nonce; at most 512 bytes.
    pub nonce: Vec<u8>,
    /// A public key (SubjectPublicKeyInfo, DER); at most 1024 bytes.
    pub public_key: Vec<u8>,
}

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PcrState {
    /// Its value.
    pub value: Pcr,
    /// Whether it can no longer be extended.
    pub locked: bool,
}

/// Why the module did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttesterError {
    /// No module, or none that answers.
    #[error("the Nitro Secure Module is not available")]
    Unavailable,
    /// The register is locked.
    #[error("the PCR is locked")]
    Locked,
    /// The module refused the request.
    #[error("the Nitro Secure Module refused the request")]
    Refused,
    /// The module answered something else than was asked.
    #[error("the Nitro Secure Module answered out of turn")]
    Protocol,
}

/// Byte streams between the enclave and its parent: AF_VSOCK, or unix sockets.
pub trait Transport: Send + Sync + 'static {
    /// Begins to listen, where that has not begun by itself. Asked for when the enclave has booted,
    /// so that who can connect knows that it has.
    fn listen(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }
    /// The next stream that the parent opens; listening begins with the first call at the latest.
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>>;
    /// A new stream to the parent's host services.
    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>>;
}

//! What crosses each boundary of DAuth, and nothing else.
//!
//! This crate is *pure*: no I/O, no clock (time is an argument), no randomness but what is passed
//! in, no `unsafe`. Every type here is parsed once, at the boundary, with a bound and a typed
//! error; what has been parsed needs no second check.
//!
//! The order of the modules is the way a request travels: a [`Handle`] names a connection, a
//! [`Policy`] says what may be asked of it, a [`RequestPath`] is matched, [`header`] rules decide
//! what passes, an [`EnvelopeHeader`] and a [`RecordHeader`] bind all of it to a credential, a
//! [`Code`] says why something was refused, and an [`audit::CallReceipt`] says what was done.
#![forbid(unsafe_code)]

pub mod audit;
pub mod base_url;
pub mod deployment;
pub mod envelope;
pub mod error;
pub mod handle;
pub mod header;
pub mod host;
pub mod injection;
pub mod key_configuration;
pub mod key_policy;
pub mod limit;
pub mod measurement;
pub mod path;
pub mod policy;
pub mod purpose;
pub mod receipt;
pub mod record;

pub mod cbor;

pub use base_url::BaseUrl;
pub use deployment::DeploymentConfiguration;
pub use envelope::{EnvelopeHeader, Owner};
pub use error::{Code, Problem};
pub use handle::Handle;
pub use injection::Injection;
pub use key_configuration::KeyConfiguration;
pub use path::{PathPattern, RequestPath};
pub use policy::{Policy, Rule};
pub use purpose::Purpose;
pub use receipt::AdmissionReceipt;
pub use record::{Fingerprint, RecordHeader};

//! What holds a secret cannot be printed, copied or serialized. This file does not compile when one
//! of these types can.
//!
//! What contains one of them cannot either, but by an `impl` of its own: a derived one needs that of
//! each field.
use core::fmt::{Debug, Display};

use dauth_protocol::host::RoleCredentials;
use dauth_sealing::{OpenedRecord, RecipientKey, RecordKey, Secret};
use serde::Serialize;

use crate::{
    inject::{Prepared, Rendered},
    keyset::{Keyset, ReceiptKey},
    kms::DataKey,
    scrub::{ScrubbedBody, Scrubber},
    splice::{Splice, Splicer},
    tls::TlsIdentity,
    wipe::WipedBuffer,
};

/// Fails to compile when the type implements one of the traits: then `_` below has two meanings.
macro_rules! implements_none {
    ($type:ty: $($trait:path),+) => {
        const _: fn() = || {
            trait Ambiguous<Meaning> {
                fn choose() {}
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            $({
                struct Other;
                impl<T: ?Sized + $trait> Ambiguous<Other> for T {}
            })+
            let _ = <$type as Ambiguous<_>>::choose;
        };
    };
}

macro_rules! hold_secrets {
    ($($type:ty),+ $(,)?) => {
        $(implements_none!($type: Debug, Display, Clone, Serialize);)+
    };
}

hold_secrets!(
    Secret,
    OpenedRecord,
    RecordKey,
    RecipientKey,
    ReceiptKey,
    Keyset,
    DataKey,
    Rendered,
    Prepared,
    Splice<tokio::io::DuplexStream>,
    Splicer,
    WipedBuffer,
    Scrubber,
    ScrubbedBody,
    TlsIdentity,
);

// The parent hands them over as JSON, so they are serialized and copied there.
implements_none!(RoleCredentials: Debug, Display);

//! A record that opened and is the caller's.
use std::sync::Arc;

use dauth_protocol::{Code, Fingerprint, Handle, Owner, RecordHeader};
use dauth_sealing::{OpenedRecord, RecordKey, Secret};

use super::{CallRequest, ConnectionName, NOT_NAMED, stored::CheckedRecord};
use crate::{authorize::Authenticated, keyset::Serving, receipt::Subject, refusal::Refusal};

/// A call whose record opened. Whatever becomes of it, the owner gets a receipt.
///
/// [`super::Opener::open`] alone makes one.
pub struct Opened<'a> {
    pub(super) caller: &'a Authenticated,
    pub(super) request: CallRequest,
    pub(super) record: OwnRecord,
    /// The generation that opened it.
    pub(super) serving: Arc<Serving>,
}

/// A record of the one whose token this is, or in whose name a server calls.
pub(super) struct OwnRecord {
    pub(super) connection: ConnectionName,
    pub(super) fingerprint: Fingerprint,
    pub(super) header: RecordHeader,
    pub(super) secret: Secret,
    /// The record key that it was sealed under.
    pub(super) key_id: [u8; 8],
}

impl Opened<'_> {
    /// What its receipt says of the call.
    pub(crate) fn subject(&self) -> Subject {
        let record = &self.record;
        Subject {
            connection: record.connection,
            owner: record.header.owner.clone(),
            handle: record.header.handle.clone(),
            fingerprint: record.fingerprint,
            caller: self.caller.thumbprint().to_owned(),
            server: self.caller.server().map(str::to_owned),
            token_id: self.caller.claims().jti.clone(),
            method: self.request.method.to_string(),
            path: self.request.target.path.clone(),
        }
    }

    /// The connection's handle.
    pub(crate) fn handle(&self) -> &Handle {
        &self.record.header.handle
    }

    /// Whose connection it is.
    pub(crate) fn owner(&self) -> &Owner {
        &self.record.header.owner
    }

    /// The connection.
    pub(crate) fn connection(&self) -> ConnectionName {
        self.record.connection
    }
}

impl OwnRecord {
    /// Opens a record. One that is another's is refused here: nobody is told of such a call.
    pub(super) fn open(
        checked: CheckedRecord,
        key: Option<&RecordKey>,
        caller: &Authenticated,
        handle: &Handle,
    ) -> Result<Self, Refusal> {
        let fingerprint = checked.fingerprint;
        let key_id = *checked.key_id();
        let OpenedRecord { header, secret } = checked.open(key)?;
        check_owner(&header, caller, handle)?;
        Ok(Self {
            connection: ConnectionName::of(&header.owner, &header.handle),
            fingerprint,
            header,
            secret,
            key_id,
        })
    }
}

pub(super) fn check_owner(
    header: &RecordHeader,
    caller: &Authenticated,
    handle: &Handle,
) -> Result<(), Refusal> {
    let claims = caller.claims();
    if header.handle != *handle {
        return Err(Refusal::new(
            Code::DecryptionFailed,
            "the record is another connection's",
        ));
    }
    if header.owner.issuer != claims.iss || header.owner.subject != claims.sub {
        // The same answer as for a handle that the token does not name.
        return Err(NOT_NAMED);
    }
    Ok(())
}

//! From an authenticated caller to an authorized call and its credential.
//!
//! The vault is not trusted with the answer: the token names the record by its hash, the record
//! names handle, owner and tenant, and its sealed policy names who may call what.
mod connection;
mod opened;
mod stored;
mod versions;

use dauth_protocol::{Code, Handle, Policy, RecordHeader, limit::MAX_QUERY_BYTES, policy::Denied};
use dauth_sealing::Secret;
use http::{HeaderMap, Method};

use crate::{
    authorize::{Authenticated, Authorized, Call, Caller, Target},
    deposit::DepositKeys,
    host::{HostServices, RecordError},
    keyset::Keeper,
    reencrypt::{OpenedUnderFormerKey, Reencryptor},
    refusal::Refusal,
    serving::generation_with,
};

pub use connection::ConnectionName;
pub use opened::Opened;
pub use versions::Versions;

use opened::OwnRecord;
use stored::StoredRecord;

/// What a caller asks for.
#[derive(Debug)]
pub struct CallRequest {
    /// The connection, and the path below its base URL.
    pub target: Target,
    /// The method.
    pub method: Method,
    /// The query, as sent, without `?`.
    pub query: Option<String>,
    /// The header fields, as sent.
    pub headers: HeaderMap,
}

/// Opens records. One per enclave: it remembers the highest version of each connection.
pub struct Opener {
    host: HostServices,
    versions: Versions,
    reencryptor: Reencryptor,
}

impl Opener {
    /// An opener that fetches records through the parent.
    pub fn new(host: HostServices, reencryptor: Reencryptor) -> Self {
        Self {
            host,
            versions: Versions::default(),
            reencryptor,
        }
    }

    /// The versions seen since boot.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Fetches the record that the token names, and opens it.
    pub async fn open<'a>(
        &self,
        keeper: &Keeper,
        caller: &'a Authenticated,
        request: CallRequest,
    ) -> Result<Opened<'a>, Refusal> {
        let handle = &request.target.handle;
        let checked = self.fetch(caller, handle).await?.check()?;
        let id = *checked.key_id();
        let serving =
            generation_with(keeper, |keyset| keyset.record_key_by_id(&id).is_some()).await?;
        let key = serving.keyset().record_key_by_id(&id);
        Ok(Opened {
            record: OwnRecord::open(checked, key, caller, handle)?,
            caller,
            request,
            serving,
        })
    }

    /// Checks a call against the record that it opened.
    pub fn authorize(
        &self,
        opened: Opened<'_>,
        now_s: u64,
    ) -> Result<(Authorized<Call>, Secret), Refusal> {
        let Opened {
            caller,
            request,
            record,
            serving,
        } = opened;
        let keys = DepositKeys::of(serving.keyset());
        let call = authorize(&record, caller, request, &self.versions, now_s)?;
        Ok((self.renewed(call, &record, &keys, now_s), record.secret))
    }

    /// What passed every check: only for such a call is a record under a former key sealed anew.
    fn renewed(
        &self,
        call: Authorized<Call>,
        record: &OwnRecord,
        keys: &DepositKeys<'_>,
        now_s: u64,
    ) -> Authorized<Call> {
        if !keys.seal_under(&record.key_id) {
            let opened = OpenedUnderFormerKey {
                call: &call,
                header: &record.header,
                secret: &record.secret,
            };
            self.reencryptor.offer(&opened, keys, now_s);
        }
        call
    }

    async fn fetch(
        &self,
        caller: &Authenticated,
        handle: &Handle,
    ) -> Result<StoredRecord, Refusal> {
        let fingerprint = caller.fingerprint(handle).ok_or(NOT_NAMED)?;
        let bytes = self.host.record(&fingerprint).await.map_err(no_record)?;
        Ok(StoredRecord { bytes, fingerprint })
    }
}

const NOT_NAMED: Refusal = Refusal::new(
    Code::ConnectionNotFound,
    "the access token does not name this connection",
);

fn no_record(error: RecordError) -> Refusal {
    match error {
        RecordError::NotFound => Refusal::new(
            Code::ConnectionNotFound,
            "there is no record of this connection; a newer token may name another",
        ),
        RecordError::Revoked => {
            Refusal::new(Code::ConnectionRevoked, "the owner revoked the connection")
        }
        RecordError::Unavailable => {
            Refusal::new(Code::EnclaveUnavailable, "records are not available")
        }
    }
}

/// The last check of a call: here alone is [`Authorized<Call>`] made.
fn authorize(
    record: &OwnRecord,
    caller: &Authenticated,
    request: CallRequest,
    versions: &Versions,
    now_s: u64,
) -> Result<Authorized<Call>, Refusal> {
    let header = &record.header;
    check_header(header, caller, now_s)?;
    if !versions.note(record.connection, header.version) {
        return Err(Refusal::new(
            Code::DecryptionFailed,
            "the record is an older version of the connection than one used before",
        ));
    }
    let policy = Policy::from_json(&header.policy).map_err(|_| {
        Refusal::new(
            Code::DecryptionFailed,
            "the record's policy is not one of this build's",
        )
    })?;
    check_caller(header, &policy, caller)?;
    check_policy(&policy, caller, &request)?;
    let call = Call {
        handle: header.handle.clone(),
        owner: header.owner.clone(),
        version: header.version,
        fingerprint: record.fingerprint,
        policy,
        caller: caller.thumbprint().to_owned(),
        server: caller.server().map(str::to_owned),
        token_id: caller.claims().jti.clone(),
        token_expires_s: caller.claims().exp,
        method: request.method,
        path: request.target.path,
        query: request.query,
        headers: request.headers,
    };
    Ok(Authorized::by_all_checks(call))
}

fn check_header(header: &RecordHeader, caller: &Authenticated, now_s: u64) -> Result<(), Refusal> {
    if header.tenant != caller.tenant() {
        return Err(Refusal::new(
            Code::OrgMismatch,
            "the token and the connection belong to different tenants",
        ));
    }
    if now_s >= header.expires {
        return Err(Refusal::new(
            Code::ConnectionExpired,
            "the connection has expired; its owner can rotate it",
        ));
    }
    Ok(())
}

/// Who calls: the owner by its own key, or a server that the owner has sealed into the policy.
fn check_caller(
    header: &RecordHeader,
    policy: &Policy,
    caller: &Authenticated,
) -> Result<(), Refusal> {
    let thumbprint = caller.thumbprint();
    match caller.caller() {
        Caller::Owner if header.owner.thumbprint == thumbprint => Ok(()),
        Caller::Owner => denied("the owner's proof is by another key than the connection's"),
        Caller::Server { resource, .. } => {
            let mut servers = policy.servers.iter();
            if servers
                .clone()
                .any(|server| server.is(resource, thumbprint))
            {
                Ok(())
            } else if servers.any(|server| server.resource == *resource) {
                denied("the MCP server's key is not the one pinned in the connection's policy")
            } else {
                denied("the connection's policy does not permit this MCP server")
            }
        }
    }
}

fn check_policy(
    policy: &Policy,
    caller: &Authenticated,
    request: &CallRequest,
) -> Result<(), Refusal> {
    if request
        .query
        .as_ref()
        .is_some_and(|query| query.len() > MAX_QUERY_BYTES)
    {
        return Err(Refusal::new(Code::InvalidRequest, "the query is too long"));
    }
    let has_scope = |scope: &str| match caller.caller() {
        // Scopes bound what an owner delegates, not what it does itself.
        Caller::Owner => true,
        Caller::Server { .. } => caller.has_scope(scope),
    };
    policy
        .permit(&request.method, &request.target.path, has_scope)
        .or_else(|reason| match reason {
            Denied::NoRule => {
                denied("no rule of the connection's policy allows this method and path")
            }
            Denied::Scope => denied("the token lacks the scope that this operation needs"),
        })
}

fn denied<T>(detail: &'static str) -> Result<T, Refusal> {
    Err(Refusal::new(Code::PolicyDenied, detail))
}

#[cfg(test)]
mod tests;

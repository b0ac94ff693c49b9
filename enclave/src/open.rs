//! From an authenticated caller to an authorized call and its credential.
//!
//! The vault is not trusted with the answer: the token names the record by its hash, the record
//! names handle, owner and tenant, and its sealed policy names who may call what.
mod stored;
mod versions;

use dauth_protocol::{
    Code, Fingerprint, Handle, Policy, RecordHeader, limit::MAX_QUERY_BYTES, policy::Denied,
};
use dauth_sealing::{OpenedRecord, RecordKey, Secret};
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

pub use versions::Versions;

use stored::{CheckedRecord, StoredRecord};

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

    /// Fetches the record that the token names, opens it, and checks the call against it.
    pub async fn open(
        &self,
        keeper: &Keeper,
        caller: &Authenticated,
        request: CallRequest,
        now_s: u64,
    ) -> Result<(Authorized<Call>, Secret), Refusal> {
        let stored = self.fetch(caller, &request.target.handle).await?;
        let checked = stored.check()?;
        let id = checked.key_id();
        let serving =
            generation_with(keeper, |keyset| keyset.record_key_by_id(id).is_some()).await?;
        let keyset = serving.keyset();
        let keys = RecordKeys {
            opens: keyset.record_key_by_id(id),
            seals: DepositKeys::of(keyset),
        };
        self.authorize(checked, &keys, caller, request, now_s)
    }

    /// What is left to do once the keys are there. A record is sealed anew only for a call that
    /// passed every check.
    fn authorize(
        &self,
        checked: CheckedRecord,
        keys: &RecordKeys<'_>,
        caller: &Authenticated,
        request: CallRequest,
        now_s: u64,
    ) -> Result<(Authorized<Call>, Secret), Refusal> {
        let fingerprint = checked.fingerprint;
        let is_current = keys.seals.seal_under(checked.key_id());
        let OpenedRecord { header, secret } = checked.open(keys.opens)?;
        let call = authorize(&header, fingerprint, caller, request, &self.versions, now_s)?;
        if !is_current {
            let opened = OpenedUnderFormerKey {
                call: &call,
                header: &header,
                secret: &secret,
            };
            self.reencryptor.offer(&opened, &keys.seals, now_s);
        }
        Ok((call, secret))
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

/// The keys of one generation, as far as they concern one record.
struct RecordKeys<'a> {
    /// The key that the record names.
    opens: Option<&'a RecordKey>,
    /// What it would be sealed with now.
    seals: DepositKeys<'a>,
}

/// The last check of a call: here alone is [`Authorized<Call>`] made.
fn authorize(
    header: &RecordHeader,
    fingerprint: Fingerprint,
    caller: &Authenticated,
    request: CallRequest,
    versions: &Versions,
    now_s: u64,
) -> Result<Authorized<Call>, Refusal> {
    check_header(header, caller, &request, now_s)?;
    if !versions.note(&header.owner, &header.handle, header.version) {
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
        fingerprint,
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

fn check_header(
    header: &RecordHeader,
    caller: &Authenticated,
    request: &CallRequest,
    now_s: u64,
) -> Result<(), Refusal> {
    let claims = caller.claims();
    if header.handle != request.target.handle {
        return Err(Refusal::new(
            Code::DecryptionFailed,
            "the record is another connection's",
        ));
    }
    if header.owner.issuer != claims.iss || header.owner.subject != claims.sub {
        // The same answer as for a handle that the token does not name.
        return Err(NOT_NAMED);
    }
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

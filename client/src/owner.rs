//! What an owner does with connections.
use std::time::Duration;

use dauth_attested_tls::EndorsedKeys;
use dauth_dispatch::{
    AccessToken, CallError, CallRequest, ClientCredentials, DauthRefusal, DpopKey, EnclaveClient,
    TokenClient, web,
};
use dauth_protocol::{
    Code, Handle, Policy,
    audit::ReceiptsPage,
    policy::{PermittedServer, ServerKeys},
    receipt::Admitted,
};
use dauth_sealing::Secret;
use http::Response;
use hyper::body::Incoming;
use uuid::Uuid;

use crate::{
    Connection, NewConnection, OwnerError, Pinning, PolicyChange, PolicyParts, Profile, Rotation,
    Step,
    audit::{self, Wanted},
    clock::now_s,
    kept::{self, KeptPolicyError, OwnRecord},
    pin,
    seal::{self, Prover, Sealing, check_secret},
    vault::{Access, Deposit, Vault, WithRecord},
};

/// Acts for the person whom a profile belongs to.
///
/// Each operation asks the issuer for a fresh token, so that what others changed counts at once.
#[derive(Debug)]
pub struct Owner {
    issuer: String,
    key: DpopKey,
    tokens: TokenClient,
    enclave: EnclaveClient,
    vault: Vault,
    http: reqwest::Client,
}

impl Owner {
    /// The owner of a profile. Nothing is contacted yet.
    pub fn new(profile: &Profile) -> Result<Self, OwnerError> {
        let credentials =
            ClientCredentials::new(profile.client_id.clone(), profile.client_secret.clone());
        Ok(Self {
            issuer: profile.issuer.clone(),
            key: profile.load_owner_key()?,
            tokens: TokenClient::new(profile.issuer.clone(), credentials)?,
            enclave: EnclaveClient::new(profile.ingress.clone(), profile.expectations()?),
            vault: Vault::new(&profile.issuer)?,
            http: web::client()?,
        })
    }

    /// The owner's key.
    pub fn key(&self) -> &DpopKey {
        &self.key
    }

    /// The keys of the enclave, by evidence made for this request.
    pub async fn evidence(&self) -> Result<EndorsedKeys, OwnerError> {
        Ok(self.enclave.evidence().await?)
    }

    /// Seals a credential, has it admitted, and stores it: a new connection.
    pub async fn connect(
        &self,
        new: &NewConnection,
        secret: &Secret,
    ) -> Result<Handle, OwnerError> {
        check_secret(secret)?;
        let policy = self.policy(&new.policy).await?;
        let handle = Handle::from_uuid(Uuid::now_v7())?;
        let keys = self.enclave.evidence().await?;
        let sealing = Sealing {
            handle: &handle,
            policy: &policy,
            version: 1,
            expires: expiry(new.life)?,
            secret,
        };
        let admitted = self.admit(&keys, &sealing).await?;
        let deposit = Deposit::of(&sealing, &admitted);
        let token = self.token(Step::ControlPlane).await?;
        let access = self.access(&token);
        self.vault
            .create(&handle, &new.name, &deposit, &access)
            .await?;
        Ok(handle)
    }

    /// Every connection of the owner's, revoked ones included.
    pub async fn list(&self) -> Result<Vec<Connection>, OwnerError> {
        let token = self.token(Step::ControlPlane).await?;
        Ok(self.vault.list(&self.access(&token)).await?)
    }

    /// One connection.
    pub async fn show(&self, handle: &Handle) -> Result<Connection, OwnerError> {
        let token = self.token(Step::ControlPlane).await?;
        let shown = self.vault.show(handle, &self.access(&token)).await?;
        Ok(shown.connection)
    }

    /// Revokes a connection for good.
    pub async fn revoke(&self, handle: &Handle) -> Result<(), OwnerError> {
        let token = self.token(Step::ControlPlane).await?;
        Ok(self.vault.revoke(handle, &self.access(&token)).await?)
    }

    /// The receipts of the owner's calls, as the control plane keeps them: not yet verified.
    pub async fn receipts(&self, wanted: &Wanted) -> Result<ReceiptsPage, OwnerError> {
        let token = self.token(Step::ControlPlane).await?;
        audit::fetch(&self.vault, wanted, &self.access(&token)).await
    }

    /// Puts a new credential into a connection; its version grows by one.
    pub async fn rotate(
        &self,
        handle: &Handle,
        rotation: &Rotation,
        secret: &Secret,
    ) -> Result<u64, OwnerError> {
        check_secret(secret)?;
        let token = self.token(Step::ControlPlane).await?;
        let access = self.access(&token);
        let shown = self.vault.show(handle, &access).await?;
        if shown.connection.revoked.is_some() {
            return Err(OwnerError::Revoked);
        }
        let keys = self.enclave.evidence().await?;
        let policy = match &rotation.policy {
            PolicyChange::Keep => self.kept_policy(handle, &shown, &keys, &token)?,
            PolicyChange::Replace(parts) => self.policy(parts).await?,
        };
        let sealing = Sealing {
            handle,
            policy: &policy,
            version: shown.connection.version.saturating_add(1),
            expires: expiry(rotation.life)?,
            secret,
        };
        let admitted = self.admit(&keys, &sealing).await?;
        let deposit = Deposit::of(&sealing, &admitted);
        self.vault.replace(handle, &deposit, &access).await?;
        Ok(sealing.version)
    }

    /// A sealed call of the owner's own. The reply is the upstream's, its body still streaming.
    pub async fn call(&self, request: CallRequest) -> Result<Response<Incoming>, OwnerError> {
        let token = self.token(Step::Enclave).await?;
        let handle = request.handle.clone();
        match self.enclave.call(request, &token, &self.key).await {
            Err(CallError::Refused(refusal)) if refusal.code == Code::ConnectionNotFound => {
                let known = self.why_not_found(&handle).await;
                Err(CallError::Refused(known.unwrap_or(refusal)).into())
            }
            called => Ok(called?),
        }
    }

    /// What the vault knows of a connection that a fresh token does not name: tokens leave out
    /// those that are revoked or expired.
    async fn why_not_found(&self, handle: &Handle) -> Option<DauthRefusal> {
        let connection = self.show(handle).await.ok()?;
        let code = match connection.revoked {
            Some(_) => Code::ConnectionRevoked,
            None if connection.expires <= now_s().ok()? => Code::ConnectionExpired,
            None => return None,
        };
        Some(DauthRefusal {
            code,
            detail: Some("says the control plane, whose token no longer names it".to_owned()),
            retryable: code.retryable(),
        })
    }

    async fn admit(
        &self,
        keys: &EndorsedKeys,
        sealing: &Sealing<'_>,
    ) -> Result<crate::AdmittedRecord, OwnerError> {
        let token = self.token(Step::Enclave).await?;
        let prover = Prover {
            issuer: &self.issuer,
            token: &token,
            key: &self.key,
        };
        seal::admit(&self.enclave, keys, sealing, &prover).await
    }

    async fn policy(&self, parts: &PolicyParts) -> Result<Policy, OwnerError> {
        let mut servers = Vec::new();
        for resource in &parts.servers {
            servers.push(match parts.pinning {
                Pinning::Pinned => self.pin(resource).await?,
                Pinning::Unpinned => PermittedServer {
                    resource: resource.clone(),
                    keys: ServerKeys::Unpinned,
                },
            });
        }
        Ok(parts.with_servers(servers))
    }

    async fn pin(&self, resource: &str) -> Result<PermittedServer, OwnerError> {
        pin::look_up(&self.http, resource)
            .await
            .map_err(|source| OwnerError::Pin {
                server: resource.to_owned(),
                source,
            })
    }

    /// A token in whose grant the owner takes part: the client is the owner.
    async fn token(&self, step: Step) -> Result<AccessToken, OwnerError> {
        let resource = match step {
            Step::Enclave => self.enclave.resource(),
            Step::ControlPlane => &self.issuer,
        };
        self.tokens
            .client_credentials(resource, None, &self.key)
            .await
            .map_err(|source| OwnerError::Token { step, source })
    }

    /// The policy in force, once the record that the control plane returns is this owner's own.
    fn kept_policy(
        &self,
        handle: &Handle,
        shown: &WithRecord,
        keys: &EndorsedKeys,
        token: &AccessToken,
    ) -> Result<Policy, OwnerError> {
        let (Some(record), Some(receipt)) = (&shown.record, &shown.receipt) else {
            return Err(KeptPolicyError::NotReturned.into());
        };
        let stored = Admitted {
            record: record.clone(),
            receipt: receipt.clone(),
        };
        let (owner, tenant) = seal::identity(&Prover {
            issuer: &self.issuer,
            token,
            key: &self.key,
        })?;
        let own = OwnRecord {
            handle,
            version: shown.connection.version,
            owner: &owner,
            tenant: &tenant,
        };
        Ok(kept::policy_of(&stored, &own, keys.key_configuration())?)
    }

    fn access<'a>(&'a self, token: &'a AccessToken) -> Access<'a> {
        Access {
            token,
            key: &self.key,
        }
    }
}

fn expiry(life: Duration) -> Result<u64, OwnerError> {
    Ok(now_s()?.saturating_add(life.as_secs()))
}

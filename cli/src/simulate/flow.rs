//! The whole flow once, on real input: each step is checked, and told with what was seen of it.
mod receipts;

use std::{fs, io::ErrorKind, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use dauth_client::{
    CallBody, CallRequest, Connection, NewConnection, Owner, Pinning, PolicyChange, PolicyParts,
    Profile, Rotation, Secret,
};
use dauth_dispatch::{AccessToken, ClientCredentials, DpopKey, TokenClient};
use dauth_protocol::{Code, Handle, Injection, policy::Limits};
use dauth_simulator::{mcp_client, memory};
use http::{HeaderMap, Method};
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use super::{
    narrate::{Narrator, Told},
    party::Party,
    plan::{DEMO_SCOPE, Plan},
    state::{Port, State},
    supervisor::Pids,
};
use crate::failure::{Failure, sentence};

/// The connection that the demo MCP server's tools use.
const DEMO: &str = "demo";
const MAX_REPLY_BYTES: usize = 1 << 20;
const RECEIPT_ID: &str = "dauth-receipt-id";
/// How long after the last answer nothing may be left in the enclave.
const GONE_AFTER: Duration = Duration::from_secs(10);
const SCAN_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Runs every step; the first that does not hold ends the flow.
pub(crate) async fn run(
    state: &State,
    plan: &Plan,
    pids: &Pids,
    narrator: &mut Narrator,
) -> Result<(), Failure> {
    let flow = Flow::new(state, plan)?;
    tell(narrator, flow.verify_enclave().await)?;
    let (handle, told) = flow.connect().await.map_err(|e| fail(narrator, e))?;
    narrator.held(told);
    tell(narrator, flow.only_ciphertext_stored())?;
    let (receipt, told) = flow
        .call_as_owner(&handle)
        .await
        .map_err(|e| fail(narrator, e))?;
    narrator.held(told);
    tell(narrator, flow.call_through_mcp().await)?;
    tell(narrator, flow.echo_is_redacted(&handle).await)?;
    tell(narrator, flow.policy_is_enforced(&handle).await)?;
    tell(narrator, flow.receipts_verify(&handle, &receipt).await)?;
    tell(narrator, flow.no_other_process_held_it(pids).await)
}

fn tell(narrator: &mut Narrator, step: Result<Told, Unheld>) -> Result<(), Failure> {
    step.map(|told| narrator.held(told))
        .map_err(|unheld| fail(narrator, unheld))
}

fn fail(narrator: &mut Narrator, unheld: Unheld) -> Failure {
    let failure = Failure::refused(format!("{}: {}", unheld.who, unheld.why));
    narrator.failed(Told {
        who: unheld.who,
        what: unheld.why,
        seen: "–",
    });
    failure
}

/// A step that did not hold.
struct Unheld {
    who: &'static str,
    why: String,
}

impl Unheld {
    fn new(who: &'static str, why: impl Into<String>) -> Self {
        Self {
            who,
            why: why.into(),
        }
    }

    fn by(who: &'static str) -> impl Fn(&dyn std::error::Error) -> Self {
        move |error| Self::new(who, sentence(error))
    }
}

const CLIENT: &str = "client";
const MCP_CLIENT: &str = "MCP client";
const VAULT: &str = "vault";
const ENCLAVE: &str = "enclave";
const EVERYONE: &str = "all";

struct Flow<'a> {
    state: &'a State,
    plan: &'a Plan,
    owner: Owner,
}

impl<'a> Flow<'a> {
    fn new(state: &'a State, plan: &'a Plan) -> Result<Self, Failure> {
        let profile = Profile::load(&state.path("profile.toml"))
            .map_err(|e| Failure::refused(sentence(&e)))?;
        let owner = Owner::new(&profile).map_err(|e| Failure::refused(sentence(&e)))?;
        Ok(Self { state, plan, owner })
    }

    async fn verify_enclave(&self) -> Result<Told, Unheld> {
        let keys = self
            .owner
            .evidence()
            .await
            .map_err(|e| Unheld::by(CLIENT)(&e))?;
        let result = keys.attestation_result();
        let pcr0 = result.pcr(0).map(hex::encode).unwrap_or_default();
        Ok(Told {
            who: CLIENT,
            what: format!(
                "verified the enclave: image PCR0 {}…, its deployment PCR16, and that this TLS \
                 session ends inside it",
                pcr0.get(..12).unwrap_or_default()
            ),
            seen: "public keys and an attestation document, by everyone",
        })
    }

    /// Connects the demo credential, or puts this start's into the connection of an earlier one.
    async fn connect(&self) -> Result<(Handle, Told), Unheld> {
        let unheld = Unheld::by(CLIENT);
        let existing = self.owner.list().await.map_err(|e| unheld(&e))?;
        let live =
            |connection: &&Connection| connection.name == DEMO && connection.revoked.is_none();
        let secret =
            Secret::new(self.plan.demo_secret.as_bytes().to_vec()).map_err(|e| unheld(&e))?;
        let policy = self.policy().map_err(|why| Unheld::new(CLIENT, why))?;
        let life = NewConnection::DEFAULT_LIFE;
        let (handle, what) = match existing.iter().find(live) {
            Some(connection) => {
                let rotation = Rotation {
                    policy: PolicyChange::Replace(Box::new(policy)),
                    life,
                };
                let version = self
                    .owner
                    .rotate(&connection.handle, &rotation, &secret)
                    .await
                    .map_err(|e| unheld(&e))?;
                let what = format!(
                    "sealed a new API key into the connection kept from before (version {version})"
                );
                (connection.handle.clone(), what)
            }
            None => {
                let new = NewConnection {
                    name: DEMO.to_owned(),
                    policy,
                    life,
                };
                let handle = self
                    .owner
                    .connect(&new, &secret)
                    .await
                    .map_err(|e| unheld(&e))?;
                (
                    handle,
                    "sealed an API key to the enclave's attested key".to_owned(),
                )
            }
        };
        let told = Told {
            who: CLIENT,
            what: format!("{what}: {handle}"),
            seen: "plaintext: the client and, to admit it, the enclave; everyone else: ciphertext",
        };
        Ok((handle, told))
    }

    fn policy(&self) -> Result<PolicyParts, String> {
        let rule = |text: &str| text.parse().map_err(|e| sentence(&e));
        let base_url = self.state.url("https", Port::Upstream);
        Ok(PolicyParts {
            base_url: base_url.parse().map_err(|e| sentence(&e))?,
            injection: Injection::Bearer {},
            rules: vec![
                rule(&format!("GET /v1/me {DEMO_SCOPE}"))?,
                rule("GET /v1/echo")?,
            ],
            request_headers: Vec::new(),
            limits: Limits::default(),
            servers: vec![self.plan.mcp_resource.clone()],
            pinning: Pinning::Pinned,
        })
    }

    fn only_ciphertext_stored(&self) -> Result<Told, Unheld> {
        let secret = self.plan.demo_secret.as_bytes();
        match file_with(self.state.dir(), secret) {
            Ok(None) => Ok(Told {
                who: VAULT,
                what: "stores the record; the secret is in no file and no log of any party"
                    .to_owned(),
                seen: "the control plane: owner, name, address and ciphertext",
            }),
            Ok(Some(file)) => Err(Unheld::new(VAULT, format!("the secret is in {file}"))),
            Err(error) => Err(Unheld::by(VAULT)(&error)),
        }
    }

    /// A call, and what `DAuth-Receipt-Id` its reply has.
    async fn call_as_owner(&self, handle: &Handle) -> Result<(String, Told), Unheld> {
        let reply = self.call(handle, "/v1/me").await?;
        if reply.status != 200 {
            let (status, body) = (reply.status, reply.body);
            let why = format!("the API answered {status}: {body}");
            return Err(Unheld::new(CLIENT, why));
        }
        let told = Told {
            who: CLIENT,
            what: "called GET /v1/me through the enclave; the API accepted the key".to_owned(),
            seen: "plaintext: the enclave for this call, and the API; the parent: host name, sizes",
        };
        Ok((reply.receipt, told))
    }

    async fn call_through_mcp(&self) -> Result<Told, Unheld> {
        let unheld = Unheld::by(MCP_CLIENT);
        let key = DpopKey::generate().map_err(|e| unheld(&e))?;
        let token = self.mcp_token(&key).await?;
        let result = mcp_client::call_tool(
            &self.plan.mcp_resource,
            token,
            Arc::new(key),
            "whoami",
            Map::new(),
        )
        .await
        .map_err(|e| unheld(&e))?;
        if result.get("status") != Some(&json!(200)) {
            return Err(Unheld::new(
                MCP_CLIENT,
                format!("the tool answered {result}"),
            ));
        }
        Ok(Told {
            who: MCP_CLIENT,
            what: "called the tool `whoami` with a DPoP-bound token; the MCP server exchanged it \
                   and dispatched to the enclave"
                .to_owned(),
            seen: "the MCP server: a two-minute token for itself alone, and the reply; no secret",
        })
    }

    async fn mcp_token(&self, key: &DpopKey) -> Result<AccessToken, Unheld> {
        let unheld = Unheld::by(MCP_CLIENT);
        let credentials = ClientCredentials::new(
            self.plan.sdk.id,
            Zeroizing::new(self.plan.sdk.secret.clone()),
        );
        let tokens =
            TokenClient::new(self.plan.issuer.clone(), credentials).map_err(|e| unheld(&e))?;
        tokens
            .client_credentials(&self.plan.mcp_resource, Some(DEMO_SCOPE), key)
            .await
            .map_err(|e| unheld(&e))
    }

    async fn echo_is_redacted(&self, handle: &Handle) -> Result<Told, Unheld> {
        let Reply { status, body, .. } = self.call(handle, "/v1/echo").await?;
        if status != 200 || body.contains(self.plan.demo_secret.as_str()) {
            return Err(Unheld::new(
                ENCLAVE,
                format!("the echo was not redacted ({status})"),
            ));
        }
        let echoed = serde_json::from_str::<Value>(&body).ok().and_then(|body| {
            Some(
                body.get("headers")?
                    .get("authorization")?
                    .as_str()?
                    .to_owned(),
            )
        });
        Ok(Told {
            who: ENCLAVE,
            what: format!(
                "redacted an API that echoes its request: authorization: {}",
                echoed.unwrap_or_else(|| "(absent)".to_owned())
            ),
            seen: "the caller: the reply without the secret",
        })
    }

    async fn policy_is_enforced(&self, handle: &Handle) -> Result<Told, Unheld> {
        let refused = self.owner.call(get(handle, "/v1/admin")).await;
        match refused
            .map(|reply| reply.status())
            .map_err(|e| (e.code(), e))
        {
            Err((Some(Code::PolicyDenied), _)) => Ok(Told {
                who: ENCLAVE,
                what: "refused GET /v1/admin: POLICY_DENIED, before anything was dialled"
                    .to_owned(),
                seen: "the API: nothing",
            }),
            Err((_, error)) => Err(Unheld::by(ENCLAVE)(&error)),
            Ok(status) => Err(Unheld::new(
                ENCLAVE,
                format!("GET /v1/admin was let through: {status}"),
            )),
        }
    }

    async fn no_other_process_held_it(&self, pids: &Pids) -> Result<Told, Unheld> {
        let forms = [("plaintext", self.plan.demo_secret.as_bytes().to_vec())];
        let (mut clean, mut hidden) = (Vec::new(), Vec::new());
        let promised = Instant::now() + GONE_AFTER;
        for (party, pid) in pids.iter().filter(|(party, _)| **party != Party::Upstream) {
            let scanned = loop {
                let scanned = memory::scan(*pid, &forms);
                let is_held = scanned.as_ref().is_ok_and(|found| !found.is_empty());
                // The others never hold it, not for a moment.
                let may_hold = *party == Party::Enclave && Instant::now() < promised;
                if !is_held || !may_hold {
                    break scanned;
                }
                sleep(SCAN_AGAIN_AFTER).await;
            };
            match scanned {
                Ok(found) if found.is_empty() => clean.push(party.name()),
                Ok(found) if *party == Party::Enclave => {
                    let why = format!("the secret is still in the enclave, {} times", found.len());
                    return Err(Unheld::new(EVERYONE, why));
                }
                Ok(_) => {
                    return Err(Unheld::new(
                        EVERYONE,
                        format!("the secret is in {}", party.name()),
                    ));
                }
                // A process that hides its memory, as the enclave does: root alone can look.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    hidden.push(party.name());
                }
                Err(error) => {
                    return Err(Unheld::new(EVERYONE, format!("{}: {error}", party.name())));
                }
            }
        }
        let mut what = format!(
            "searched the memory of {}: the secret is in none",
            clean.join(", ")
        );
        if !hidden.is_empty() {
            what = format!(
                "{what}; {} can be searched by root alone",
                hidden.join(", ")
            );
        }
        Ok(Told {
            who: EVERYONE,
            what,
            seen: "afterwards: the API alone",
        })
    }

    async fn call(&self, handle: &Handle, path: &str) -> Result<Reply, Unheld> {
        let reply = self
            .owner
            .call(get(handle, path))
            .await
            .map_err(|e| Unheld::by(CLIENT)(&e))?;
        let status = reply.status().as_u16();
        let receipt = reply
            .headers()
            .get(RECEIPT_ID)
            .map(|id| id.as_bytes().to_vec());
        let body = Limited::new(reply.into_body(), MAX_REPLY_BYTES)
            .collect()
            .await
            .map_err(|e| Unheld::new(CLIENT, format!("the reply broke off: {e}")))?
            .to_bytes();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Reply {
            status,
            receipt: text(&receipt.unwrap_or_default()),
            body: text(&body),
        })
    }
}

/// What a call was answered with.
struct Reply {
    status: u16,
    receipt: String,
    body: String,
}

fn get(handle: &Handle, path: &str) -> CallRequest {
    CallRequest {
        handle: handle.clone(),
        method: Method::GET,
        path_and_query: path.to_owned(),
        headers: HeaderMap::new(),
        body: CallBody::Bytes(Bytes::new()),
    }
}

/// The first file below `dir` that holds `needle`.
fn file_with(dir: &Path, needle: &[u8]) -> std::io::Result<Option<String>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let kind = path.symlink_metadata()?.file_type();
        let found = if kind.is_dir() {
            file_with(&path, needle)?
        } else if kind.is_file() {
            let bytes = fs::read(&path)?;
            bytes
                .windows(needle.len())
                .any(|w| w == needle)
                .then(|| path.display().to_string())
        } else {
            None
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

//! Every party's configuration, written anew at each start from what the state directory keeps.
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use dauth_client::{Custody, KeysetMemory, Profile, Root, Trust};
use dauth_control_plane::ClientConfiguration;
use dauth_dispatch::DpopKey;
use dauth_mcp::configuration as mcp_configuration;
use dauth_mcp::gateway;
use dauth_parent::configuration as parent;
use dauth_protocol::{
    DeploymentConfiguration,
    deployment::{IssuerKeys, KeyPolicyRule, Kms},
    host::{HOST_SERVICES_PORT, INGRESS_PORT, KeysetOrder, Order},
    key_policy::{Administration, AttestedImage, KeyPolicy},
    measurement::{CONFIGURATION_PCR, Pcr},
};
use dauth_simulator::{demo_mcp, enclave, kms, upstream};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    Simulate,
    party::Party,
    state::{Port, State},
};
use crate::failure::{Failure, sentence};

/// The enclave's resource identifier. It is a name in tokens; nothing resolves it.
const RESOURCE: &str = "https://enclave.dauth.test";
/// A key that exists in the simulated KMS alone.
const KEY_ARN: &str = "arn:aws:kms:eu-west-1:000000000000:key/00000000-0000-4000-8000-000000000000";
const REGION: &str = "eu-west-1";
/// Who may change the key's policy: in the simulation, whoever may write its file.
const ADMINISTRATOR_ARN: &str = "arn:aws:iam::000000000000:root";
const ROLE_ARN: &str = "arn:aws:iam::000000000000:role/dauth-simulation";
const ACCESS_KEY_ID: &str = "AKIASIMULATION000000";
const TENANT: &str = "simulation";
/// The hybrid vsock of an enclave in a virtual machine, below the state directory.
const VSOCK: &str = "run/vsock";
/// The host of an ordinary virtual machine; on EC2 the parent is 3.
const VM_PARENT_CID: u32 = 2;
/// What callers of the demo MCP server must be allowed.
pub(crate) const DEMO_SCOPE: &str = "demo:call";

/// A client of the control plane.
pub(crate) struct Client {
    /// Its id.
    pub(crate) id: &'static str,
    /// Its secret.
    pub(crate) secret: String,
}

/// What the parties were told, as far as others need to know it.
pub(crate) struct Plan {
    pub(crate) issuer: String,
    pub(crate) jwks_url: String,
    pub(crate) resource: &'static str,
    pub(crate) store: PathBuf,
    pub(crate) sdk: Client,
    pub(crate) mcp: Client,
    pub(crate) mcp_resource: String,
    pub(crate) mcp_key_thumbprint: String,
    pub(crate) gateway_deployment: String,
    pub(crate) gateway_auth_secret: String,
    /// What clients trust: by register.
    pub(crate) trusted_pcrs: [(&'static str, Pcr); 4],
    /// The demo API's secret of this start. It is written nowhere.
    pub(crate) demo_secret: Zeroizing<String>,
}

impl Plan {
    /// Writes every configuration.
    pub(crate) fn write(state: &State, options: &Simulate) -> Result<Self, Failure> {
        let plan = Self::draw(state)?;
        let pcr16 = plan.write_deployment(state)?;
        let [pcr0, pcr1, pcr2] = state.kept().pcrs;
        let plan = Self {
            trusted_pcrs: [("0", pcr0), ("1", pcr1), ("2", pcr2), ("16", pcr16)],
            ..plan
        };
        plan.write_kms(state, pcr16)?;
        plan.write_control_plane(state)?;
        plan.write_parent(state, options)?;
        plan.write_enclave(state, options)?;
        plan.write_upstream(state)?;
        plan.write_mcp(state, pcr16)?;
        plan.write_gateway(state, pcr16)?;
        plan.write_profile(state)?;
        Ok(plan)
    }

    fn draw(state: &State) -> Result<Self, Failure> {
        let mut secret = [0; 24];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| Failure::refused("no randomness"))?;
        let auth_secret = base64_of(
            &hex::decode(state.secret("clients/gateway-hmac")?)
                .map_err(|_| Failure::refused("clients/gateway-hmac is damaged"))?,
        );
        Ok(Self {
            issuer: state.url("http", Port::ControlPlane),
            jwks_url: state.url("https", Port::Jwks) + "/.well-known/jwks.json",
            resource: RESOURCE,
            store: state.path("control-plane/control-plane.db"),
            sdk: Client {
                id: "sdk",
                secret: state.secret("clients/sdk")?,
            },
            mcp: Client {
                id: "mcp",
                secret: state.secret("clients/mcp")?,
            },
            mcp_resource: state.url("http", Port::Mcp) + "/mcp",
            mcp_key_thumbprint: key(state, "mcp/key.pem")?.thumbprint().as_str().to_owned(),
            gateway_deployment: state.kept().deployment.clone(),
            gateway_auth_secret: auth_secret,
            trusted_pcrs: [
                ("0", Pcr::ZERO),
                ("1", Pcr::ZERO),
                ("2", Pcr::ZERO),
                ("16", Pcr::ZERO),
            ],
            demo_secret: Zeroizing::new(format!("demo_{}", hex::encode(secret))),
        })
    }

    /// The deployment configuration, which decides PCR16.
    fn write_deployment(&self, state: &State) -> Result<Pcr, Failure> {
        let identity = dauth_control_plane::tls_identity(&state.path("control-plane"))
            .map_err(|e| Failure::refused(format!("control-plane: {e}")))?;
        let deployment = DeploymentConfiguration {
            version: 1,
            deployment: state.kept().deployment.clone(),
            audience: RESOURCE.to_owned(),
            issuer: self.issuer.clone(),
            issuer_keys: IssuerKeys {
                url: self.jwks_url.clone(),
                spki_sha256: identity.spki_sha256,
            },
            kms: Kms {
                key_arn: KEY_ARN.to_owned(),
                region: REGION.to_owned(),
                endpoint: Some(state.url("https", Port::Kms)),
                key_policy: KeyPolicyRule::Unchecked,
            },
            former_kms: Vec::new(),
            rotation: None,
            predecessors: Vec::new(),
        };
        let bytes =
            serde_json::to_vec_pretty(&deployment).map_err(|e| Failure::refused(sentence(&e)))?;
        state.write("parent/deployment.json", &bytes)?;
        // The first start is the one explicit act that makes a keyset.
        let made_before = state.path("parent/keyset-ordered").exists();
        if !made_before {
            let create = Order {
                keyset: KeysetOrder::Create,
            };
            let order = serde_json::to_vec(&create).map_err(|e| Failure::refused(sentence(&e)))?;
            state.write("parent/keyset.cbor.order", &order)?;
            state.write("parent/keyset-ordered", b"")?;
        }
        Ok(Pcr::of_configuration(&bytes))
    }

    fn write_kms(&self, state: &State, pcr16: Pcr) -> Result<(), Failure> {
        let [pcr0, ..] = state.kept().pcrs;
        let refused = |e: &dyn core::error::Error| Failure::refused(sentence(e));
        let policy = KeyPolicy {
            role: ROLE_ARN.parse().map_err(|e| refused(&e))?,
            images: vec![AttestedImage::new([(0, pcr0), (16, pcr16)]).map_err(|e| refused(&e))?],
            administration: Administration::By(ADMINISTRATOR_ARN.parse().map_err(|e| refused(&e))?),
        };
        state.write("kms/key-policy.json", policy.to_json().as_bytes())?;
        let identity = state
            .kms_authority()?
            .issue(&["127.0.0.1", "localhost"])
            .map_err(|e| Failure::refused(sentence(&e)))?;
        state.write("kms/tls.pem", identity.certificate_pem.as_bytes())?;
        state.write("kms/tls-key.pem", identity.key_pem.as_bytes())?;
        state.secret("kms/secret-access-key")?;
        configuration(
            state,
            Party::Kms,
            &kms::Configuration {
                listen: state.address(Port::Kms),
                tls_certificate_file: state.path("kms/tls.pem"),
                tls_key_file: state.path("kms/tls-key.pem"),
                attestation_root_file: state.path("trust/nsm-root.pem"),
                region: REGION.to_owned(),
                keys: vec![kms::KeyConfiguration::new(
                    KEY_ARN.to_owned(),
                    state.path("kms/key-policy.json"),
                    state.path("kms/master-key"),
                )],
                principals: vec![kms::PrincipalConfiguration {
                    arn: ROLE_ARN.to_owned(),
                    access_key_id: ACCESS_KEY_ID.to_owned(),
                    secret_access_key_file: state.path("kms/secret-access-key"),
                }],
            },
        )
    }

    fn write_control_plane(&self, state: &State) -> Result<(), Failure> {
        let client = |client: &Client, resource: Option<&str>| ClientConfiguration {
            id: client.id.to_owned(),
            secret_sha256: sha256_of(&client.secret),
            resource: resource.map(str::to_owned),
            org: TENANT.to_owned(),
            scopes: vec![DEMO_SCOPE.to_owned()],
        };
        configuration(
            state,
            Party::ControlPlane,
            &dauth_control_plane::Configuration {
                issuer: self.issuer.clone(),
                listen: state.address(Port::ControlPlane),
                listen_tls: state.address(Port::Jwks),
                state_dir: state.path("control-plane"),
                store: None,
                enclave: RESOURCE.to_owned(),
                ingress: Some(state.address(Port::Ingress).to_string()),
                host_credential_sha256: sha256_of(&state.secret("parent/records-credential")?),
                access_token_life_s: 300,
                receipts: dauth_control_plane::ReceiptsConfiguration::default(),
                clients: vec![
                    client(&self.sdk, None),
                    client(&self.mcp, Some(&self.mcp_resource)),
                ],
            },
        )
    }

    fn write_parent(&self, state: &State, options: &Simulate) -> Result<(), Failure> {
        let credentials = json!({
            "AccessKeyId": ACCESS_KEY_ID,
            "SecretAccessKey": state.secret("kms/secret-access-key")?,
            "Token": "",
            "Expiration": "9999-12-31T23:59:59Z",
        });
        state.write(
            "parent/credentials.json",
            credentials.to_string().as_bytes(),
        )?;
        let hosts_file = options
            .hosts
            .as_ref()
            .map(|file| {
                file.canonicalize().map_err(|e| {
                    Failure::refused(format!("cannot read --hosts {}: {e}", file.display()))
                })
            })
            .transpose()?;
        let loopback = ["127.0.0.0/8", "::1/128"];
        configuration(
            state,
            Party::Parent,
            &parent::Configuration {
                ingress: parent::Ingress {
                    listen: state.address(Port::Ingress),
                    listen_unix: None,
                    enclave: Some(match options.enclave_vm {
                        None => parent::Endpoint::Unix("run/enclave.sock".into()),
                        Some(_) => parent::Endpoint::HybridVsock {
                            path: VSOCK.into(),
                            port: INGRESS_PORT,
                        },
                    }),
                    max_connections: 1024,
                    idle_timeout_s: 300,
                    connect_timeout_ms: 5000,
                },
                host: parent::Host {
                    listen: Some(parent::HostListener::Unix(match options.enclave_vm {
                        None => "run/host.sock".into(),
                        Some(_) => format!("{VSOCK}_{HOST_SERVICES_PORT}").into(),
                    })),
                    configuration_file: state.path("parent/deployment.json"),
                    keyset_file: state.path("parent/keyset.cbor"),
                    credentials_file: Some(state.path("parent/credentials.json")),
                    imds: None,
                    max_connections: 1024,
                },
                enclaves: Vec::new(),
                supervisor: None,
                records: parent::Records {
                    control_plane: self.issuer.clone(),
                    credential_file: state.path("parent/records-credential"),
                    ca_file: None,
                    timeout_ms: 5000,
                },
                egress: parent::Egress {
                    permit: loopback.iter().filter_map(|net| net.parse().ok()).collect(),
                    hosts_file,
                    ..parent::Egress::default()
                },
                monitor: Some(parent::Monitor {
                    listen: state.address(Port::Monitor),
                }),
                process: Some(parent::Process {
                    user: None,
                    as_root: parent::AsRoot::Permitted,
                }),
                log: None,
            },
        )
    }

    fn write_enclave(&self, state: &State, options: &Simulate) -> Result<(), Failure> {
        let [pcr0, pcr1, pcr2] = state.kept().pcrs;
        configuration(
            state,
            Party::Enclave,
            &enclave::Configuration {
                transport: match options.enclave_vm {
                    None => enclave::Transport::Unix {
                        ingress_socket: "run/enclave.sock".into(),
                        host_socket: "run/host.sock".into(),
                    },
                    Some(_) => enclave::Transport::Vsock {
                        parent_cid: VM_PARENT_CID,
                    },
                },
                pcr0: options.enclave_pcr0.unwrap_or(pcr0),
                pcr1,
                pcr2,
                nsm_root_file: state.path("trust/nsm-root-key.pem"),
                kms_root_file: state.path("trust/kms-ca.pem"),
                upstream_root_file: state.path("trust/upstream-ca.pem"),
            },
        )
    }

    fn write_upstream(&self, state: &State) -> Result<(), Failure> {
        let identity = state
            .upstream_authority()?
            .issue(&["127.0.0.1", "localhost"])
            .map_err(|e| Failure::refused(sentence(&e)))?;
        state.write("upstream/tls.pem", identity.certificate_pem.as_bytes())?;
        state.write("upstream/tls-key.pem", identity.key_pem.as_bytes())?;
        configuration(
            state,
            Party::Upstream,
            &upstream::Configuration {
                listen: state.address(Port::Upstream),
                certificate_file: state.path("upstream/tls.pem"),
                key_file: state.path("upstream/tls-key.pem"),
                secret_sha256: sha256_of(&self.demo_secret),
                slow_ms: 1000,
            },
        )
    }

    fn write_mcp(&self, state: &State, pcr16: Pcr) -> Result<(), Failure> {
        configuration(
            state,
            Party::Mcp,
            &demo_mcp::Configuration {
                listen: state.address(Port::Mcp),
                resource: resource_uri(&self.mcp_resource)?,
                issuer: self.issuer.clone(),
                scopes: vec![DEMO_SCOPE.to_owned()],
                dpop_nonces: dauth_mcp::DpopNonces::Optional,
                client: mcp_client(state),
                enclave: trusted_enclave(state, pcr16, Party::Mcp),
            },
        )
    }

    fn write_gateway(&self, state: &State, pcr16: Pcr) -> Result<(), Failure> {
        state.write("gateway/auth-secret", self.gateway_auth_secret.as_bytes())?;
        configuration(
            state,
            Party::Gateway,
            &gateway::Configuration {
                listen: state.address(Port::Gateway),
                issuer: self.issuer.clone(),
                enclave: trusted_enclave(state, pcr16, Party::Gateway),
                deployments: vec![gateway::DeploymentConfiguration {
                    id: self.gateway_deployment.clone(),
                    auth_secret_file: state.path("gateway/auth-secret"),
                    resource: resource_uri(&self.mcp_resource)?,
                    // The same server by another way: what is pinned for the one serves the other.
                    client: mcp_client(state),
                }],
                max_body_bytes: 1 << 20,
            },
        )
    }

    fn write_profile(&self, state: &State) -> Result<(), Failure> {
        key(state, "clients/owner-key.pem")?;
        let pcrs: BTreeMap<u16, Pcr> = self
            .trusted_pcrs
            .iter()
            .filter_map(|(index, pcr)| Some((index.parse().ok()?, *pcr)))
            .collect();
        debug_assert!(pcrs.contains_key(&CONFIGURATION_PCR));
        let profile = Profile {
            issuer: self.issuer.clone(),
            client_id: self.sdk.id.to_owned(),
            client_secret: Zeroizing::new(self.sdk.secret.clone()),
            ingress: state.address(Port::Ingress).to_string(),
            resource: RESOURCE.to_owned(),
            trust: Trust {
                root: Root::Pem(state.path("trust/nsm-root.pem")),
                pcrs,
                releases: Vec::new(),
                custody: Custody::Any,
            },
            owner_key: state.path("clients/owner-key.pem"),
            operator_keyset: Some(state.path("parent/keyset.cbor")),
            keysets: Arc::new(KeysetMemory::in_process()),
        };
        profile
            .save(&state.path("profile.toml"))
            .map_err(|e| Failure::refused(sentence(&e)))
    }
}

fn mcp_client(state: &State) -> mcp_configuration::Client {
    mcp_configuration::Client {
        id: "mcp".to_owned(),
        secret_file: state.path("clients/mcp"),
        key_file: state.path("mcp/key.pem"),
    }
}

fn trusted_enclave(state: &State, pcr16: Pcr, client: Party) -> mcp_configuration::Enclave {
    let [pcr0, ..] = state.kept().pcrs;
    mcp_configuration::Enclave {
        ingress: state.address(Port::Ingress).to_string(),
        resource: RESOURCE.to_owned(),
        images: vec![BTreeMap::from([
            ("0".to_owned(), pcr0),
            ("16".to_owned(), pcr16),
        ])],
        root_file: Some(state.path("trust/nsm-root.pem")),
        seen_keyset_file: Some(state.path(&format!("{}/seen-keyset.json", client.name()))),
        locked_key: false,
        evidence_max_age_s: 300,
    }
}

fn resource_uri(text: &str) -> Result<dauth_mcp::ResourceUri, Failure> {
    text.parse().map_err(|e| Failure::refused(sentence(&e)))
}

/// A DPoP key kept in a file, made at the first start.
fn key(state: &State, below: &str) -> Result<DpopKey, Failure> {
    let path = state.path(below);
    let failed = |e: &dyn std::error::Error| {
        Failure::refused(format!("{}: {}", path.display(), sentence(e)))
    };
    if !path.exists() {
        let pem = DpopKey::generate()
            .and_then(|key| key.to_pem())
            .map_err(|e| failed(&e))?;
        state.write(below, pem.as_bytes())?;
    }
    let pem = std::fs::read_to_string(&path)
        .map(Zeroizing::new)
        .map_err(|e| failed(&e))?;
    DpopKey::from_pem(&pem).map_err(|e| failed(&e))
}

fn configuration(state: &State, party: Party, value: &impl Serialize) -> Result<(), Failure> {
    let text = toml::to_string(value)
        .map_err(|e| Failure::refused(format!("{}: {}", party.name(), sentence(&e))))?;
    state.write(&format!("{}/config.toml", party.name()), text.as_bytes())
}

fn sha256_of(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}

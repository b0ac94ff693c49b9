//! A KMS server, an enclave's platform, and a parent between them.
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dauth_attestation::TrustAnchors;
use dauth_enclave::{
    host::HostServices,
    keyset::KeysetContext,
    kms::{
        KmsClient, KmsSettings,
        custody::{self, CustodyError},
    },
    platform::{Attester, Platform, Transport, nsm::NsmAttester},
    trust::{LockAuthority, Trust},
};
use dauth_protocol::{
    DeploymentConfiguration,
    deployment::{IssuerKeys, KeyPolicyRule, Kms, Predecessor},
    key_policy::{Administration, AttestedImage, KeyPolicy},
    measurement::{CONFIGURATION_PCR, Pcr},
};
use dauth_simulator::{
    ca::Authority,
    kms::{self, Configuration, KeyConfiguration, PrincipalConfiguration},
    nsm::{Measurements, SimulatedNsm, SimulatorRoot},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::Value;
use sha2::{Digest, Sha384};
use tempfile::TempDir;
use tokio::{net::TcpStream, task::JoinHandle};

mod host;
pub(crate) use host::Host;

pub(crate) const ROLE: &str = "arn:aws:iam::000000000000:role/dauth-parent";
pub(crate) const ACCOUNT_ROOT: &str = "arn:aws:iam::000000000000:root";
const ACCESS_KEY_ID: &str = "AKIASIMULATED";
const SECRET: &str = "a simulated secret access key";
const KEY_ARN: &str = "arn:aws:kms:eu-west-1:000000000000:key/simulated";

/// PCR0 of the image that the key policy names, each byte.
pub(crate) const IMAGE: u8 = 0x10;

fn pcr(byte: u8) -> Pcr {
    Pcr::from([byte; 48])
}

pub(crate) fn now_s() -> u64 {
    now_ms() / 1000
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// `dauth-kms-sim`, with its state in a folder of its own.
pub(crate) struct KmsServer {
    state: TempDir,
    configuration: Configuration,
    nsm_root_pem: String,
    serving: JoinHandle<()>,
}

impl KmsServer {
    /// Under the policy that an operator gives a key: one image, one configuration.
    pub(crate) async fn start() -> Self {
        let address = free_address();
        let pcr16 = Pcr::of_configuration(&to_json(&deployment(address)));
        let policy = KeyPolicy {
            role: ROLE.parse().unwrap(),
            images: vec![AttestedImage::new([(0, pcr(IMAGE)), (16, pcr16)]).unwrap()],
            administration: Administration::By(ACCOUNT_ROOT.parse().unwrap()),
        };
        let policy = serde_json::from_str(&policy.to_json()).unwrap();
        Self::start_at(address, policy).await
    }

    /// Under another policy.
    pub(crate) async fn with_policy(policy: Value) -> Self {
        Self::start_at(free_address(), policy).await
    }

    async fn start_at(address: SocketAddr, policy: Value) -> Self {
        let state = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| -> PathBuf {
            let path = state.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let nsm_root = SimulatorRoot::create(now_s()).unwrap();
        let authority = Authority::create("KMS").unwrap();
        let identity = authority.issue(&["127.0.0.1"]).unwrap();
        file("ca.pem", authority.certificate_pem());
        let configuration = Configuration {
            listen: address,
            tls_certificate_file: file("tls.pem", &identity.certificate_pem),
            tls_key_file: file("tls.key", &identity.key_pem),
            attestation_root_file: file("root.pem", nsm_root.certificate_pem()),
            region: "eu-west-1".to_owned(),
            keys: vec![KeyConfiguration::new(
                KEY_ARN.to_owned(),
                file("policy.json", &policy.to_string()),
                state.path().join("master"),
            )],
            principals: vec![PrincipalConfiguration {
                arn: ROLE.to_owned(),
                access_key_id: ACCESS_KEY_ID.to_owned(),
                secret_access_key_file: file("secret", &format!("{SECRET}\n")),
            }],
        };
        Self {
            serving: serve(configuration.clone()).await,
            state,
            configuration,
            nsm_root_pem: nsm_root.to_pem(),
        }
    }

    /// Puts another key policy, in force from the next request on.
    pub(crate) fn put_policy(&self, policy: &str) {
        fs::write(self.state.path().join("policy.json"), policy).unwrap();
    }

    /// The same state in a new process.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// The same state in a new process, under a key that was changed.
    pub(crate) async fn restart_with(mut self, change: impl Fn(&mut KeyConfiguration)) -> Self {
        self.configuration.keys.iter_mut().for_each(change);
        self.serving.abort();
        let _ = self.serving.await;
        self.serving = serve(self.configuration.clone()).await;
        self
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.configuration.listen
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let pem = fs::read(self.state.path().join("ca.pem")).unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&pem).unwrap())
            .unwrap();
        Arc::new(roots)
    }
}

async fn serve(configuration: Configuration) -> JoinHandle<()> {
    let address = configuration.listen;
    let serving = tokio::spawn(async {
        kms::run(configuration, std::future::pending())
            .await
            .unwrap();
    });
    while TcpStream::connect(address).await.is_err() {
        assert!(!serving.is_finished());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    serving
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn deployment(kms: SocketAddr) -> DeploymentConfiguration {
    DeploymentConfiguration {
        version: 1,
        deployment: "test".to_owned(),
        audience: "https://enclave.test".to_owned(),
        issuer: "http://issuer.test".to_owned(),
        issuer_keys: IssuerKeys {
            url: "https://issuer.test/jwks.json".to_owned(),
            spki_sha256: "00".repeat(32),
        },
        kms: Kms {
            key_arn: KEY_ARN.to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: Some(format!("https://{kms}")),
            key_policy: KeyPolicyRule::Unchecked,
        },
        former_kms: Vec::new(),
        rotation: None,
        predecessors: Vec::new(),
    }
}

fn to_json(configuration: &DeploymentConfiguration) -> Vec<u8> {
    serde_json::to_vec(configuration).unwrap()
}

/// A booted image: its registers hold the configuration's measurement and are locked.
pub(crate) struct Image {
    attester: Arc<NsmAttester<SimulatedNsm>>,
    configuration: DeploymentConfiguration,
    trust: Trust,
}

impl Image {
    pub(crate) fn boot(image: u8, kms: &KmsServer) -> Self {
        Self::boot_with(image, kms, |_| {})
    }

    pub(crate) fn boot_with(
        image: u8,
        kms: &KmsServer,
        change: impl FnOnce(&mut DeploymentConfiguration),
    ) -> Self {
        let measurements = Measurements {
            pcr0: pcr(image),
            pcr1: pcr(1),
            pcr2: pcr(2),
            role_arn: None,
            instance_id: "i-0123456789abcdef0".to_owned(),
        };
        let root = SimulatorRoot::from_pem(&kms.nsm_root_pem).unwrap();
        let nsm = SimulatedNsm::start(&measurements, root, Arc::new(now_ms)).unwrap();
        let attester = Arc::new(NsmAttester::new(nsm));
        let mut configuration = deployment(kms.address());
        change(&mut configuration);
        let measurement = Sha384::digest(to_json(&configuration));
        attester
            .extend_pcr(CONFIGURATION_PCR, &measurement)
            .unwrap();
        attester.lock_pcrs(32).unwrap();
        let trust = Trust {
            attestation: TrustAnchors::from_pem(&kms.nsm_root_pem).unwrap(),
            kms: kms.roots(),
            locks: LockAuthority::Roots,
            upstream: Arc::new(RootCertStore::empty()),
        };
        Self {
            attester,
            configuration,
            trust,
        }
    }

    /// What another configuration names this one by.
    pub(crate) fn measurement(&self) -> Predecessor {
        let value = |index| self.attester.describe_pcr(index).unwrap().value;
        Predecessor {
            pcr0: value(0),
            pcr16: value(CONFIGURATION_PCR),
        }
    }

    /// A client of the deployment's KMS key, as a boot makes it.
    fn client(&self, host: &Host) -> KmsClient {
        KmsClient::new(KmsSettings {
            attester: Arc::clone(&self.attester) as Arc<dyn Attester>,
            host: HostServices::new(Arc::new(host.clone())),
            roots: Arc::clone(&self.trust.kms),
            configuration: &self.configuration,
            configuration_bytes: &to_json(&self.configuration),
        })
        .unwrap()
    }

    /// What a boot finds of the key's custody.
    pub(crate) async fn custody(&self, host: &Host) -> Result<KeyPolicyRule, CustodyError> {
        let client = self.client(host);
        let image = self.measurement();
        let rule = self.configuration.kms.key_policy;
        custody::check(&client, rule, &image, self.trust.locks).await
    }

    pub(crate) fn context(&self, host: &Host) -> KeysetContext {
        let transport: Arc<dyn Transport> = Arc::new(host.clone());
        let platform = Platform {
            attester: Arc::clone(&self.attester) as Arc<dyn Attester>,
            transport: Arc::clone(&transport),
        };
        let kms = self.client(host);
        let host = HostServices::new(transport);
        KeysetContext::new(&platform, &host, &self.trust, &self.configuration, kms).unwrap()
    }
}

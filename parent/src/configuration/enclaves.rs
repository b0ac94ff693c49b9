//! `[[enclaves]]` and `[supervisor]`: the enclaves that the parent starts and keeps running.
use std::{collections::BTreeSet, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Configuration, Endpoint, default_host_port, default_ingress_port};

/// As many as an instance can run.
pub const MAX_ENCLAVES: usize = 4;
/// A name fits a socket's path and a metric's label.
const MAX_NAME_BYTES: usize = 32;
/// nitro-cli refuses lower ones: they belong to the hypervisor and the parent.
const LOWEST_CID: u32 = 4;

/// `[[enclaves]]`: one enclave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enclave {
    /// Its name in metrics, in the log and, after the supervisor's prefix, at nitro-cli.
    pub name: EnclaveName,
    /// The image. Each in a file of its own: an enclave that dies is started again from its file.
    pub eif: PathBuf,
    /// CPUs that the instance gives up for it; whole cores, hence even numbers on most types.
    pub cpus: u32,
    /// Memory that the instance gives up for it, in MiB: at least four times the image, out of the
    /// allocator's huge pages. For an upgrade both images have theirs at the same time.
    pub memory_mib: u64,
}

/// 1 to 32 of `a-z`, `0-9` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnclaveName(String);

impl EnclaveName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EnclaveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for EnclaveName {
    type Error = InvalidEnclaves;

    fn try_from(text: String) -> Result<Self, InvalidEnclaves> {
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if (1..=MAX_NAME_BYTES).contains(&text.len()) && text.bytes().all(is_plain) {
            Ok(Self(text))
        } else {
            Err(InvalidEnclaves::Name(text))
        }
    }
}

impl From<EnclaveName> for String {
    fn from(name: EnclaveName) -> Self {
        name.0
    }
}

/// `[supervisor]`: how enclaves are started and kept running. An empty table will do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Supervisor {
    /// The program.
    pub nitro_cli: PathBuf,
    /// What the names of this parent's enclaves begin with. Enclaves of other names are left alone;
    /// of those with it, the parent adopts what it is to run and ends the others.
    pub prefix: EnclaveName,
    /// How parent and enclaves reach each other.
    pub transport: Transport,
    /// Enclaves get context identifiers from here on, each start another one.
    pub first_cid: u32,
    /// What is thought of enclaves in debug mode, whose console anyone on the host can read and
    /// whose measurements are zero.
    pub debug_mode: DebugMode,
    /// How often nitro-cli is asked which enclaves run, beside when a connection to one breaks.
    pub health_interval_ms: u64,
    /// How long nitro-cli may take for each answer.
    pub command_timeout_s: u64,
    /// How long an enclave may take from its start until it serves.
    pub ready_timeout_s: u64,
    /// How long an enclave that runs may be without a connection to its parent.
    pub silent_timeout_s: u64,
    /// How long an enclave that is to end may take for the calls in progress: as long as a policy lets
    /// a call wait for the head of its reply, or it is cut off.
    pub drain_timeout_s: u64,
    /// What becomes of the enclaves when the parent stops.
    pub at_stop: AtStop,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self {
            nitro_cli: "/usr/bin/nitro-cli".into(),
            prefix: EnclaveName("dauth".to_owned()),
            transport: Transport::default(),
            first_cid: 16,
            debug_mode: DebugMode::Refused,
            health_interval_ms: 5_000,
            command_timeout_s: 60,
            ready_timeout_s: 60,
            silent_timeout_s: 30,
            drain_timeout_s: 600,
            at_stop: AtStop::Leave,
        }
    }
}

/// How parent and enclaves reach each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Transport {
    /// AF_VSOCK: host services on one port for all, told apart by their context identifiers.
    Vsock {
        /// The port on each enclave; 5000 unless given.
        #[serde(default = "default_ingress_port")]
        ingress_port: u32,
        /// The port of host services; 5001 unless given.
        #[serde(default = "default_host_port")]
        host_port: u32,
    },
    /// Unix sockets in this folder, for enclaves that are processes of this host: `CID.ingress` is
    /// the enclave's, `CID.host` the parent's.
    Unix(PathBuf),
}

impl Default for Transport {
    fn default() -> Self {
        Self::Vsock {
            ingress_port: default_ingress_port(),
            host_port: default_host_port(),
        }
    }
}

impl Transport {
    /// Where the enclave with this context identifier listens.
    pub(crate) fn ingress(&self, cid: u32) -> Endpoint {
        match self {
            Transport::Vsock { ingress_port, .. } => Endpoint::Vsock {
                cid,
                port: *ingress_port,
            },
            Transport::Unix(folder) => Endpoint::Unix(folder.join(format!("{cid}.ingress"))),
        }
    }
}

/// What is thought of enclaves in debug mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DebugMode {
    /// One that is found is ended.
    Refused,
    /// Enclaves are started in it. KMS and clients refuse them: this is for reading the console.
    Used,
}

/// What becomes of the enclaves when the parent stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtStop {
    /// They run on, and the next parent adopts them.
    Leave,
    /// They are told to stop, and ended.
    Terminate,
}

/// Why the enclaves are not described as a parent can have them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEnclaves {
    /// Neither form, or both.
    #[error(
        "name either the one enclave that runs already (ingress.enclave and host.listen) or those to \
         be started ([[enclaves]])"
    )]
    Form,
    /// A name that is no label.
    #[error("{0:?} is not 1 to 32 of a-z, 0-9 and _")]
    Name(String),
    /// Two of one name.
    #[error("there are two enclaves with the name {0}")]
    Twice(EnclaveName),
    /// More than an instance can run.
    #[error("an instance runs at most {MAX_ENCLAVES} enclaves")]
    TooMany,
    /// No CPU or no memory.
    #[error("the enclave {0} needs cpus and memory_mib of at least 1")]
    Size(EnclaveName),
    /// Taken by the hypervisor or the parent.
    #[error("[supervisor] first_cid is at least {LOWEST_CID}, and well below 2^32")]
    Cid,
}

pub(super) fn check(configuration: &Configuration) -> Result<(), InvalidEnclaves> {
    let (ingress, host) = (&configuration.ingress.enclave, &configuration.host.listen);
    let is_single = ingress.is_some() && host.is_some() && configuration.supervisor.is_none();
    let is_supervised = ingress.is_none() && host.is_none();
    match configuration.enclaves.is_empty() {
        true if is_single => return Ok(()),
        false if is_supervised => {}
        _ => return Err(InvalidEnclaves::Form),
    }
    if configuration.enclaves.len() > MAX_ENCLAVES {
        return Err(InvalidEnclaves::TooMany);
    }
    let mut names = BTreeSet::new();
    for enclave in &configuration.enclaves {
        if !names.insert(&enclave.name) {
            return Err(InvalidEnclaves::Twice(enclave.name.clone()));
        }
        if enclave.cpus == 0 || enclave.memory_mib == 0 {
            return Err(InvalidEnclaves::Size(enclave.name.clone()));
        }
    }
    let first_cid = configuration.supervisor.as_ref().map(|s| s.first_cid);
    match first_cid {
        Some(cid) if !(LOWEST_CID..u32::MAX / 2).contains(&cid) => Err(InvalidEnclaves::Cid),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUPERVISED: &str = r#"
        [ingress]
        listen = "127.0.0.1:7443"
        [host]
        configuration_file = "/etc/dauth/deployment.json"
        keyset_file = "/var/lib/dauth/keyset"
        [records]
        control_plane = "http://127.0.0.1:7080"
        credential_file = "/etc/dauth/host-credential"
        [[enclaves]]
        name = "a"
        eif = "/opt/dauth/dauth.eif"
        cpus = 2
        memory_mib = 1024
    "#;

    fn checked(text: &str) -> Result<Configuration, InvalidEnclaves> {
        let configuration: Configuration = toml::from_str(text).unwrap();
        configuration.check().map(|()| configuration)
    }

    #[test]
    fn enclaves_are_described_in_one_of_two_forms() {
        assert_eq!(checked(SUPERVISED).unwrap().enclaves.len(), 1);
        let single_too = SUPERVISED.replace(
            "[host]",
            "enclave = { vsock = { cid = 16 } }\n[host]\nlisten = { vsock = { peer_cid = 16 } }",
        );
        assert_eq!(checked(&single_too).unwrap_err(), InvalidEnclaves::Form);
        let (neither, _) = SUPERVISED.split_once("[[enclaves]]").unwrap();
        assert_eq!(checked(neither).unwrap_err(), InvalidEnclaves::Form);
        let (single, _) = single_too.split_once("[[enclaves]]").unwrap();
        assert!(checked(single).is_ok());
        let half = single.replace("enclave = { vsock = { cid = 16 } }", "");
        assert_eq!(checked(&half).unwrap_err(), InvalidEnclaves::Form);
    }

    /// A policy may let it wait that long for the head of its reply.
    #[test]
    fn an_enclave_that_is_to_end_may_finish_the_longest_call() {
        let allowed = Supervisor::default().drain_timeout_s;
        assert!(allowed * 1_000 >= dauth_protocol::limit::MAX_TIMEOUT_MS);
    }

    #[test]
    fn names_are_labels_and_differ() {
        let (_, enclave) = SUPERVISED.split_once("[[enclaves]]").unwrap();
        let twice = format!("{SUPERVISED}\n[[enclaves]]{enclave}");
        assert!(matches!(checked(&twice), Err(InvalidEnclaves::Twice(_))));
        for name in ["", "A", "a-b", "a/../b", "a\\\"", &"a".repeat(33)] {
            let text = SUPERVISED.replace("\"a\"", &format!("\"{name}\""));
            assert!(toml::from_str::<Configuration>(&text).is_err(), "{name:?}");
        }
    }

    #[test]
    fn sizes_and_numbers_that_no_instance_has_are_refused() {
        for (change, error) in [
            (
                "cpus = 0",
                InvalidEnclaves::Size(EnclaveName("a".to_owned())),
            ),
            (
                "cpus = 2\n[supervisor]\nfirst_cid = 3",
                InvalidEnclaves::Cid,
            ),
        ] {
            let text = match change.split_once('\n') {
                Some((_, more)) => format!("{SUPERVISED}\n{more}"),
                None => SUPERVISED.replace("cpus = 2", change),
            };
            assert_eq!(checked(&text).unwrap_err(), error);
        }
        let mut five = SUPERVISED.to_owned();
        for name in ["b", "c", "d", "e"] {
            let (_, enclave) = SUPERVISED.split_once("[[enclaves]]").unwrap();
            five.push_str("\n[[enclaves]]");
            five.push_str(&enclave.replace("\"a\"", &format!("\"{name}\"")));
        }
        assert_eq!(checked(&five).unwrap_err(), InvalidEnclaves::TooMany);
    }
}

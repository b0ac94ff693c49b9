//! `dauth-parent` on this host, in front of a virtual machine.
use std::{
    fs,
    io::{ErrorKind, Read},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use dauth_protocol::{
    DeploymentConfiguration,
    deployment::{IssuerKeys, KeyPolicyRule, Kms},
    host::HOST_SERVICES_PORT,
};
use dauth_tests::{binary, vm::Machine, wait_until};

/// A parent. It ends with the test.
pub(crate) struct Parent {
    process: Child,
    ingress: SocketAddr,
    folder: PathBuf,
}

impl Parent {
    /// Serves the machine that is to be booted in `folder`.
    pub(crate) fn start(folder: &Path) -> Self {
        let configuration = serde_json::to_vec(&deployment()).unwrap();
        fs::write(folder.join("deployment.json"), configuration).unwrap();
        fs::write(folder.join("credential"), "none\n").unwrap();
        let ingress = free_address();
        let vsock = Machine::vsock_in(folder);
        let vsock = vsock.display();
        let text = format!(
            "[ingress]\n\
             listen = '{ingress}'\n\
             enclave = {{ hybrid_vsock = {{ path = '{vsock}' }} }}\n\
             [host]\n\
             listen = {{ unix = '{vsock}_{HOST_SERVICES_PORT}' }}\n\
             configuration_file = '{0}/deployment.json'\n\
             keyset_file = '{0}/keyset.cbor'\n\
             [records]\n\
             control_plane = 'http://127.0.0.1:9'\n\
             credential_file = '{0}/credential'\n\
             [process]\n\
             as_root = 'permitted'\n",
            folder.display(),
        );
        fs::write(folder.join("parent.toml"), text).unwrap();
        let log = fs::File::create(folder.join("parent.log")).unwrap();
        let process = Command::new(binary("dauth-parent"))
            .arg("--config")
            .arg(folder.join("parent.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let parent = Self {
            process,
            ingress,
            folder: folder.to_owned(),
        };
        wait_until("the parent serves", || {
            let log = parent.log();
            assert!(!log.contains("dauth-parent: "), "{log}");
            TcpStream::connect(ingress).is_ok()
        });
        parent
    }

    /// The configuration that it hands over.
    pub(crate) fn deployment_file(&self) -> PathBuf {
        self.folder.join("deployment.json")
    }

    /// Asserts that a client who connects is sent nothing, and is closed.
    pub(crate) fn assert_answers_nothing(&self) {
        let mut stream = TcpStream::connect(self.ingress).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let mut bytes = Vec::new();
        match stream.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        assert!(bytes.is_empty(), "{bytes:?}");
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("parent.log")).unwrap_or_default()
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn deployment() -> DeploymentConfiguration {
    DeploymentConfiguration {
        version: 1,
        deployment: "vm-test".to_owned(),
        audience: "https://enclave.test".to_owned(),
        issuer: "https://issuer.test".to_owned(),
        issuer_keys: IssuerKeys {
            url: "https://issuer.test/jwks.json".to_owned(),
            spki_sha256: "00".repeat(32),
        },
        kms: Kms {
            key_arn: "arn:aws:kms:eu-west-1:000000000000:key/00000000-0000-4000-8000-000000000000"
                .to_owned(),
            region: "eu-west-1".to_owned(),
            endpoint: None,
            key_policy: KeyPolicyRule::Unchecked,
        },
        former_kms: Vec::new(),
        rotation: None,
        predecessors: Vec::new(),
    }
}

//! The program that is released, where the module's documents are not signed by AWS.
use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use dauth_attestation::{Images, ReferenceValues, TrustAnchors};
use dauth_client::{Custody, Evidence, EvidenceError, KeysetMemory};
use dauth_enclave::{
    host::HostServices,
    kms::{KmsClient, KmsError, KmsSettings},
    platform::{Attester, Claims},
};
use dauth_image::{
    cpio::Permissions,
    ramdisk::{Application, File},
};
use dauth_protocol::{DeploymentConfiguration, Purpose, host::INGRESS_PORT, measurement::Pcr};
use dauth_simulator::unix::UnixTransport;
use dauth_tests::{
    Stack, binary,
    vm::{Machine, PARENT_CID, Tools, image},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{
    parent::Parent,
    probe::{Probe, Unverified},
};

/// What the enclave says of the time document.
const REFUSAL: &str = "time document does not verify";

#[test]
fn the_released_program_refuses_to_serve_without_evidence_of_aws() {
    let (tools, _) = Tools::of_this_run();
    let folder = tempfile::tempdir().unwrap();
    let parent = Parent::start(folder.path());
    let image = released_image(&tools, &folder.path().join("released.eif"));
    let mut machine = Machine::boot(&tools, &image, folder.path());
    machine.wait_until_ended();
    let console = machine.console();
    assert!(console.contains(REFUSAL), "{console}");
    assert!(console.contains("exit status 1"), "{console}");
    assert_eq!(machine.heartbeats(), 1, "{console}");
    parent.assert_answers_nothing();
}

#[test]
fn what_the_module_of_a_booted_image_says_is_measured_and_refused() {
    let (tools, _) = Tools::of_this_run();
    let folder = tempfile::tempdir().unwrap();
    let parent = Parent::start(folder.path());
    let cid = PARENT_CID.to_string();
    // The same program, and beside it one that asks the module once it has refused.
    let application = Application {
        program: "dauth-nsm-probe",
        binary: &fs::read(&tools.nsm_probe).unwrap(),
        arguments: &["/dauth-enclave", "--parent-cid", &cid],
        files: &[File {
            path: "dauth-enclave",
            permissions: Permissions::Executable,
            contents: &fs::read(&tools.enclave).unwrap(),
        }],
    };
    let image = image(&tools, &application);
    let mut machine = Machine::boot(&tools, &image, folder.path());
    machine.wait_for("dauth-nsm-probe: listening");
    let console = machine.console();
    assert!(console.contains(REFUSAL), "{console}");

    parent.assert_answers_nothing();
    assert!(machine.connect(INGRESS_PORT).is_err());

    let probe = Arc::new(Probe(Arc::new(machine)));
    let claims = Claims {
        user_data: Purpose::Evidence.user_data(b"what is bound"),
        nonce: vec![0x5a; 32],
        public_key: vec![0xa5; 91],
    };
    let document = probe.attest(&claims).unwrap();
    let said = Unverified::read(&document);
    let image_file = folder.path().join("image.eif");
    assert_eq!(
        [0, 1, 2].map(|index| said.pcr(index)),
        measured(&image_file)
    );
    assert_eq!(said.pcr(16), of_configuration(&parent.deployment_file()));
    assert_eq!(said.bytes("user_data"), claims.user_data);
    assert_eq!(said.bytes("nonce"), claims.nonce);
    assert_eq!(said.bytes("public_key"), claims.public_key);
    // Another question has another answer.
    let other = Claims {
        nonce: vec![0x5b; 32],
        ..claims.clone()
    };
    let other = Unverified::read(&probe.attest(&other).unwrap());
    assert_eq!(other.bytes("nonce"), [0x5b; 32]);

    the_command_refuses(&document, &said, folder.path());
    the_client_refuses(&document, &said, &claims.nonce);
    the_simulated_kms_refuses(&probe);
}

/// By the command that operators use, with what this machine needs beside it.
fn released_image(tools: &Tools, file: &Path) -> Vec<u8> {
    let cid = PARENT_CID.to_string();
    let mut command = Command::new(binary("dauth"));
    command
        .args(["eif", "build", "--binary"])
        .arg(&tools.enclave);
    command.arg("--kernel").arg(&tools.kernel);
    command.arg("--init").arg(&tools.init);
    for module in tools.modules() {
        command.arg("--module").arg(module);
    }
    command.args(["--heartbeat-cid", &cid]);
    command.args(["--argument", "--parent-cid", "--argument", &cid]);
    let built = command.arg("--output").arg(file).output().unwrap();
    assert!(built.status.success(), "{built:?}");
    fs::read(file).unwrap()
}

fn the_command_refuses(document: &[u8], said: &Unverified, folder: &Path) {
    let file = folder.join("document.cbor");
    fs::write(&file, document).unwrap();
    let pcr0 = format!("0={}", said.pcr(0));
    let ran = dauth(&["attest", "verify", file.to_str().unwrap(), "--pcr", &pcr0]);
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("refused"), "{stderr}");
}

fn the_client_refuses(document: &[u8], said: &Unverified, nonce: &[u8]) {
    let image = [0, 1, 2, 16]
        .into_iter()
        .fold(ReferenceValues::new(), |image, index| {
            image.with_pcr(index, said.pcr(index).as_bytes())
        });
    let expectations = dauth_attested_tls::Expectations {
        anchors: TrustAnchors::aws_nitro(),
        images: Images::AnyOf(vec![image]),
        audience: "https://enclave.test".to_owned(),
        max_age: Duration::from_secs(300),
        custody: Custody::Any,
        keysets: Arc::new(KeysetMemory::in_process()),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ms = u64::try_from(now.as_millis()).unwrap();
    let reply = Evidence::to_json(document, b"what is bound");
    let evidence = Evidence::from_json(&reply).unwrap();
    let refused = evidence.appraise(&expectations, nonce, now_ms).unwrap_err();
    assert!(matches!(refused, EvidenceError::Document(_)), "{refused}");
}

/// By the enclave's own client of KMS, with the module of the machine in the module's place.
#[tokio::main]
async fn the_simulated_kms_refuses(probe: &Arc<Probe>) {
    let stack = Stack::start();
    let bytes = fs::read(stack.dir().join("parent/deployment.json")).unwrap();
    let configuration = DeploymentConfiguration::from_json(&bytes).unwrap();
    let pem = fs::read(stack.dir().join("trust/kms-ca.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&pem).unwrap())
        .unwrap();
    let run = stack.dir().join("run");
    let transport = UnixTransport::new(run.join("unused.sock"), run.join("host.sock"));
    let client = KmsClient::new(KmsSettings {
        attester: Arc::clone(probe) as Arc<dyn Attester>,
        host: HostServices::new(Arc::new(transport)),
        roots: Arc::new(roots),
        configuration: &configuration,
        configuration_bytes: &bytes,
    })
    .unwrap();
    let refused = client.generate_data_key().await.err().unwrap();
    assert!(matches!(refused, KmsError::Refused(_)), "{refused}");
}

/// PCR0, 1 and 2, by `dauth eif measure`.
fn measured(image: &Path) -> [Pcr; 3] {
    let printed = json(&dauth(&[
        "eif",
        "measure",
        image.to_str().unwrap(),
        "--json",
    ]));
    ["PCR0", "PCR1", "PCR2"].map(|name| printed[name].as_str().unwrap().parse().unwrap())
}

/// PCR16, by `dauth eif config`.
fn of_configuration(file: &Path) -> Pcr {
    let printed = json(&dauth(&["eif", "config", file.to_str().unwrap(), "--json"]));
    printed["PCR16"].as_str().unwrap().parse().unwrap()
}

fn dauth(arguments: &[&str]) -> Output {
    Command::new(binary("dauth"))
        .args(arguments)
        .output()
        .unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

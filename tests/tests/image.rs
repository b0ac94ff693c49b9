//! Images and releases by the shipped program: reproducible, measured as `eif_build` measures, and
//! trusted by signature alone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panic, and say what they skip"
)]

#[path = "../../image/src/release/tests/signer.rs"]
mod signer;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use dauth_image::Eif;
use dauth_tests::binary;
use serde_json::{Value, json};
use signer::Signer;
use tempfile::TempDir;

const COMMIT: &str = "52a8b0c7d4a1e9f30c6d2b8e7f1a4c5d6e7f8091";

/// The parts of an image, in a folder of its own.
struct Parts(TempDir);

impl Parts {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, contents) in [
            ("vmlinuz", &b"a kernel"[..]),
            ("dauth-init", b"\x7fELF an init"),
            ("dauth-enclave", b"\x7fELF an enclave"),
            ("nsm.ko", b"a module"),
        ] {
            fs::write(folder.path().join(name), contents).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `dauth eif build` of the parts, with more options; what it printed.
    fn build(&self, eif: &Path, options: &[&str]) -> Value {
        let output = dauth()
            .args(["eif", "build", "--json", "--binary"])
            .arg(self.path("dauth-enclave"))
            .arg("--kernel")
            .arg(self.path("vmlinuz"))
            .arg("--init")
            .arg(self.path("dauth-init"))
            .arg("-o")
            .arg(eif)
            .args(options)
            .output()
            .unwrap();
        json_of(&output)
    }
}

/// The programs that `cargo xtask oci-test` took out of a container.
fn programs_of_a_container() -> Option<Parts> {
    let Some(programs) = env::var_os("DAUTH_IMAGE_PROGRAMS") else {
        println!("SKIPPED: run cargo xtask oci-test");
        return None;
    };
    let parts = Parts::new();
    for program in ["dauth-enclave", "dauth-init"] {
        fs::copy(Path::new(&programs).join(program), parts.path(program)).unwrap();
    }
    Some(parts)
}

fn dauth() -> Command {
    let mut dauth = Command::new(binary("dauth"));
    dauth
        .env_remove("SOURCE_DATE_EPOCH")
        .env_remove("DAUTH_PROFILE");
    dauth
}

fn json_of(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn measured(eif: &Path) -> Value {
    let measure = ["eif", "measure", "--json"];
    json_of(&dauth().args(measure).arg(eif).output().unwrap())
}

#[test]
fn the_same_parts_elsewhere_and_later_give_the_same_image() {
    let (first, second) = (Parts::new(), Parts::new());
    let eifs = [first.path("a.eif"), second.path("another-name.eif")];
    let module = [&first, &second].map(|parts| parts.path("nsm.ko"));
    let options = |at: usize| ["--module", module[at].to_str().unwrap()];
    let printed = first.build(&eifs[0], &options(0));
    assert_eq!(second.build(&eifs[1], &options(1)), printed);
    assert_eq!(fs::read(&eifs[0]).unwrap(), fs::read(&eifs[1]).unwrap());
    assert_eq!(measured(&eifs[0]), printed);
    // Each part is measured, and the build time is not.
    let built = |options: &[&str]| first.build(&first.path("other.eif"), options);
    let plain = built(&[]);
    assert_eq!(built(&["--epoch", "1700000000"]), plain);
    let with_argument = built(&["--argument", "--parent-cid", "--argument", "2"]);
    assert_eq!(with_argument["PCR1"], plain["PCR1"]);
    assert_ne!(with_argument["PCR2"], plain["PCR2"]);
    for options in [
        &["--cmdline", "quiet"][..],
        &["--heartbeat-cid", "2"],
        &options(0),
    ] {
        let other = built(options);
        assert_ne!(other["PCR0"], plain["PCR0"], "{options:?}");
        assert_ne!(other["PCR1"], plain["PCR1"], "{options:?}");
        assert_eq!(other["PCR2"], plain["PCR2"], "{options:?}");
    }
}

#[test]
fn a_damaged_image_is_refused_with_a_sentence() {
    let parts = Parts::new();
    let eif = parts.path("a.eif");
    parts.build(&eif, &[]);
    let mut bytes = fs::read(&eif).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&eif, bytes).unwrap();
    let output = dauth().args(["eif", "measure"]).arg(&eif).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr.contains("a.eif: refused: the CRC is wrong"),
        "{stderr}"
    );
    assert!(output.stdout.is_empty());
}

/// AWS's own tool, which `cargo xtask test` installs in `target/tools`.
fn eif_build() -> Option<Command> {
    let tool = env::current_exe()
        .unwrap()
        .ancestors()
        .map(|folder| folder.join("tools/bin/eif_build"))
        .find(|tool| tool.is_file());
    if tool.is_none() {
        println!("SKIPPED: eif_build is not installed: run cargo xtask test");
    }
    tool.map(Command::new)
}

/// `eif_build` on the parts of `eif`; what it printed.
fn rebuilt(mut tool: Command, eif: &Path, to: &Path, options: &[&str]) -> Value {
    let bytes = fs::read(eif).unwrap();
    let eif = Eif::parse(&bytes).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kernel = folder.path().join("kernel");
    fs::write(&kernel, eif.kernel()).unwrap();
    // It reads the third line of a kernel's configuration for the metadata.
    let configuration = folder.path().join("kernel.config");
    fs::write(
        &configuration,
        "#\n#\n# Linux/x86_64 6.12.0 Kernel Configuration\n",
    )
    .unwrap();
    tool.arg("--kernel")
        .arg(&kernel)
        .arg("--kernel_config")
        .arg(&configuration)
        .args(["--cmdline", eif.cmdline()]);
    for (index, ramdisk) in eif.ramdisks().iter().enumerate() {
        let file = folder.path().join(format!("ramdisk-{index}"));
        fs::write(&file, ramdisk).unwrap();
        tool.arg("--ramdisk").arg(file);
    }
    let output = tool.args(options).arg("--output").arg(to).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let from = text.find('{').unwrap();
    let mut printed: Value = serde_json::from_str(&text[from..]).unwrap();
    printed
        .as_object_mut()
        .unwrap()
        .retain(|name, _| name.starts_with("PCR"));
    printed
}

#[test]
fn measurements_are_those_of_eif_build() {
    let Some(tool) = eif_build() else { return };
    let parts = Parts::new();
    let (ours, theirs) = (parts.path("ours.eif"), parts.path("theirs.eif"));
    let printed = parts.build(&ours, &["--argument", "--parent-cid", "--argument", "2"]);
    assert_eq!(rebuilt(tool, &ours, &theirs, &[]), printed);
    assert_eq!(measured(&theirs), printed);
}

#[test]
fn measurements_of_the_programs_of_a_container_are_those_of_eif_build() {
    let Some(parts) = programs_of_a_container() else {
        return;
    };
    let tool = eif_build().unwrap();
    let (ours, theirs) = (parts.path("ours.eif"), parts.path("theirs.eif"));
    let printed = parts.build(&ours, &[]);
    assert_eq!(rebuilt(tool, &ours, &theirs, &[]), printed);
    assert_eq!(measured(&theirs), printed);
}

#[test]
fn a_signed_image_has_the_pcr8_of_eif_build() {
    let Some(tool) = eif_build() else { return };
    let parts = Parts::new();
    let (ours, theirs) = (parts.path("ours.eif"), parts.path("theirs.eif"));
    parts.build(&ours, &[]);
    let (key, certificate) = (parts.path("key.pem"), parts.path("certificate.pem"));
    let openssl = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-384",
        ])
        .args(["-sha384", "-nodes", "-subj", "/CN=signer", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(openssl.status.success());
    let options = [
        "--private-key",
        key.to_str().unwrap(),
        "--signing-certificate",
        certificate.to_str().unwrap(),
    ];
    let printed = rebuilt(tool, &ours, &theirs, &options);
    assert!(printed["PCR8"].is_string(), "{printed}");
    assert_eq!(measured(&theirs), printed);
}

/// A release manifest, signed; and a document of attestation that has its PCRs.
struct Release {
    folder: TempDir,
    signer: Signer,
}

const DOCUMENT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../attestation/vectors/accept_definite_map.cose"
);
const ROOT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../attestation/vectors/root.pem"
);

impl Release {
    fn new() -> Self {
        let release = Self {
            folder: tempfile::tempdir().unwrap(),
            signer: Signer::new(1),
        };
        fs::write(release.path("release.pub"), release.signer.public_key()).unwrap();
        let shown = json_of(&release.verify(&["--json"]));
        let pcrs = &shown["pcrs"];
        let manifest = json!({
            "type": "dauth-release/1",
            "version": "1.0.0",
            "commit": COMMIT,
            "pcrs": { "0": pcrs["0"], "1": pcrs["1"], "2": pcrs["2"] },
            "eif_sha256": "00".repeat(32),
            "enclave_sha256": "00".repeat(32),
        });
        release.publish(&manifest.to_string());
        release
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn publish(&self, manifest: &str) {
        fs::write(self.path("release.json"), manifest).unwrap();
        let signature = self.signer.sign(manifest.as_bytes());
        fs::write(self.path("release.json.minisig"), signature).unwrap();
    }

    fn verify(&self, options: &[&str]) -> Output {
        dauth()
            .args(["attest", "verify", DOCUMENT, "--root", ROOT])
            .args(["--at", "2025-06-15T15:06:40Z"])
            .args(options)
            .output()
            .unwrap()
    }

    fn verify_by_release(&self) -> Output {
        let (trust, key) = (self.path("release.json"), self.path("release.pub"));
        self.verify(&["--trust", &trust, "--release-key", &key, "--json"])
    }

    fn refusal(&self) -> String {
        let output = self.verify_by_release();
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn evidence_is_held_against_a_signed_manifest() {
    let release = Release::new();
    let shown = json_of(&release.verify_by_release());
    assert_eq!(shown["release"]["version"], "1.0.0");
    assert_eq!(shown["release"]["commit"], COMMIT);
    // Another release, rightly signed: not what runs.
    let manifest = fs::read_to_string(release.path("release.json")).unwrap();
    let pcr0 = shown["pcrs"]["0"].as_str().unwrap();
    release.publish(&manifest.replace(pcr0, &"5b".repeat(48)));
    let refusal = release.refusal();
    assert!(refusal.contains("PCR0"), "{refusal}");
}

#[test]
fn a_manifest_that_was_changed_is_refused_whatever_runs() {
    let release = Release::new();
    let manifest = fs::read_to_string(release.path("release.json")).unwrap();
    let changed = manifest.replace("1.0.0", "1.0.1");
    fs::write(release.path("release.json"), changed).unwrap();
    let refusal = release.refusal();
    assert!(refusal.contains("the signature is wrong"), "{refusal}");
    fs::remove_file(release.path("release.json.minisig")).unwrap();
    let refusal = release.refusal();
    assert!(refusal.contains("no signature beside it"), "{refusal}");
    let trust = release.path("release.json");
    let unkeyed = release.verify(&["--trust", &trust]);
    let stderr = String::from_utf8(unkeyed.stderr).unwrap();
    assert_eq!(unkeyed.status.code(), Some(1));
    assert!(stderr.contains("--release-key"), "{stderr}");
}

#[test]
fn a_manifest_is_of_the_image_and_the_program_in_it() {
    let parts = Parts::new();
    let eif = parts.path("a.eif");
    let printed = parts.build(&eif, &[]);
    let manifest = |program: &str| {
        dauth()
            .args([
                "release",
                "manifest",
                "--release",
                "1.0.0",
                "--commit",
                COMMIT,
            ])
            .arg("--eif")
            .arg(&eif)
            .arg("--binary")
            .arg(parts.path(program))
            .output()
            .unwrap()
    };
    let made = json_of(&manifest("dauth-enclave"));
    assert_eq!(made["type"], "dauth-release/1");
    for number in ["0", "1", "2"] {
        assert_eq!(made["pcrs"][number], printed[format!("PCR{number}")]);
    }
    let other = manifest("nsm.ko");
    assert_eq!(other.status.code(), Some(1));
    let stderr = String::from_utf8(other.stderr).unwrap();
    assert!(stderr.contains("not in the image"), "{stderr}");
}

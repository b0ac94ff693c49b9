//! Who may open a keyset, and whose keyset an enclave opens: each refusal is an enclave that does
//! not boot and says why.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panic"
)]

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use dauth_tests::{Ran, Stack, binary, simulate_once, wait_until};
use tempfile::TempDir;

const KEYSET: &str = "parent/keyset.cbor";
const OTHER_PCR0: &str = "77";

/// A deployment that ran once and has been stopped.
fn stopped_stack() -> Stack {
    let mut stack = Stack::start();
    stack.stop();
    stack
}

/// `dauth simulate --once` must fail because the enclave does, with a sentence that holds `words`.
#[track_caller]
fn assert_no_boot(ran: &Ran, words: &str) {
    assert_eq!(ran.code, 1, "{ran:?}");
    let sentence = ran.stderr.trim_end().lines().last().unwrap_or_default();
    assert!(
        sentence.starts_with("dauth: enclave ended before it was ready (exit status: 1)"),
        "{ran:?}"
    );
    assert!(sentence.contains(words), "{words:?} is not in {sentence}");
}

fn other_pcr0() -> String {
    OTHER_PCR0.repeat(48)
}

/// Replaces a value of a TOML file of the state directory.
fn edit(file: &Path, change: impl FnOnce(&mut toml::Table)) {
    let mut table: toml::Table = fs::read_to_string(file).unwrap().parse().unwrap();
    change(&mut table);
    fs::write(file, table.to_string()).unwrap();
}

/// A copy of a stopped deployment, as one has it who can read its disks and use its KMS key.
fn copy_of(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let done = Command::new("cp")
        .arg("-a")
        .arg(dir)
        .arg(copy.path().join("state"))
        .status();
    assert!(done.unwrap().success());
    copy
}

/// The keyset that another image makes under the same KMS key, for the same deployment.
///
/// Whoever administers the KMS key can let an image of his own use it; here, by a key policy that
/// names that image. Names, KMS key, ports, and so PCR16, are those of the victim.
fn keyset_by_another_image(victim: &Path) -> Vec<u8> {
    let attacker = copy_of(victim);
    let dir = attacker.path().join("state");
    let kept = dir.join("simulation.toml");
    edit(&kept, |table| {
        let pcrs = table["pcrs"].as_array_mut().unwrap();
        pcrs[0] = other_pcr0().into();
    });
    for made in [
        KEYSET,
        "parent/keyset-ordered",
        "control-plane/control-plane.db",
    ] {
        fs::remove_file(dir.join(made)).unwrap();
    }
    // The attacker's clients know no other keyset.
    for seen in ["profile.keyset.json", "mcp/seen-keyset.json"] {
        let _ = fs::remove_file(dir.join(seen));
    }
    let ran = simulate_once(&dir, &[]);
    assert_eq!(ran.code, 0, "the attacker's own deployment works: {ran:?}");
    fs::read(dir.join(KEYSET)).unwrap()
}

#[test]
fn a_keyset_that_another_made_under_the_same_kms_key_is_refused() {
    let stack = stopped_stack();
    let file = stack.dir().join(KEYSET);
    let own = fs::read(&file).unwrap();

    let planted = keyset_by_another_image(stack.dir());
    fs::write(&file, &planted).unwrap();
    assert_no_boot(
        &stack.simulate_once(&[]),
        "made by another image or configuration",
    );

    // With the birth document of the victim's own keyset, which is public to whoever has the disk.
    fs::write(&file, with_birth_of(&planted, &own)).unwrap();
    assert_no_boot(
        &stack.simulate_once(&[]),
        "birth document is another keyset's",
    );

    // One bit of the birth document, of the statement, of the keys.
    for (field, words) in [
        ("birth", "birth document does not verify"),
        ("statement", "birth document is another keyset's"),
        ("wrapped_key", "not the one that it was born with"),
        ("sealed", "KMS released no data key that opens the keyset"),
    ] {
        fs::write(&file, with_a_bit_changed(&own, field)).unwrap();
        assert_no_boot(&stack.simulate_once(&[]), words);
    }

    // Hidden: no enclave makes another in its place.
    fs::remove_file(&file).unwrap();
    assert_no_boot(&stack.simulate_once(&[]), "there is no keyset");
    assert!(!file.exists());

    fs::write(&file, &own).unwrap();
    let ran = stack.simulate_once(&[]);
    assert_eq!(ran.code, 0, "the very keyset works: {ran:?}");
}

type KeysetFile = ciborium::Value;

fn parse(bytes: &[u8]) -> KeysetFile {
    ciborium::from_reader(bytes).unwrap()
}

fn field<'a>(file: &'a mut KeysetFile, name: &str) -> &'a mut ciborium::Value {
    let fields = file.as_map_mut().unwrap();
    let found = fields
        .iter_mut()
        .find(|(key, _)| key.as_text() == Some(name));
    &mut found.unwrap().1
}

fn written(file: &KeysetFile) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(file, &mut bytes).unwrap();
    bytes
}

fn with_birth_of(keyset: &[u8], other: &[u8]) -> Vec<u8> {
    let (mut keyset, mut other) = (parse(keyset), parse(other));
    for name in ["birth", "created_ms"] {
        *field(&mut keyset, name) = field(&mut other, name).clone();
    }
    written(&keyset)
}

fn with_a_bit_changed(keyset: &[u8], name: &str) -> Vec<u8> {
    let mut keyset = parse(keyset);
    let bytes = field(&mut keyset, name).as_bytes_mut().unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    written(&keyset)
}

#[test]
fn kms_refuses_an_image_whose_pcr0_is_not_in_the_key_policy() {
    // At the first start it would make a keyset, at a later one open it.
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("state");
    let options = ["--enclave-pcr0", &other_pcr0()];
    assert_no_boot(&simulate_once(&dir, &options), "KMS refused this image");
    assert!(!dir.join(KEYSET).exists());
    let ran = simulate_once(&dir, &[]);
    assert_eq!(ran.code, 0, "with the right image: {ran:?}");
    assert_no_boot(&simulate_once(&dir, &options), "KMS refused this image");
    assert_eq!(simulate_once(&dir, &[]).code, 0);
}

#[test]
fn kms_refuses_a_configuration_whose_pcr16_is_not_in_the_key_policy() {
    let stack = stopped_stack();
    let configuration = stack.dir().join("parent/deployment.json");
    let honest = fs::read_to_string(&configuration).unwrap();
    let boots = |text: &str| {
        fs::write(&configuration, text).unwrap();
        boot_by_hand(stack.dir())
    };
    assert!(
        boots(&honest).is_none(),
        "with the honest configuration it serves"
    );

    // An issuer of the parent's own, whose tokens the enclave would believe.
    let issuer = honest.replacen(
        "\"issuer\": \"http://127.0.0.1:",
        "\"issuer\": \"http://127.0.0.2:",
        1,
    );
    // Nothing that means anything.
    let space = format!("{honest} ");
    for changed in [issuer, space] {
        assert_ne!(changed, honest);
        let output = boots(&changed).expect("the enclave ends");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let sentence = String::from_utf8(output.stderr).unwrap();
        assert!(
            sentence.contains("KMS refused this image: its PCR0 or PCR16"),
            "{sentence}"
        );
    }
    assert!(boots(&honest).is_none());
}

/// Processes that end with the test.
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// KMS, parent and enclave as their binaries, with the configurations of a state directory. None
/// when the enclave serves; else how it ended.
fn boot_by_hand(dir: &Path) -> Option<Output> {
    let program = |name: &str, party: &str| {
        let mut command = Command::new(binary(name));
        command
            .arg("--config")
            .arg(PathBuf::from(party).join("config.toml"))
            .current_dir(dir);
        command
    };
    for socket in ["run/host.sock", "run/enclave.sock"] {
        let _ = fs::remove_file(dir.join(socket));
    }
    let quiet = |mut command: Command| {
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut running = Running(vec![quiet(program("dauth-kms-sim", "kms"))]);
    running.0.push(quiet(program("dauth-parent", "parent")));
    let kms: toml::Table = fs::read_to_string(dir.join("kms/config.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let kms = kms["listen"].as_str().unwrap().to_owned();
    wait_until("KMS listens", || std::net::TcpStream::connect(&kms).is_ok());
    wait_until("the parent listens", || {
        UnixStream::connect(dir.join("run/host.sock")).is_ok()
    });
    let mut enclave = program("dauth-enclave-sim", "enclave")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let parent: toml::Table = fs::read_to_string(dir.join("parent/config.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let monitor = parent["monitor"]["listen"].as_str().unwrap().to_owned();
    let mut has_ended = false;
    wait_until("the enclave serves or ends", || {
        has_ended = enclave.try_wait().unwrap().is_some();
        has_ended || is_ready(&monitor)
    });
    if has_ended {
        return Some(enclave.wait_with_output().unwrap());
    }
    running.0.push(enclave);
    None
}

/// Whether the parent says that it reaches an enclave that serves.
fn is_ready(monitor: &str) -> bool {
    use std::io::{Read, Write};
    let mut reply = String::new();
    let asked = std::net::TcpStream::connect(monitor).and_then(|mut stream| {
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        stream.read_to_string(&mut reply)
    });
    asked.is_ok() && reply.starts_with("HTTP/1.1 200")
}

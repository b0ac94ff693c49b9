use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

/// A program that is a shell script.
struct Script {
    folder: tempfile::TempDir,
}

impl Script {
    fn new(body: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("nitro-cli");
        fs::write(&program, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn cli(&self, timeout: Duration, debug_mode: DebugMode) -> NitroCli {
        NitroCli {
            program: self.folder.path().join("nitro-cli"),
            timeout,
            debug_mode,
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

fn enclave() -> Enclave {
    Enclave {
        name: "a".to_owned().try_into().unwrap(),
        eif: "/opt/a b.eif".into(),
        cpus: 2,
        memory_mib: 1024,
    }
}

/// As nitro-cli 1.5 prints it.
const DESCRIBED: &str = r#"[{"EnclaveName":"dauth-a-16","EnclaveID":"i-1-enc2","ProcessID":7,"EnclaveCID":16,
    "NumberOfCPUs":2,"CPUIDs":[1,3],"MemoryMiB":1024,"State":"RUNNING","Flags":"NONE",
    "Measurements":{"HashAlgorithm":"Sha384 { ... }","PCR0":"ab","PCR1":"cd","PCR2":"ef"}}]"#;

#[tokio::test]
async fn describes_what_runs() {
    let script = Script::new(&format!("cat <<'EOF'\n{DESCRIBED}\nEOF"));
    let described = script
        .cli(PATIENCE, DebugMode::Refused)
        .describe()
        .await
        .unwrap();
    let [enclave] = described.as_slice() else {
        panic!("{described:?}");
    };
    assert_eq!((enclave.cid, enclave.name.as_str()), (16, "dauth-a-16"));
    assert!(enclave.is_running() && !enclave.is_in_debug_mode());
    assert_eq!(enclave.image(), Some(ImageId("ab".to_owned())));
}

#[test]
fn only_what_is_said_to_be_without_debug_mode_is() {
    for flags in [
        "",
        r#""Flags":"","#,
        r#""Flags":"DEBUG_MODE","#,
        r#""Flags":"none","#,
        r#""Flags":"NONE | DEBUG_MODE","#,
    ] {
        let described = DESCRIBED.replace(r#""Flags":"NONE","#, flags);
        let described: Vec<Described> = serde_json::from_str(&described).unwrap();
        assert!(described.iter().all(Described::is_in_debug_mode), "{flags}");
    }
}

#[tokio::test]
async fn names_every_argument_of_a_start() {
    let script = Script::new(
        r#"echo "$@" > "$(dirname "$0")/arguments"
echo "Start allocating memory..." >&2
echo '{"EnclaveName":"n","EnclaveID":"i-1-enc2","ProcessID":7,"EnclaveCID":16,"NumberOfCPUs":2}'"#,
    );
    let arguments =
        |script: &Script| fs::read_to_string(script.folder.path().join("arguments")).unwrap();
    let expected = "run-enclave --cpu-count 2 --memory 1024 --enclave-cid 16 --enclave-name \
                    dauth-a-16 --eif-path /opt/a b.eif";
    let cli = script.cli(PATIENCE, DebugMode::Refused);
    let started = cli.run(&enclave(), 16, "dauth-a-16").await.unwrap();
    assert_eq!(started.enclave_id, "i-1-enc2");
    assert_eq!(arguments(&script).trim(), expected);
    let cli = script.cli(PATIENCE, DebugMode::Used);
    cli.run(&enclave(), 16, "dauth-a-16").await.unwrap();
    assert_eq!(
        arguments(&script).trim(),
        format!("{expected} --debug-mode")
    );
    // Another number than was asked for: it is ended, for nobody would be told apart by it.
    let other = cli.run(&enclave(), 17, "dauth-a-17").await;
    assert!(matches!(other, Err(NitroCliError::Answer(_))), "{other:?}");
    assert_eq!(
        arguments(&script).trim(),
        "terminate-enclave --enclave-id i-1-enc2"
    );
}

#[tokio::test]
async fn a_failure_is_told_in_one_bounded_line() {
    let script = Script::new(
        "printf '[ E39 ] Enclave process connection failure.\\n\\033[1m' >&2\n\
         head -c 100000 /dev/zero | tr '\\0' x >&2\nexit 39",
    );
    let failed = script.cli(PATIENCE, DebugMode::Refused).describe().await;
    let message = failed.unwrap_err().to_string();
    assert!(
        message.contains("[ E39 ] Enclave process connection failure. ?[1m"),
        "{message}"
    );
    assert!(
        message.len() < 400 && !message.contains('\u{1b}'),
        "{message}"
    );
}

#[tokio::test]
async fn a_program_that_hangs_is_killed() {
    let script = Script::new("echo $$ > \"$(dirname \"$0\")/pid\"\nexec sleep 600");
    // Long enough for the script to write its pid on a busy machine.
    let cli = script.cli(Duration::from_secs(3), DebugMode::Refused);
    let failed = cli.describe().await;
    assert!(
        matches!(failed, Err(NitroCliError::TimedOut(_))),
        "{failed:?}"
    );
    let pid = fs::read_to_string(script.folder.path().join("pid")).unwrap();
    let process = format!("/proc/{}/cmdline", pid.trim());
    while fs::read(&process).is_ok_and(|line| !line.is_empty()) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_start_leaves_running_does_not_hold_its_answer_up() {
    // It has the script's standard output for much longer than the test may take.
    let script = Script::new(&format!(
        "sleep 600 & echo $! > \"$(dirname \"$0\")/pid\"\ncat <<'EOF'\n{DESCRIBED}\nEOF"
    ));
    let described = script.cli(PATIENCE, DebugMode::Refused).describe().await;
    let pid = fs::read_to_string(script.folder.path().join("pid")).unwrap();
    let killed = Command::new("kill").arg(pid.trim()).status().await;
    assert!(killed.unwrap().success());
    assert_eq!(described.unwrap().len(), 1);
}

#[tokio::test]
async fn endless_and_strange_answers_are_refused() {
    for body in ["yes '['", "echo '{}'", "echo '[{\"EnclaveID\":7}]'", "true"] {
        let script = Script::new(body);
        let cli = script.cli(PATIENCE, DebugMode::Refused);
        let answer = cli.describe().await;
        assert!(answer.is_err(), "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let script = Script::new("true");
    fs::remove_file(script.folder.path().join("nitro-cli")).unwrap();
    let failed = script.cli(PATIENCE, DebugMode::Refused).describe().await;
    let message = failed.unwrap_err().to_string();
    assert!(
        message.contains("cannot run") && message.contains("nitro-cli"),
        "{message}"
    );
}

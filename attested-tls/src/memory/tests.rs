use std::{fs, os::unix::fs::PermissionsExt as _};

use dauth_protocol::{KeyConfiguration, deployment::KeyPolicyRule, key_configuration::GuardingKey};

use super::*;

fn keys(audience: &str, id: u8, generation: u64) -> KeyConfiguration {
    KeyConfiguration {
        version: 1,
        purpose: KeyConfiguration::PURPOSE.to_owned(),
        tls_key: Vec::new(),
        recipients: Vec::new(),
        receipt_key: Vec::new(),
        former_receipt_keys: Vec::new(),
        keyset_id: vec![id; 16],
        generation,
        history: Vec::new(),
        kms_key: GuardingKey {
            arn: "k".to_owned(),
            policy: KeyPolicyRule::Unchecked,
        },
        audience: audience.to_owned(),
        build: "test".to_owned(),
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("seen.json")
    }

    /// As another process would open it.
    fn memory(&self) -> Arc<KeysetMemory> {
        Arc::new(KeysetMemory::in_file(self.path()))
    }
}

#[tokio::test]
async fn generations_grow_and_nothing_else_changes() {
    let folder = Folder::new();
    for memory in [Arc::new(KeysetMemory::in_process()), folder.memory()] {
        memory.note(&keys("a", 1, 5)).await.unwrap();
        memory.note(&keys("a", 1, 5)).await.unwrap();
        let older = keys("a", 1, 4);
        for refused in [memory.compare(&older), memory.note(&older).await] {
            assert!(matches!(
                refused,
                Err(EvidenceError::OlderGeneration { seen: 5, found: 4 })
            ));
        }
        // A later generation does not excuse another keyset.
        let other = keys("a", 2, 6);
        for refused in [memory.compare(&other), memory.note(&other).await] {
            assert!(matches!(refused, Err(EvidenceError::OtherKeyset { .. })));
        }
        memory.note(&keys("a", 1, 6)).await.unwrap();
        assert!(memory.compare(&keys("a", 1, 5)).is_err());
    }
}

#[tokio::test]
async fn audiences_are_apart() {
    let folder = Folder::new();
    let memory = folder.memory();
    memory.note(&keys("a", 1, 5)).await.unwrap();
    // Another deployment, and one whose name merely looks alike.
    memory.note(&keys("b", 2, 1)).await.unwrap();
    memory.note(&keys("a/", 3, 1)).await.unwrap();
    assert!(folder.memory().compare(&keys("a", 1, 4)).is_err());
    assert!(folder.memory().compare(&keys("b", 2, 1)).is_ok());
}

#[tokio::test]
async fn comparing_teaches_nothing() {
    let folder = Folder::new();
    let memory = folder.memory();
    memory.compare(&keys("a", 1, u64::MAX)).unwrap();
    assert!(!folder.path().exists());
    memory.note(&keys("a", 2, 1)).await.unwrap();
}

#[tokio::test]
async fn another_process_sees_what_was_noted_and_the_file_is_private() {
    let folder = Folder::new();
    folder.memory().note(&keys("a", 1, 5)).await.unwrap();
    let text = fs::read_to_string(folder.path()).unwrap();
    let written: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        written,
        serde_json::json!({ "version": 1, "keysets": { "a": { "id": "01".repeat(16), "generation": 5 } } })
    );
    for file in [folder.path(), folder.path().with_extension("json.lock")] {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let refused = folder.memory().compare(&keys("a", 2, 5)).unwrap_err();
    let sentence = refused.to_string();
    assert!(
        sentence.contains("seen.json") && sentence.contains("announced"),
        "{sentence}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_note_at_the_same_time_never_go_back() {
    let folder = Folder::new();
    let notes: Vec<_> = (1..=40)
        .map(|generation| {
            let memory = folder.memory();
            tokio::spawn(async move { memory.note(&keys("a", 1, generation)).await })
        })
        .collect();
    for note in notes {
        // One that came late was refused: somebody had seen a later generation.
        let noted = note.await.unwrap();
        assert!(matches!(
            noted,
            Ok(()) | Err(EvidenceError::OlderGeneration { .. })
        ));
    }
    assert!(folder.memory().compare(&keys("a", 1, 39)).is_err());
    assert!(folder.memory().compare(&keys("a", 1, 40)).is_ok());
}

#[tokio::test]
async fn a_file_that_is_damaged_is_not_an_empty_one() {
    let folder = Folder::new();
    for text in [
        "",
        "{",
        "{}",
        r#"{"version":2,"keysets":{}}"#,
        r#"{"version":1,"keysets":{},"more":1}"#,
        r#"{"version":1,"keysets":{"a":{"id":"01"}}}"#,
        &format!(
            r#"{{"version":1,"keysets":{{}}}}{}"#,
            " ".repeat(256 * 1024)
        ),
    ] {
        fs::write(folder.path(), text).unwrap();
        let memory = folder.memory();
        for refused in [
            memory.compare(&keys("a", 1, 1)),
            memory.note(&keys("a", 1, 1)).await,
        ] {
            assert!(matches!(
                refused,
                Err(EvidenceError::Memory(KeysetMemoryError::Damaged { .. }))
            ));
        }
    }
    // Nor is one that cannot be read.
    fs::remove_file(folder.path()).unwrap();
    fs::create_dir(folder.path()).unwrap();
    let refused = folder.memory().compare(&keys("a", 1, 1));
    assert!(matches!(
        refused,
        Err(EvidenceError::Memory(KeysetMemoryError::File { .. }))
    ));
}

#[tokio::test]
async fn a_memory_is_bounded_and_forgets_nobody() {
    let memory = Arc::new(KeysetMemory::in_process());
    for audience in 0..MAX_AUDIENCES {
        memory
            .note(&keys(&audience.to_string(), 1, 1))
            .await
            .unwrap();
    }
    let refused = memory.note(&keys("one more", 1, 1)).await;
    assert!(matches!(
        refused,
        Err(EvidenceError::Memory(KeysetMemoryError::Full { .. }))
    ));
    memory.note(&keys("0", 1, 2)).await.unwrap();
    assert!(memory.compare(&keys("0", 1, 1)).is_err());
}

/// A generation whose history is that of its line: one letter a generation, the latest first.
fn of_line(line: &str) -> KeyConfiguration {
    let history = line.bytes().rev().map(|name| vec![name; 16].into());
    KeyConfiguration {
        history: history.collect(),
        ..keys("a", 1, line.len() as u64)
    }
}

/// The attack: an old file is put back, and changed until its number is as high as what was seen.
#[tokio::test]
async fn a_generation_must_come_of_the_one_that_was_seen() {
    let folder = Folder::new();
    for memory in [Arc::new(KeysetMemory::in_process()), folder.memory()] {
        memory.note(&of_line("abc")).await.unwrap();
        memory.note(&of_line("abc")).await.unwrap();
        memory.compare(&of_line("abcd")).unwrap();
        for forked in ["abX", "abXY", "aXYZ", "WXYZ"] {
            let judged = memory.compare(&of_line(forked));
            assert!(
                matches!(judged, Err(EvidenceError::OtherHistory { seen: 3, .. })),
                "{forked}"
            );
            assert!(memory.note(&of_line(forked)).await.is_err(), "{forked}");
        }
        // Several changes later, as far back as a history goes.
        memory.note(&of_line("abcdef")).await.unwrap();
        let mut cut = of_line("abcdefgh");
        cut.history.truncate(2);
        assert!(matches!(
            memory.compare(&cut),
            Err(EvidenceError::OtherHistory {
                seen: 6,
                found: 8,
                ..
            })
        ));
        cut = of_line("abcdefgh");
        cut.history.truncate(3);
        memory.note(&cut).await.unwrap();
    }
}

#[tokio::test]
async fn a_memory_without_a_digest_learns_it() {
    let folder = Folder::new();
    let id = "01".repeat(16);
    let text = format!(r#"{{"version":1,"keysets":{{"a":{{"id":"{id}","generation":3}}}}}}"#);
    fs::write(folder.path(), text).unwrap();
    folder.memory().note(&of_line("abc")).await.unwrap();
    assert!(folder.memory().compare(&of_line("abX")).is_err());
}

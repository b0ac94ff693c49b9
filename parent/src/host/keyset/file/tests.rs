use std::os::unix::fs::PermissionsExt;

use super::*;

fn keyset() -> (tempfile::TempDir, KeysetFile) {
    let folder = tempfile::tempdir().unwrap();
    let keyset = KeysetFile::new(folder.path().join("keyset"));
    (folder, keyset)
}

/// Eight writers, each as a process of its own would be: with its own [`KeysetFile`].
fn race(
    folder: &Path,
    write: impl Fn(&KeysetFile, &[u8]) -> io::Result<Stored> + Sync,
) -> Vec<(u8, Stored)> {
    let start = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|n| {
                let (start, write) = (&start, &write);
                let keyset = KeysetFile::new(folder.join("keyset"));
                scope.spawn(move || {
                    start.wait();
                    (n, write(&keyset, &[n; 1000]).unwrap())
                })
            })
            .collect();
        writers.into_iter().map(|w| w.join().unwrap()).collect()
    })
}

fn winner(results: &[(u8, Stored)]) -> Vec<u8> {
    let winners: Vec<_> = results.iter().filter(|r| r.1 == Stored::New).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    vec![winners[0].0; 1000]
}

#[test]
fn of_many_creators_one_wins_and_its_bytes_stay() {
    for _ in 0..20 {
        let (folder, keyset) = keyset();
        let results = race(folder.path(), |keyset, bytes| keyset.create(bytes));
        assert_eq!(keyset.read().unwrap().unwrap(), winner(&results));
        let mode = fs::metadata(keyset.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn of_many_changers_one_wins_and_what_it_replaced_is_kept() {
    for _ in 0..20 {
        let (folder, keyset) = keyset();
        keyset.create(b"first").unwrap();
        let tag = keyset_tag(b"first");
        let results = race(folder.path(), |keyset, bytes| keyset.replace(&tag, bytes));
        assert_eq!(keyset.read().unwrap().unwrap(), winner(&results));
        assert_eq!(fs::read(keyset.previous()).unwrap(), b"first");
        let mode = fs::metadata(keyset.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_change_of_another_keyset_or_of_none_writes_nothing() {
    let (folder, keyset) = keyset();
    let tag = keyset_tag(b"first");
    assert_eq!(keyset.replace(&tag, b"second").unwrap(), Stored::Conflict);
    assert_eq!(keyset.read().unwrap(), None);
    keyset.create(b"other").unwrap();
    assert_eq!(keyset.replace(&tag, b"second").unwrap(), Stored::Conflict);
    assert_eq!(keyset.create(b"second").unwrap(), Stored::Conflict);
    assert_eq!(keyset.read().unwrap().unwrap(), b"other");
    // The keyset and the lock: nothing is left of what was not stored.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn the_keyset_of_before_is_kept_through_many_changes() {
    let (folder, keyset) = keyset();
    keyset.create(&[0]).unwrap();
    for n in 1..5 {
        let tag = keyset_tag(&[n - 1]);
        assert_eq!(keyset.replace(&tag, &[n]).unwrap(), Stored::New);
        assert_eq!(keyset.read().unwrap().unwrap(), [n]);
        assert_eq!(fs::read(keyset.previous()).unwrap(), [n - 1]);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

/// At whichever step a change was interrupted, the keyset is the old one, and the change passes
/// when it is tried again.
#[test]
fn a_crash_on_the_way_loses_no_keyset() {
    let (folder, keyset) = keyset();
    let beside = |ending: &str| folder.path().join(format!("keyset.{ending}"));
    fs::write(beside("new"), "half").unwrap();
    assert_eq!(keyset.create(b"first").unwrap(), Stored::New);
    let tag = keyset_tag(b"first");

    fs::write(beside("new"), "half").unwrap();
    fs::hard_link(keyset.path(), beside("previous.new")).unwrap();
    assert_eq!(keyset.replace(&tag, b"second").unwrap(), Stored::New);
    assert_eq!(fs::read(keyset.previous()).unwrap(), b"first");

    // After the old one has its second name already.
    fs::remove_file(keyset.previous()).unwrap();
    fs::hard_link(keyset.path(), keyset.previous()).unwrap();
    let tag = keyset_tag(b"second");
    assert_eq!(keyset.replace(&tag, b"third").unwrap(), Stored::New);
    assert_eq!(keyset.read().unwrap().unwrap(), b"third");
    assert_eq!(fs::read(keyset.previous()).unwrap(), b"second");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn what_is_too_long_is_no_keyset() {
    let (_folder, keyset) = keyset();
    fs::write(keyset.path(), vec![0; MAX_KEYSET_BYTES + 1]).unwrap();
    let error = keyset.read().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    // And stays where it is: it may be something that the operator misses.
    let tag = keyset_tag(&vec![0; MAX_KEYSET_BYTES + 1]);
    assert!(keyset.replace(&tag, b"second").is_err());
    assert_eq!(keyset.create(b"second").unwrap(), Stored::Conflict);
}

/// The attack: the parent's user, who owns the folder, has root make or give away a file elsewhere
/// when root gives an order.
#[test]
fn a_link_in_place_of_the_lock_makes_no_file_and_gives_none_away() {
    use std::os::unix::fs::{chown, symlink};

    let (folder, keyset) = keyset();
    let elsewhere = tempfile::tempdir().unwrap();
    let victim = elsewhere.path().join("victim");
    symlink(&victim, folder.path().join("keyset.lock")).unwrap();
    assert!(keyset.lock().is_err());
    assert!(!victim.exists());

    fs::write(&victim, "").unwrap();
    let owner = fs::metadata(&victim).unwrap().uid();
    // Only root can give files away.
    if chown(folder.path(), Some(owner + 1), None).is_ok() {
        keyset.lock().unwrap();
        assert_eq!(fs::metadata(&victim).unwrap().uid(), owner);
    }
}

//! The vectors that are committed are those that the cases make.
#![allow(clippy::expect_used, reason = "tests fail by panic")]

use std::{collections::BTreeSet, fs, path::PathBuf};

#[test]
fn the_committed_files_are_what_is_generated() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../vectors");
    let files = dauth_attestation_vectors::files();
    for file in &files {
        let committed = fs::read(folder.join(&file.name)).unwrap_or_default();
        assert!(
            committed == file.contents,
            "{} is not what is generated: run `cargo xtask vectors`",
            file.name
        );
    }
    let made: BTreeSet<String> = files.into_iter().map(|file| file.name).collect();
    let committed: BTreeSet<String> = fs::read_dir(folder)
        .expect("the folder of vectors")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name != "README.md")
        .collect();
    assert_eq!(committed, made, "run `cargo xtask vectors`");
}

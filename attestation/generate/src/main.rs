//! Writes the test vectors: `cargo xtask vectors`.
#![allow(clippy::print_stdout, reason = "it says what it wrote")]

use std::{collections::BTreeSet, env, fs, io, path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    match write() {
        Ok(count) => {
            println!("{count} files written to {}", folder().display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{}: {error}", folder().display());
            ExitCode::FAILURE
        }
    }
}

/// Writes every file, and removes vectors that no case makes any more.
fn write() -> io::Result<usize> {
    let folder = folder();
    fs::create_dir_all(&folder)?;
    let files = dauth_attestation_vectors::files();
    for file in &files {
        fs::write(folder.join(&file.name), &file.contents)?;
    }
    let made: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".cose") && !made.contains(name.as_ref()) {
            fs::remove_file(folder.join(name.as_ref()))?;
        }
    }
    Ok(files.len())
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).with_file_name("vectors")
}

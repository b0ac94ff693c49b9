//! The workspace's source, in another folder.
use std::{collections::BTreeSet, fs, io, path::Path, process::Command};

use crate::command::{Failure, output_of};

/// Makes `to` a copy of what git knows in `source`, and of what it would add. A file that is the
/// same already is not touched, so that Cargo does not take it for changed.
pub(crate) fn mirror(source: &Path, to: &Path) -> Result<(), Failure> {
    let list = [
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let files = output_of(Command::new("git").args(list).current_dir(source))?;
    let files = files.split('\0');
    let files: BTreeSet<&str> = files.filter(|file| source.join(file).is_file()).collect();
    let failed = |error| Failure::new(format!("a copy in {}: {error}", to.display()));
    if !files.contains("Cargo.toml") {
        let sentence = format!("git knows of no workspace in {}", source.display());
        return Err(Failure::new(sentence));
    }
    copy(source, &files, to).map_err(failed)
}

fn copy(source: &Path, files: &BTreeSet<&str>, to: &Path) -> io::Result<()> {
    // What a link leads to is somebody's: nothing there is to be removed.
    if fs::symlink_metadata(to).is_ok_and(|found| !found.is_dir()) {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    fs::create_dir_all(to)?;
    remove_others(to, to, files)?;
    for file in files {
        let (from, to) = (source.join(file), to.join(file));
        if is_same(&from, &to)? {
            continue;
        }
        match fs::remove_file(&to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(from, to)?;
    }
    Ok(())
}

/// Whether two files have the same bytes, for the same users.
fn is_same(from: &Path, to: &Path) -> io::Result<bool> {
    let Ok(known) = fs::read(to) else {
        return Ok(false);
    };
    let permissions = |file| fs::metadata(file).map(|found| found.permissions());
    Ok(permissions(from)? == permissions(to)? && fs::read(from)? == known)
}

fn remove_others(folder: &Path, root: &Path, files: &BTreeSet<&str>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            remove_others(&path, root, files)?;
            // A folder that is not empty stays.
            let _ = fs::remove_dir(&path);
        } else if path
            .strip_prefix(root)
            .ok()
            .and_then(Path::to_str)
            .is_none_or(|name| !files.contains(name))
        {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panic")]
    use super::*;

    #[test]
    fn a_mirror_has_what_the_source_has_and_keeps_what_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (source, to) = (folder.path().join("source"), folder.path().join("to"));
        let write = |name: &str, text: &str| {
            let file = source.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("same", "1");
        write("in/a/folder/changed", "1");
        write("in/gone", "1");
        write("soon-a-file/gone", "1");
        let all = BTreeSet::from(["same", "in/a/folder/changed", "in/gone", "soon-a-file/gone"]);
        copy(&source, &all, &to).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        let of_copy = fs::File::options().write(true).open(to.join("same"));
        of_copy.unwrap().set_modified(long_ago).unwrap();

        write("in/a/folder/changed", "2");
        write("new", "1");
        fs::remove_dir_all(source.join("soon-a-file")).unwrap();
        write("soon-a-file", "1");
        let all = BTreeSet::from(["same", "in/a/folder/changed", "new", "soon-a-file"]);
        copy(&source, &all, &to).unwrap();
        let modified = fs::metadata(to.join("same")).unwrap().modified().unwrap();
        assert_eq!(modified, long_ago);
        let text = |name: &str| fs::read_to_string(to.join(name)).unwrap();
        assert_eq!(text("in/a/folder/changed"), "2");
        assert_eq!(text("new"), "1");
        assert_eq!(text("soon-a-file"), "1");
        assert!(!to.join("in/gone").exists());
    }

    /// The attack, or a mistake: what the link leads to would be emptied.
    #[test]
    fn nothing_is_removed_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("theirs");
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("file"), "1").unwrap();
        let link = folder.path().join("to");
        std::os::unix::fs::symlink(&theirs, &link).unwrap();
        assert!(copy(folder.path(), &BTreeSet::new(), &link).is_err());
        let inside = folder.path().join("copy");
        fs::create_dir(&inside).unwrap();
        std::os::unix::fs::symlink(&theirs, inside.join("link")).unwrap();
        copy(folder.path(), &BTreeSet::new(), &inside).unwrap();
        assert!(theirs.join("file").exists() && !inside.join("link").exists());
    }
}

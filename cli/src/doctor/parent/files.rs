//! The files that a configuration names: that they are there, and who else may read or write them.
use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use dauth_parent::Configuration;
use toml::{Table, Value};

use super::super::{
    finding::Finding,
    host::{Access, Host},
};

const NAME: &str = "file";

/// What a file is to the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Read; nobody but its owner and root may change it.
    Told,
    /// Read; nobody else may read it either.
    Secret,
    /// Made and replaced by the parent: its folder counts.
    Kept,
}

/// Every file that the configuration names, and the configuration itself.
pub(super) fn examine(host: &Host, file: &Path, configuration: &Configuration) -> Vec<Finding> {
    let mut named = vec![(Kind::Told, file.to_owned())];
    // By the names of the fields, so that none is forgotten when one is added.
    if let Ok(Value::Table(table)) = Value::try_from(configuration) {
        collect(&table, &mut named);
    }
    named
        .into_iter()
        .map(|(kind, path)| match kind {
            Kind::Kept => kept(host, &path),
            Kind::Told | Kind::Secret => told(host, kind, &path),
        })
        .collect()
}

fn collect(table: &Table, named: &mut Vec<(Kind, PathBuf)>) {
    for (key, value) in table {
        match value {
            Value::Table(table) => collect(table, named),
            Value::Array(values) => {
                for value in values {
                    if let Value::Table(table) = value {
                        collect(table, named);
                    }
                }
            }
            Value::String(path) => {
                if let Some(kind) = kind(key) {
                    named.push((kind, PathBuf::from(path)));
                }
            }
            _ => {}
        }
    }
}

fn kind(key: &str) -> Option<Kind> {
    match key {
        "keyset_file" => Some(Kind::Kept),
        "eif" => Some(Kind::Told),
        key if key.starts_with("credential") && key.ends_with("_file") => Some(Kind::Secret),
        key if key.ends_with("_file") => Some(Kind::Told),
        _ => None,
    }
}

fn told(host: &Host, kind: Kind, path: &Path) -> Finding {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Finding::missing(
                NAME,
                format!("{shown} is not there"),
                "docs/operate.md says how it is made",
            );
        }
        Err(error) => {
            return Finding::missing(
                NAME,
                format!("{shown}: {error}"),
                "look at its folder's permissions",
            );
        }
    };
    let mode = metadata.permissions().mode();
    let of_stranger = ![0, host.user.uid].contains(&metadata.uid());
    if mode & 0o022 != 0 || of_stranger {
        return Finding::missing(
            NAME,
            format!(
                "{shown} can be changed by others than root and {}",
                host.user.name
            ),
            format!("chown root {shown} && chmod go-w {shown}"),
        );
    }
    if kind == Kind::Secret && mode & 0o007 != 0 {
        return Finding::missing(
            NAME,
            format!("{shown} holds a secret, and everyone may read it"),
            format!("chmod o-rwx {shown}"),
        );
    }
    if !host.user.may(Access::Read, &metadata) {
        return Finding::missing(
            NAME,
            format!("{shown} cannot be read by {}", host.user.name),
            format!(
                "give the group of the parent's user: chgrp dauth {shown} && chmod g+r {shown}"
            ),
        );
    }
    Finding::ok(NAME, format!("{shown} is safe"))
}

fn kept(host: &Host, path: &Path) -> Finding {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let shown = folder.display();
    let remedy = format!("install -d -o {} -m 0700 {shown}", host.user.name);
    match fs::metadata(folder) {
        Ok(metadata) if !metadata.is_dir() => {
            Finding::missing(NAME, format!("{shown} is no folder"), remedy)
        }
        Ok(metadata) if metadata.mode() & 0o022 != 0 => Finding::missing(
            NAME,
            format!(
                "{shown} can be changed by others: whoever can might put an older keyset there"
            ),
            remedy,
        ),
        Ok(metadata) if !host.user.may(Access::MakeFiles, &metadata) => Finding::missing(
            NAME,
            format!("{} may not make files in {shown}", host.user.name),
            remedy,
        ),
        Ok(_) if path.exists() => Finding::ok(NAME, format!("{} is there", path.display())),
        Ok(_) => Finding::advice(
            NAME,
            format!("there is no keyset in {} yet", path.display()),
            format!(
                "order one, once: dauth keys create --keyset {}",
                path.display()
            ),
        ),
        Err(error) => Finding::missing(NAME, format!("{shown}: {error}"), remedy),
    }
}

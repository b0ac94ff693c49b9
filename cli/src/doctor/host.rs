//! The host that is looked at: its files below a root, its programs, and a user.
use std::{
    env,
    fs::{self, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::failure::Failure;

/// What is read of a file at most: each is a few lines.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// A host.
pub(super) struct Host {
    /// `/`; a folder in tests.
    pub(super) root: PathBuf,
    /// Where programs are looked for.
    pub(super) search: Vec<PathBuf>,
    /// Who runs the parent.
    pub(super) user: User,
}

/// A user, as permissions see one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) groups: Vec<u32>,
}

/// What somebody wants to do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    ReadAndWrite,
    /// Make files in a folder.
    MakeFiles,
}

impl Host {
    /// This host, and the user named or the one who asks.
    pub(super) fn this(user: Option<&str>) -> Result<Self, Failure> {
        let root = PathBuf::from("/");
        let user = match user {
            Some(name) => User::named(&root, name),
            None => User::who_asks(&root),
        }
        .map_err(|error| Failure::refused(error.to_string()))?;
        let search = env::var_os("PATH").unwrap_or_default();
        Ok(Self {
            search: env::split_paths(&search).collect(),
            root,
            user,
        })
    }

    /// Where a path of the host is.
    pub(super) fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file's text.
    pub(super) fn read(&self, path: &str) -> io::Result<String> {
        read(&self.at(path))
    }

    /// Whether anything is there.
    pub(super) fn has(&self, path: &str) -> bool {
        self.at(path).exists()
    }
}

/// The beginning of a file, as text.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(MAX_FILE_BYTES)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Why a user is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum UserError {
    /// Nobody of this name.
    #[error(
        "there is no user {0:?}: make one with `useradd --system {0}`, or see deploy/sysusers.d"
    )]
    Unknown(String),
    /// The system does not say who asks.
    #[error("cannot tell which user this is: {0}")]
    Unreadable(#[source] io::Error),
}

impl User {
    /// The user of a name, as `passwd(5)` and `group(5)` have it.
    pub(super) fn named(root: &Path, name: &str) -> Result<Self, UserError> {
        let unknown = || UserError::Unknown(name.to_owned());
        let users = read(&root.join("etc/passwd")).map_err(UserError::Unreadable)?;
        let entry = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.first() == Some(&name))
            .ok_or_else(unknown)?;
        let number = |at: usize| entry.get(at).and_then(|field| field.parse().ok());
        let (Some(uid), Some(own)) = (number(2), number(3)) else {
            return Err(unknown());
        };
        let groups = read(&root.join("etc/group")).unwrap_or_default();
        let of_others = groups.lines().filter_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            let is_member = fields.get(3)?.split(',').any(|member| member == name);
            is_member.then(|| fields.get(2)?.parse().ok()).flatten()
        });
        Ok(Self {
            name: name.to_owned(),
            uid,
            groups: std::iter::once(own).chain(of_others).collect(),
        })
    }

    /// Whoever runs this process, as `proc_pid_status(5)` has it.
    fn who_asks(root: &Path) -> Result<Self, UserError> {
        let status = read(&root.join("proc/self/status")).map_err(UserError::Unreadable)?;
        let numbers = |field: &str| -> Vec<u32> {
            status
                .lines()
                .find_map(|line| line.strip_prefix(field))
                .unwrap_or_default()
                .split_whitespace()
                .filter_map(|number| number.parse().ok())
                .collect()
        };
        // Real, effective, saved, file system.
        let effective = |ids: &[u32]| ids.get(1).copied();
        let uid = effective(&numbers("Uid:")).ok_or_else(|| {
            UserError::Unreadable(io::Error::other("/proc/self/status names no Uid"))
        })?;
        let mut groups = numbers("Groups:");
        groups.extend(effective(&numbers("Gid:")));
        Ok(Self {
            name: if uid == 0 {
                "root".to_owned()
            } else {
                format!("user {uid}")
            },
            uid,
            groups,
        })
    }

    /// Whether a file's mode lets the user do something. Folders on the way are not looked at.
    pub(super) fn may(&self, access: Access, file: &Metadata) -> bool {
        if self.uid == 0 {
            return true;
        }
        let shift = if self.uid == file.uid() {
            6
        } else if self.groups.contains(&file.gid()) {
            3
        } else {
            0
        };
        let wanted = match access {
            Access::Read => 0o4,
            Access::ReadAndWrite => 0o6,
            Access::MakeFiles => 0o3,
        };
        (file.mode() >> shift) & wanted == wanted
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A host in a folder, with nothing in it.
    pub(in crate::doctor) struct Folder {
        pub(in crate::doctor) host: Host,
        _folder: tempfile::TempDir,
    }

    impl Folder {
        pub(in crate::doctor) fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let host = Host {
                root: folder.path().to_owned(),
                search: vec![folder.path().join("usr/bin")],
                user: nobody(),
            };
            Self {
                host,
                _folder: folder,
            }
        }

        pub(in crate::doctor) fn write(&self, path: &str, text: &str) -> PathBuf {
            let file = self.host.at(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            file
        }

        pub(in crate::doctor) fn mode(&self, path: &str, mode: u32) {
            fs::set_permissions(self.host.at(path), fs::Permissions::from_mode(mode)).unwrap();
        }

        /// A character device, of which every test machine has one.
        pub(in crate::doctor) fn device(&self, path: &str) {
            let file = self.host.at(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink("/dev/zero", file).unwrap();
        }
    }

    /// A user who owns nothing.
    pub(in crate::doctor) fn nobody() -> User {
        User {
            name: "nobody".to_owned(),
            uid: 4_000_000_001,
            groups: vec![4_000_000_001],
        }
    }

    #[test]
    fn a_user_is_known_with_the_groups_it_is_in() {
        let folder = Folder::new();
        folder.write(
            "etc/passwd",
            "root:x:0:0::/:/bin/sh\ndauth:x:990:991::/:/sbin/nologin\nbroken:x\n",
        );
        folder.write("etc/group", "ne:x:992:other,dauth\nx:x:993:dauth2\nhalf\n");
        let user = User::named(&folder.host.root, "dauth").unwrap();
        assert_eq!((user.uid, user.groups), (990, vec![991, 992]));
        for name in ["dauth2", "broken", ""] {
            let error = User::named(&folder.host.root, name).unwrap_err();
            assert!(error.to_string().contains("useradd"), "{error}");
        }
    }

    #[test]
    fn who_asks_is_this_process() {
        let this = User::who_asks(Path::new("/")).unwrap();
        let made = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(this.uid, made.as_file().metadata().unwrap().uid());
        assert!(User::who_asks(Path::new("/no-such-folder")).is_err());
    }

    #[test]
    fn permissions_are_those_of_owner_group_or_others() {
        let folder = Folder::new();
        let file = folder.write("f", "");
        let owner = User {
            uid: fs::metadata(&file).unwrap().uid(),
            ..nobody()
        };
        let member = User {
            groups: vec![fs::metadata(&file).unwrap().gid()],
            ..nobody()
        };
        for (mode, of_owner, of_member, of_others) in [
            (0o600, true, false, false),
            (0o060, false, true, false),
            (0o006, false, false, true),
            (0o444, false, false, false),
        ] {
            folder.mode("f", mode);
            let metadata = fs::metadata(&file).unwrap();
            let may = |user: &User| user.may(Access::ReadAndWrite, &metadata);
            // Root may everything, and tests may run as root.
            assert_eq!(may(&owner), of_owner || owner.uid == 0, "{mode:o}");
            assert_eq!(may(&member), of_member, "{mode:o}");
            assert_eq!(may(&nobody()), of_others, "{mode:o}");
            assert_eq!(
                nobody().may(Access::Read, &metadata),
                mode & 4 != 0,
                "{mode:o}"
            );
        }
    }
}

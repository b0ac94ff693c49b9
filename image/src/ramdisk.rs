//! The two ramdisks of an image: the one that boots, and the application.
//!
//! ```text
//! first    init                      the first program
//!          modules/<name>.ko         kernel modules
//!          modules/order             their names, one a line, in the order to load them
//!          heartbeat-cid             the CID to tell that the enclave has booted, if not 3
//! second   rootfs/<program>          the application, its root
//!          rootfs/{dev,proc,run,sys,tmp,var}
//!          cmd                       its arguments, one a line, the program first
//!          env                       its environment, one variable a line: empty
//! ```
use crate::cpio::{Archive, CpioError, Permissions};

/// Empty folders of the application's root: what an init mounts on.
const EMPTY: [&str; 6] = ["dev", "proc", "run", "sys", "tmp", "var"];

/// The first ramdisk: init, and the kernel modules that it loads.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a> {
    /// The first program: statically linked.
    pub init: &'a [u8],
    /// Kernel modules, in the order to load them.
    pub modules: &'a [Module<'a>],
    /// The CID that the heartbeat goes to, where it is not 3.
    pub heartbeat_cid: Option<u32>,
}

/// A kernel module.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// Its file's name, as in `nsm.ko`.
    pub name: &'a str,
    /// The module, not compressed.
    pub contents: &'a [u8],
}

/// The second ramdisk: what the enclave runs.
#[derive(Clone, Copy, Debug)]
pub struct Application<'a> {
    /// The program's name in the root folder.
    pub program: &'a str,
    /// The program: statically linked.
    pub binary: &'a [u8],
    /// Its arguments, without its name.
    pub arguments: &'a [&'a str],
    /// Other files of its root. The production image has none.
    pub files: &'a [File<'a>],
}

/// A file in the application's root.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Its path, relative to the root.
    pub path: &'a str,
    /// Who may read it.
    pub permissions: Permissions,
    /// What it holds.
    pub contents: &'a [u8],
}

/// A ramdisk cannot be made of these parts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RamdiskError {
    /// A file cannot be in it.
    #[error(transparent)]
    File(#[from] CpioError),
    /// A module whose name is a path, or not that of a module.
    #[error("'{0}' is not a module's file name: it ends in .ko, and is not compressed")]
    Module(String),
    /// An argument that would be read as two, or as none.
    #[error("an argument is empty, or has a line break or a NUL")]
    Argument,
    /// A program that no kernel starts.
    #[error("'{0}' is not an ELF program")]
    NotAProgram(String),
}

impl Boot<'_> {
    /// The archive; its files were modified at this Unix time.
    pub fn write(&self, modified_s: u32) -> Result<Vec<u8>, RamdiskError> {
        check_program("init", self.init)?;
        let order: String = self
            .modules
            .iter()
            .flat_map(|module| [module.name, "\n"])
            .collect();
        let cid = self.heartbeat_cid.map(|cid| format!("{cid}\n"));
        let mut archive = Archive::new(modified_s);
        archive.file("init", Permissions::Executable, self.init)?;
        for module in self.modules {
            if module.name.contains('/') || !module.name.ends_with(".ko") {
                return Err(RamdiskError::Module(module.name.to_owned()));
            }
            let path = format!("modules/{}", module.name);
            archive.file(&path, Permissions::Readable, module.contents)?;
        }
        if !self.modules.is_empty() {
            archive.file("modules/order", Permissions::Readable, order.as_bytes())?;
        }
        if let Some(cid) = &cid {
            archive.file("heartbeat-cid", Permissions::Readable, cid.as_bytes())?;
        }
        Ok(archive.write())
    }
}

impl Application<'_> {
    /// The archive; its files were modified at this Unix time.
    pub fn write(&self, modified_s: u32) -> Result<Vec<u8>, RamdiskError> {
        check_program(self.program, self.binary)?;
        let command = format!("/{}", self.program);
        let mut lines = String::new();
        for argument in core::iter::once(command.as_str()).chain(self.arguments.iter().copied()) {
            if argument.is_empty() || argument.contains(['\n', '\r', '\0']) {
                return Err(RamdiskError::Argument);
            }
            lines.push_str(argument);
            lines.push('\n');
        }
        let mut archive = Archive::new(modified_s);
        archive.file("cmd", Permissions::Readable, lines.as_bytes())?;
        archive.file("env", Permissions::Readable, b"")?;
        for folder in EMPTY {
            archive.directory(&format!("rootfs/{folder}"))?;
        }
        let program = format!("rootfs/{}", self.program);
        archive.file(&program, Permissions::Executable, self.binary)?;
        for file in self.files {
            let path = format!("rootfs/{}", file.path);
            archive.file(&path, file.permissions, file.contents)?;
        }
        Ok(archive.write())
    }
}

fn check_program(name: &str, binary: &[u8]) -> Result<(), RamdiskError> {
    if binary.starts_with(b"\x7fELF") {
        Ok(())
    } else {
        Err(RamdiskError::NotAProgram(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELF: &[u8] = b"\x7fELF program";

    fn contains(archive: &[u8], what: &str) -> bool {
        archive
            .windows(what.len())
            .any(|window| window == what.as_bytes())
    }

    #[test]
    fn modules_are_listed_in_the_order_they_are_given() {
        let module = |name| Module {
            name,
            contents: b"module",
        };
        let boot = Boot {
            init: ELF,
            modules: &[module("virtio_mmio.ko"), module("nsm.ko")],
            heartbeat_cid: Some(2),
        };
        let bytes = boot.write(0).unwrap();
        assert!(contains(&bytes, "virtio_mmio.ko\nnsm.ko\n"));
        assert!(contains(&bytes, "heartbeat-cid\0"));
        let plain = Boot {
            modules: &[],
            heartbeat_cid: None,
            ..boot
        };
        let bytes = plain.write(0).unwrap();
        assert!(!contains(&bytes, "modules") && !contains(&bytes, "heartbeat"));
    }

    #[test]
    fn the_application_has_its_arguments_and_its_root() {
        let application = Application {
            program: "dauth-enclave",
            binary: ELF,
            arguments: &["--parent-cid", "2"],
            files: &[],
        };
        let bytes = application.write(0).unwrap();
        assert!(contains(&bytes, "/dauth-enclave\n--parent-cid\n2\n"));
        for path in ["rootfs/dauth-enclave\0", "rootfs/proc\0", "rootfs/dev\0"] {
            assert!(contains(&bytes, path), "{path}");
        }
        let other = Application {
            arguments: &[],
            ..application
        };
        assert_ne!(other.write(0).unwrap(), bytes, "arguments are measured");
    }

    #[test]
    fn parts_that_would_be_read_otherwise_are_refused() {
        let application = Application {
            program: "dauth-enclave",
            binary: ELF,
            arguments: &[],
            files: &[],
        };
        let with = |arguments| {
            Application {
                arguments,
                ..application
            }
            .write(0)
        };
        assert_eq!(with(&["--a\n--b"]), Err(RamdiskError::Argument));
        assert_eq!(with(&["a\0"]), Err(RamdiskError::Argument));
        assert_eq!(with(&[""]), Err(RamdiskError::Argument));
        let script = Application {
            binary: b"#!/bin/sh",
            ..application
        };
        assert!(matches!(
            script.write(0),
            Err(RamdiskError::NotAProgram(name)) if name == "dauth-enclave"
        ));
        for name in ["../nsm.ko", "nsm.ko.xz", "nsm", "order"] {
            let boot = Boot {
                init: ELF,
                modules: &[Module {
                    name,
                    contents: b"",
                }],
                heartbeat_cid: None,
            };
            assert_eq!(boot.write(0), Err(RamdiskError::Module(name.to_owned())));
        }
        let shadow = Application {
            files: &[File {
                path: "dauth-enclave",
                permissions: Permissions::Executable,
                contents: b"other",
            }],
            ..application
        };
        assert!(matches!(
            shadow.write(0),
            Err(RamdiskError::File(CpioError::Taken(_)))
        ));
    }
}

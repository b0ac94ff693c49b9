//! Images that are no release: with files of a test inside.
use std::{fs, path::Path};

use dauth_image::{
    Architecture, Image, Metadata,
    cpio::Permissions,
    ramdisk::{Application, Boot, File, Module},
};

use super::{PARENT_CID, Tools};

/// Debian's kernel, told to end the machine when it cannot go on.
const CMDLINE: &str = "reboot=t panic=1 console=ttyS0";

/// An image of `application` with this machine's kernel and modules.
pub fn image(tools: &Tools, application: &Application<'_>) -> Vec<u8> {
    let read = |file: &Path| fs::read(file).unwrap();
    let modules: Vec<(String, Vec<u8>)> = tools
        .modules()
        .iter()
        .map(|file| {
            let name = file.file_name().unwrap().to_str().unwrap();
            (name.to_owned(), read(file))
        })
        .collect();
    let modules: Vec<Module<'_>> = modules
        .iter()
        .map(|(name, contents)| Module { name, contents })
        .collect();
    let boot = Boot {
        init: &read(&tools.init),
        modules: &modules,
        heartbeat_cid: Some(PARENT_CID),
    };
    let image = Image {
        architecture: Architecture::X86_64,
        kernel: &read(&tools.kernel),
        cmdline: CMDLINE,
        ramdisks: &[boot.write(0).unwrap(), application.write(0).unwrap()],
        metadata: Metadata {
            name: "vm-test",
            version: "0",
            build_time_s: 0,
        },
    };
    image.write().unwrap()
}

/// An image of the simulated enclave: its configuration, and the files that this names, inside.
pub fn simulated_enclave(tools: &Tools, configuration: &Path) -> Vec<u8> {
    let text = fs::read_to_string(configuration).unwrap();
    let mut table: toml::Table = text.parse().unwrap();
    let mut files = Vec::new();
    for (name, value) in &mut table {
        if let (true, Some(file)) = (name.ends_with("_file"), value.as_str()) {
            let contents = fs::read(file).unwrap();
            let inside = format!("trust/{name}");
            *value = format!("/{inside}").into();
            files.push((inside, contents));
        }
    }
    files.push(("config.toml".to_owned(), table.to_string().into_bytes()));
    let files: Vec<File<'_>> = files
        .iter()
        .map(|(path, contents)| File {
            path,
            permissions: Permissions::Readable,
            contents,
        })
        .collect();
    let application = Application {
        program: "dauth-enclave-sim",
        binary: &fs::read(&tools.enclave_sim).unwrap(),
        arguments: &["--config", "/config.toml"],
        files: &files,
    };
    image(tools, &application)
}

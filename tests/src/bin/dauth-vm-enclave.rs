//! `dauth-vm-enclave TOOLS --config FILE`: what `dauth simulate --enclave-vm` starts in the place of
//! `dauth-enclave-sim`: boots that in a virtual machine, with its configuration in the image.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    reason = "a test's program fails by panic"
)]

use std::{env, fs, path::Path};

use dauth_tests::vm::{Tools, become_machine, simulated_enclave};

/// Where `dauth simulate` tells the parent to look, below the state directory.
const VSOCK: &str = "run/vsock";

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [tools, flag, configuration] = arguments.as_slice() else {
        panic!("dauth-vm-enclave TOOLS --config FILE");
    };
    assert_eq!(flag, "--config");
    let (tools, configuration) = (Tools::load(Path::new(tools)), Path::new(configuration));
    let folder = configuration.parent().unwrap();
    let image = simulated_enclave(&tools, configuration);
    fs::write(folder.join("image.eif"), image).unwrap();
    let error = become_machine(&tools, folder, Path::new(VSOCK));
    eprintln!("dauth-vm-enclave: {error}");
}

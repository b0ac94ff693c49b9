//! The simulated enclave inside of a machine: calls over AF_VSOCK, all other parties on this host.
use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use bytes::Bytes;
use dauth_tests::{Stack, Upstream, vm::Tools, wait_until};
use http::Response;
use http_body_util::Full;

const SECRET: &str = "vm-secret-0123456789";
/// More than any buffer between caller and upstream.
const BODY_BYTES: usize = 150 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_flow_and_large_bodies_pass_over_vsock() {
    let (_, tools) = Tools::of_this_run();
    let folder = tempfile::tempdir().unwrap();
    let program = enclave_program(folder.path(), &tools);
    let stack = Stack::start_with(&["--enclave-vm", program.to_str().unwrap()]);

    // Evidence, a sealed connection, calls of the owner and of the MCP server, redaction, policy,
    // receipts; and the secret is in no process's memory, the machine's included.
    wait_until("the flow ends", || {
        stack.output().contains("To connect a credential")
    });
    let output = stack.output();
    assert!(
        output.contains("Every step held."),
        "{output}\n{}",
        stack.logs()
    );
    let is_machine = fs::read(format!("/proc/{}/cmdline", stack.file().enclave.pid)).unwrap();
    assert!(is_machine.windows(13).any(|w| w == b"nitro-enclave"));

    let upstream = Upstream::start(&stack.file(), &[], |request| async {
        Response::new(Full::new(request.body))
    })
    .await;
    let options = ["--bearer", "--allow", "POST /**"];
    let handle = stack.connect("vm", &upstream.base_url(), SECRET, &options);
    let body: Vec<u8> = (b'a'..=b'z').cycle().take(BODY_BYTES).collect();
    let body = String::from_utf8(body).unwrap();
    let arguments = ["call", &handle, "POST", "/echo", "--data", "-"];
    let ran = stack.dauth_with_input(&arguments, body.as_bytes());
    assert_eq!(ran.code, 0, "{}\n{}", ran.stderr, stack.logs());
    assert!(ran.stdout == body, "{} bytes came back", ran.stdout.len());
    let requests = upstream.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body, Bytes::from(body));
    assert_eq!(
        requests[0].headers["authorization"],
        format!("Bearer {SECRET}")
    );
}

/// What `dauth simulate` starts as the enclave: the tools are named here, since an enclave's process
/// has no environment.
fn enclave_program(folder: &Path, tools: &Path) -> std::path::PathBuf {
    let program = folder.join("enclave-vm");
    let text = format!(
        "#!/bin/sh\nexec '{}' '{}' \"$@\"\n",
        dauth_tests::binary("dauth-vm-enclave").display(),
        tools.display(),
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    program
}

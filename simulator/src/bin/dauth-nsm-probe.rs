//! `dauth-nsm-probe PROGRAM [ARGUMENT]...`: the second program of the virtual machine of
//! `cargo xtask vm-test`.
//!
//! Runs the enclave's program to its end, as the image's init would; then answers on vsock with what
//! the module of the same boot says. A production image has no such program: an enclave that is
//! refused its keys says nothing more.
#![allow(clippy::print_stderr, reason = "the console is read by the test")]

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    process::{Command, ExitCode},
    time::Duration,
};

use dauth_enclave::platform::{
    Attester, Claims,
    nsm::{NitroDevice, NsmAttester},
};
use serde::{Deserialize, Serialize};
use vsock::{VMADDR_CID_ANY, VsockListener, VsockStream};

/// Where it listens.
const PORT: u32 = 5002;
/// For a peer to send its line, and to take the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One line of JSON, hexadecimal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    user_data: String,
    nonce: String,
    public_key: String,
}

/// The answer, after which the stream is closed.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Document(String),
    Refused(String),
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dauth-nsm-probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut command = env::args_os().skip(1);
    let program = command.next().ok_or("name a program")?;
    let status = Command::new(&program).args(command).status()?;
    eprintln!("dauth-nsm-probe: {}: {status}", program.display());
    let module = NsmAttester::new(NitroDevice::open()?);
    let listener = VsockListener::bind_with_cid_port(VMADDR_CID_ANY, PORT)?;
    eprintln!("dauth-nsm-probe: listening");
    loop {
        let (stream, _) = listener.accept()?;
        // Its peer's failure is its peer's.
        if let Err(error) = serve(stream, &module) {
            eprintln!("dauth-nsm-probe: {error}");
        }
    }
}

fn serve(mut stream: VsockStream, module: &impl Attester) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(&mut stream).read_line(&mut line)?;
    let answer = match claims(&line).map(|claims| module.attest(&claims)) {
        None => Answer::Refused("not a request".to_owned()),
        Some(Err(error)) => Answer::Refused(error.to_string()),
        Some(Ok(document)) => Answer::Document(hex::encode(document)),
    };
    // Whole documents stall in the vsock device's buffer.
    for piece in serde_json::to_vec(&answer)?.chunks(dauth_protocol::limit::MAX_VSOCK_WRITE_BYTES) {
        stream.write_all(piece)?;
    }
    Ok(())
}

fn claims(line: &str) -> Option<Claims> {
    let request: Request = serde_json::from_str(line).ok()?;
    Some(Claims {
        user_data: hex::decode(request.user_data).ok()?,
        nonce: hex::decode(request.nonce).ok()?,
        public_key: hex::decode(request.public_key).ok()?,
    })
}

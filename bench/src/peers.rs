//! The published verifiers, which run in a process of their own: `attestation/peers`.
//!
//! They bring a second crypto provider, which would change what is built here.
use std::{
    cell::RefCell,
    env,
    error::Error,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    rc::Rc,
    time::Duration,
};

use crate::{
    attest::Input,
    measure::{Candidate, Role},
};

/// The process and both ends of its pipes.
struct Peers {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

/// Builds and starts them, and makes a candidate of each that verifies the document.
pub(crate) fn candidates(input: &Input) -> Result<Vec<Candidate<'static>>, Box<dyn Error>> {
    let (peers, names) = Peers::start(input)?;
    let peers = Rc::new(RefCell::new(peers));
    let candidates = names.iter().enumerate().map(|(index, name)| {
        let peers = Rc::clone(&peers);
        Candidate::timed_elsewhere(name, Role::Peer, move || peers.borrow_mut().time(index))
    });
    Ok(candidates.collect())
}

impl Peers {
    fn start(input: &Input) -> Result<(Self, Vec<String>), Box<dyn Error>> {
        let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        let manifest =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../attestation/peers/Cargo.toml");
        let mut child = Command::new(cargo)
            .args(["run", "--release", "--quiet", "--manifest-path"])
            .arg(manifest)
            .arg("--")
            .args([&input.document, &input.root])
            .arg(input.at_ms.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cargo, to build the published verifiers: {error}"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("the peers have no output")?;
        let mut peers = Self {
            child,
            stdin,
            stdout: BufReader::new(stdout),
        };
        let mut names = Vec::new();
        loop {
            let name = peers.line()?;
            if name.is_empty() {
                return Ok((peers, names));
            }
            names.push(name);
        }
    }

    fn time(&mut self, peer: usize) -> Result<Duration, Box<dyn Error>> {
        let stdin = self.stdin.as_mut().ok_or("the peers take no input")?;
        writeln!(stdin, "{peer}")?;
        Ok(Duration::from_nanos(self.line()?.parse()?))
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        if self.stdout.read_line(&mut line)? == 0 {
            return Err("the published verifiers could not be built or run (--without-peers measures the rest)".into());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.stdin = None;
        let _ = self.child.wait();
    }
}

//! Times one peer at a time, when told to: the other half of `dauth-bench attest`.
//!
//! Arguments: a document, a root in PEM, a time in Unix milliseconds. First it prints a line for each
//! peer that does all of its work on that document. Then, for each line of input, which is the number
//! of such a peer, it prints how many nanoseconds of CPU time one verification took.
use std::{
    env,
    error::Error,
    fs,
    hint::black_box,
    io::{self, BufRead, Write},
};

use dauth_attestation_peers::{Evidence, Peer, Verdict, peers};
use rustix::time::{ClockId, clock_gettime};
use rustls_pki_types::{CertificateDer, pem::PemObject};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [document, root, at_ms] = arguments.as_slice() else {
        return Err("usage: dauth-attestation-peers DOCUMENT ROOT.pem AT_MS".into());
    };
    let evidence = Evidence {
        document: fs::read(document)?,
        root: CertificateDer::from_pem_file(root)?.to_vec(),
        at_ms: at_ms.parse()?,
    };
    let peers: Vec<Peer> = peers()
        .into_iter()
        .filter(|peer| !matches!((peer.judge)(&evidence), Verdict::Refuses(_)))
        .collect();
    let mut out = io::stdout().lock();
    for peer in &peers {
        writeln!(out, "{} {}", peer.name, peer.version)?;
    }
    writeln!(out)?;
    out.flush()?;
    for line in io::stdin().lock().lines() {
        let peer = peers.get(line?.parse::<usize>()?).ok_or("no such peer")?;
        // Once untimed: the other process had the caches.
        let _ = black_box((peer.judge)(black_box(&evidence)));
        let started = clock_gettime(ClockId::ThreadCPUTime);
        let _ = black_box((peer.judge)(black_box(&evidence)));
        let took = clock_gettime(ClockId::ThreadCPUTime) - started;
        writeln!(out, "{}", took.tv_sec * 1_000_000_000 + took.tv_nsec)?;
        out.flush()?;
    }
    Ok(())
}

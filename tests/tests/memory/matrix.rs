//! Every way in which a call can end, at one time, in one stack.
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use dauth_client::{
    CallBody, CallRequest, NewConnection, Owner, Pinning, PolicyChange, PolicyParts, Profile,
    Rotation, Secret,
};
use dauth_protocol::{Handle, Injection, policy::Limits};
use dauth_simulator::memory::{Found, Needles, forms_of};
use dauth_tests::{Chunks, Stack};
use http::{HeaderMap, Method, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{
    ending::{Ending, Outcome},
    upstream::{Upstream, reply::MAX_RESPONSE_BYTES},
};

/// How long after the answer nothing may be left (the promise of `SECURITY.md`).
const GONE_AFTER: Duration = Duration::from_secs(10);
/// Time on a busy machine for what has been started.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which credential a needle is of, by how its call ends, and in which form.
pub(crate) type Label = (Ending, &'static str);

/// What was found where.
pub(crate) type Held = Vec<(&'static str, Found<Label>)>;

/// What the calls of a matrix left.
pub(crate) struct Looked {
    /// While every call that can be held was under way.
    pub(crate) during: Held,
    /// Ten seconds after the last one ended.
    pub(crate) after: Held,
    /// Connections to the upstream that are open then.
    pub(crate) pooled: usize,
}

/// A credential and what becomes of it.
struct Cell {
    ending: Ending,
    handle: Handle,
}

/// Makes a call through a connection of its own for each ending; looks while they are under way, lets them end, checks how they did, and looks again after the promised time.
pub(crate) async fn run(stack: &Stack, injection: &Injection, endings: &[Ending]) -> Looked {
    let upstream = Upstream::start(&stack.file()).await;
    let owner = Profile::load(&stack.file().profile).unwrap();
    let owner = Arc::new(Owner::new(&owner).unwrap());
    let mut credentials = Vec::new();
    let mut calls = Vec::new();
    for ending in endings {
        let secret = random_secret();
        let new = NewConnection {
            name: format!("{ending:?}"),
            policy: policy(&upstream.base_url(*ending), injection.clone(), *ending),
            life: NewConnection::DEFAULT_LIFE,
        };
        let handle = owner.connect(&new, &sealable(&secret)).await.unwrap();
        credentials.push((*ending, secret));
        calls.push(Cell {
            ending: *ending,
            handle,
        });
    }
    // Used by no call, but admitted: what is rotated in.
    let next = random_secret();
    credentials.push((Ending::Rotated, next.clone()));
    let needles = needles(&credentials);
    let under_way: Vec<_> = calls
        .iter()
        .map(|cell| UnderWay::start(&owner, cell))
        .collect();
    let held = calls.iter().filter(|cell| cell.ending.is_held()).count();
    upstream.is_asked(held).await;
    let during = look(stack, &needles);
    for cell in &calls {
        match cell.ending {
            Ending::Revoked => owner.revoke(&cell.handle).await.unwrap(),
            Ending::Rotated => rotate(&owner, &cell.handle, &next).await,
            _ => {}
        }
    }
    upstream.release();
    for (cell, call) in calls.iter().zip(under_way) {
        let outcome = timeout(PATIENCE, call.finish(cell.ending)).await;
        let ending = cell.ending;
        let (seen, told) = outcome.unwrap_or_else(|_| panic!("{ending:?} does not end"));
        assert_eq!(seen, ending.expected(), "{ending:?}: {told}");
    }
    // The promise is about time, so time is what passes here.
    tokio::time::sleep(GONE_AFTER).await;
    let after = look(stack, &needles);
    assert_nowhere_on_disk(stack, &needles);
    Looked {
        during,
        after,
        pooled: upstream.open_connections(),
    }
}

/// A random secret with characters that every encoding changes, in both halves.
fn random_secret() -> String {
    let mut random = [0; 24];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    format!("s3/+{}/=+~", hex::encode(random))
}

fn sealable(secret: &str) -> Secret {
    Secret::new(secret.as_bytes().to_vec()).unwrap()
}

fn policy(base_url: &str, injection: Injection, ending: Ending) -> PolicyParts {
    let timeout_ms = match ending {
        Ending::TimedOut => 1_000,
        _ => 120_000,
    };
    PolicyParts {
        base_url: base_url.parse().unwrap(),
        injection,
        rules: vec!["GET,POST /allowed/**".parse().unwrap()],
        request_headers: Vec::new(),
        limits: Limits {
            timeout_ms,
            max_response_bytes: MAX_RESPONSE_BYTES as u64,
            ..Limits::default()
        },
        servers: Vec::new(),
        pinning: Pinning::Pinned,
    }
}

async fn rotate(owner: &Owner, handle: &Handle, secret: &str) {
    let rotation = Rotation {
        policy: PolicyChange::Keep,
        life: NewConnection::DEFAULT_LIFE,
    };
    let rotated = owner.rotate(handle, &rotation, &sealable(secret)).await;
    rotated.unwrap();
}

/// A call, and whether the head of its reply has come.
struct UnderWay {
    task: JoinHandle<(Outcome, String)>,
    begun: watch::Receiver<bool>,
}

impl UnderWay {
    fn start(owner: &Arc<Owner>, cell: &Cell) -> Self {
        let begun = watch::Sender::new(false);
        let receiver = begun.subscribe();
        let owner = Arc::clone(owner);
        let is_endless = cell.ending == Ending::CancelledInRequest;
        let request = CallRequest {
            handle: cell.handle.clone(),
            method: if is_endless {
                Method::POST
            } else {
                Method::GET
            },
            path_and_query: cell.ending.path(),
            headers: HeaderMap::new(),
            body: if is_endless {
                CallBody::Stream(dauth_attested_tls::body(Chunks::without_end(b"more")))
            } else {
                CallBody::Bytes(Bytes::new())
            },
        };
        let task = tokio::spawn(async move {
            match owner.call(request).await {
                Ok(response) => {
                    begun.send_replace(true);
                    read(response).await
                }
                Err(error) => {
                    let outcome = error.code().map_or(Outcome::BrokenOff, Outcome::Refused);
                    (outcome, error.to_string())
                }
            }
        });
        Self {
            task,
            begun: receiver,
        }
    }

    async fn finish(mut self, ending: Ending) -> (Outcome, String) {
        if ending == Ending::StalledBody {
            let _ = self.begun.wait_for(|begun| *begun).await;
        }
        if ending.expected() == Outcome::Cancelled {
            self.task.abort();
        }
        match self.task.await {
            Ok(seen) => seen,
            Err(error) => (Outcome::Cancelled, error.to_string()),
        }
    }
}

async fn read(response: Response<Incoming>) -> (Outcome, String) {
    let status = response.status().as_u16();
    let told = format!("{status}: {:?}", response.headers());
    match response.into_body().collect().await {
        Ok(_) => (Outcome::Answered(status), told),
        Err(error) => (Outcome::BrokenOff, format!("{told}: {error}")),
    }
}

fn needles(credentials: &[(Ending, String)]) -> Needles<Label> {
    let needles = credentials.iter().flat_map(|(ending, secret)| {
        let forms = forms_of(secret.as_bytes()).into_iter();
        forms.map(move |(form, needle)| ((*ending, form), needle))
    });
    Needles::new(needles).unwrap()
}

/// Where the needles are, by process.
fn look(stack: &Stack, needles: &Needles<Label>) -> Held {
    let mut held = Held::new();
    for (party, pid) in stack.file().pids() {
        let found = tokio::task::block_in_place(|| needles.scan(pid));
        let found = found.unwrap_or_else(|error| panic!("{party}: {error}"));
        held.extend(found.into_iter().map(|found| (party, found)));
    }
    held
}

fn assert_nowhere_on_disk(stack: &Stack, needles: &Needles<Label>) {
    for file in files_below(stack.dir()) {
        let found = needles.find_in(&fs::read(&file).unwrap_or_default());
        assert!(found.is_empty(), "{} holds {found:?}", file.display());
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.is_file())
        .collect()
}

impl Looked {
    /// The positive control: the enclave held each credential whose call was held, as it is or as
    /// it is sent, and no other process held any.
    pub(crate) fn assert_seen_during(&self, endings: &[Ending]) {
        for ending in endings.iter().filter(|ending| ending.is_held()) {
            let is_seen = self
                .during
                .iter()
                .any(|(party, found)| *party == "enclave" && found.form.0 == *ending);
            assert!(is_seen, "{ending:?}: the scan is blind");
        }
        let others = self.during.iter().filter(|(party, _)| *party != "enclave");
        let others: Vec<_> = others.collect();
        assert!(others.is_empty(), "during the calls: {others:#?}");
    }

    /// Nothing is left, in any process.
    pub(crate) fn assert_nothing_after(&self) {
        let after = &self.after;
        assert!(after.is_empty(), "ten seconds after: {after:#?}");
    }

    /// The enclave still has the credential of the call that ended so.
    pub(crate) fn assert_found_after(&self, ending: Ending) {
        let mut left = self
            .after
            .iter()
            .filter(|(_, found)| found.form.0 == ending);
        let Some((party, found)) = left.next() else {
            panic!("{ending:?}: the scan does not see what is left");
        };
        assert_eq!(*party, "enclave", "{found:?}");
        println!(
            "{ending:?}: {} places, the first {:?} at {:x} in {}",
            1 + left.count(),
            found.form.1,
            found.address,
            found.mapping
        );
    }

    /// Nothing is left but of the call that ended so.
    pub(crate) fn assert_nothing_after_but(&self, ending: Ending) {
        let after = self.after.iter();
        let others: Vec<_> = after.filter(|(_, found)| found.form.0 != ending).collect();
        assert!(others.is_empty(), "ten seconds after: {others:#?}");
    }
}

//! Every way in which a call can end, at one time, in one stack.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dauth_client::{
    CallBody, CallRequest, NewConnection, Owner, Pinning, PolicyChange, PolicyParts, Profile,
    Rotation, Secret,
};
use dauth_protocol::{Handle, Injection, policy::Limits};
use dauth_tests::{Chunks, Stack};
use http::{HeaderMap, Method, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{
    ending::{Ending, Outcome},
    looked::{Looked, assert_nowhere_on_disk, look, needles},
    upstream::{Upstream, reply::MAX_RESPONSE_BYTES},
};

/// How long after the answer nothing may be left (the promise of `SECURITY.md`).
const GONE_AFTER: Duration = Duration::from_secs(10);
/// Time on a busy machine for what has been started.
const PATIENCE: Duration = Duration::from_secs(60);

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
        let secret = random_secret(injection);
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
    let next = random_secret(injection);
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

/// A random secret with characters that every encoding changes, in each part of it. In a header
/// field it is long, as tokens of some issuers are.
fn random_secret(injection: &Injection) -> String {
    let parts = match injection {
        Injection::Header { .. } => 100,
        _ => 2,
    };
    let part = || {
        let mut random = [0; 12];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        format!("/+{}=~", hex::encode(random))
    };
    (0..parts).map(|_| part()).collect()
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

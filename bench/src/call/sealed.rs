//! A sealed call over pooled connections, beside a direct one.
use std::{
    error::Error,
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use dauth_dispatch::{AccessToken, DpopKey};
use dauth_tests::{Enclave, Request, Stack, StackFile, Upstream};
use http::Response;
use http_body_util::Full;
use tokio::sync::Mutex;

use super::{direct::Direct, stack::SECRET};
use crate::{
    measure::{Measured, Role},
    report::{Budget, Figure, Line, Report},
};

/// Calls that are made before any is timed.
const WARM_UP: usize = 50;
const BODY: &[u8] = br#"{"id":7,"name":"a note","text":"what a small reply of an API looks like"}"#;

/// `DESIGN`: what a sealed call may add to a direct one.
const ADDED_US: Budget = Budget::AtMost(300.0);

pub(super) async fn measure_into(stack: &Stack, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let file = stack.file();
    let upstream = Upstream::start(&file, &[], answer).await;
    let options = ["--bearer", "--allow", "GET /**"];
    let handle = stack.connect("bench", &upstream.base_url(), SECRET, &options);
    let mut direct = Direct::open(&file, &upstream.base_url()).await?;
    let proxy = proxy(&file, &upstream).await?;
    let mut proxied = Direct::open(&file, &proxy.base_url()).await?;
    let mut sealed = Sealed::open(stack, &file, &handle).await?;

    let [mut directly, mut by_proxy, mut through, mut signing] = [const { Vec::new() }; 4];
    let mut used = None;
    for round in 0..WARM_UP + report.rounds {
        if round == WARM_UP {
            used = cpu_time(file.enclave.pid);
        }
        for (client, times) in [(&mut direct, &mut directly), (&mut proxied, &mut by_proxy)] {
            let started = Instant::now();
            if client.call("/bench").await? != BODY {
                return Err("a call without DAuth failed".into());
            }
            times.push(started.elapsed());
        }
        let (signed, called) = sealed.call().await?;
        signing.push(signed);
        through.push(called);
    }
    let used = used.zip(cpu_time(file.enclave.pid));

    let timed = |mut times: Vec<Duration>| times.split_off(WARM_UP);
    let directly = Measured::new("direct call", Role::Floor, timed(directly));
    let by_proxy = Measured::new(
        "call through a proxy with the secret",
        Role::Peer,
        timed(by_proxy),
    );
    let through = Measured::new("sealed call", Role::Subject, timed(through));
    let signing = Measured::new("the caller's proof, apart", Role::Subject, timed(signing));
    for measured in [&through, &directly, &by_proxy, &signing] {
        report.medians.push(Line::elapsed(measured));
    }
    if let Some((before, after)) = used {
        let each = (after - before) / u32::try_from(report.rounds)?;
        let each = Measured::new("enclave, for a sealed call", Role::Subject, vec![each]);
        report.medians.push(Line::cpu(&each));
    }
    let added = |of_100| through.percentile_us(of_100) - directly.percentile_us(of_100);
    for (name, of_100) in [
        ("added to a direct call, p50", 50),
        ("added to a direct call, p95", 95),
    ] {
        report
            .figures
            .push(Figure::new(name, added(of_100), "us", ADDED_US));
    }
    Ok(())
}

async fn answer(_: Request) -> Response<Full<Bytes>> {
    Response::new(Full::from(BODY))
}

/// What is usual without DAuth: a proxy that holds the secret in the clear, ends TLS on either side,
/// and checks nothing. It is in this process, so that no process has to be woken.
async fn proxy(stack: &StackFile, upstream: &Upstream) -> Result<Upstream, Box<dyn Error>> {
    let onward = Direct::open(stack, &upstream.base_url()).await?;
    let onward = Arc::new(Mutex::new(onward));
    let forward = move |request: Request| {
        let onward = Arc::clone(&onward);
        async move {
            let body = onward.lock().await.call(request.uri.path()).await;
            Response::new(Full::from(body.unwrap_or_default()))
        }
    };
    Ok(Upstream::start(stack, &[], forward).await)
}

/// An owner who makes every request by hand.
struct Sealed {
    enclave: Enclave,
    key: DpopKey,
    token: AccessToken,
    target: String,
}

impl Sealed {
    async fn open(stack: &Stack, file: &StackFile, handle: &str) -> Result<Self, Box<dyn Error>> {
        let key = stack.owner_key();
        let tokens = file.clients.sdk.tokens(file);
        let resource = &file.enclave.resource;
        Ok(Self {
            enclave: Enclave::open(file).await,
            token: tokens.client_credentials(resource, None, &key).await?,
            key,
            target: format!("/v1/connections/{handle}/bench"),
        })
    }

    /// Makes a call; says what its proof and what the rest took.
    async fn call(&mut self) -> Result<(Duration, Duration), Box<dyn Error>> {
        let started = Instant::now();
        let nonce = self.enclave.nonce();
        let of = ("GET", self.target.as_str());
        let proof = self.enclave.proof(&self.key, &self.token, of, Some(&nonce));
        let signed = started.elapsed();
        let authorization = format!("DPoP {}", self.token.expose());
        let fields = [("authorization", authorization.as_str()), ("dpop", &proof)];
        let started = Instant::now();
        let answer = self.enclave.send("GET", &self.target, &fields).await;
        let called = started.elapsed();
        if answer.body == BODY {
            Ok((signed, called))
        } else {
            Err(format!("the sealed call failed: {answer:?}").into())
        }
    }
}

/// The CPU time that a process has used, where the system tells: of each of its threads.
fn cpu_time(pid: u32) -> Option<Duration> {
    let mut used = Duration::ZERO;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        used += Duration::from_nanos(text.split(' ').next()?.parse().ok()?);
    }
    Some(used)
}

//! A parent with a vault behind it, which keeps one record and compares and sets.
use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use dauth_protocol::{host, receipt::Admitted};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    sync::{Mutex, Semaphore, mpsc},
};

use super::*;
use crate::platform::{BoxFuture, BoxStream, Transport};

/// How the vault answers a PUT.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// By comparing with its newest record.
    Honest,
    /// By this status.
    Status(u16),
    /// By bytes that are no HTTP.
    Garbage,
}

/// The test's end.
pub(crate) struct Vault {
    pub(crate) host: HostServices,
    pub(crate) events: Events,
    shared: Arc<Shared>,
    noted: mpsc::UnboundedReceiver<Value>,
}

struct Shared {
    answer: Answer,
    newest: Mutex<String>,
    records: Mutex<Vec<Vec<u8>>>,
    stored: Mutex<Vec<Admitted>>,
    /// A PUT waits for one of these.
    turns: Semaphore,
    now: AtomicUsize,
    most: AtomicUsize,
    noted: mpsc::UnboundedSender<Value>,
}

struct Parent(Arc<Shared>);

impl Vault {
    /// A vault whose newest record has this fingerprint.
    pub(crate) fn new(answer: Answer, newest: &Fingerprint) -> Self {
        let (noted, events) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            answer,
            newest: Mutex::new(newest.to_string()),
            records: Mutex::default(),
            stored: Mutex::default(),
            turns: Semaphore::new(Semaphore::MAX_PERMITS),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            noted,
        });
        let host = HostServices::new(Arc::new(Parent(Arc::clone(&shared))));
        Self {
            events: Events::start(host.clone()),
            host,
            shared,
            noted: events,
        }
    }

    pub(crate) fn reencryptor(&self) -> Reencryptor {
        Reencryptor::start(self.host.clone(), self.events.clone())
    }

    /// A vault that serves this record.
    pub(crate) async fn with(record: &[u8]) -> Self {
        let vault = Self::new(Answer::Honest, &Fingerprint::of(record));
        vault.shared.records.lock().await.push(record.to_vec());
        vault
    }

    /// What it stored.
    pub(crate) async fn stored(&self) -> Vec<Admitted> {
        self.shared.stored.lock().await.clone()
    }

    /// The newest record's fingerprint.
    pub(crate) async fn newest(&self) -> String {
        self.shared.newest.lock().await.clone()
    }

    /// The next event: its name, and why, if it says so.
    pub(crate) async fn event(&mut self) -> (String, String) {
        let event = self.noted.recv().await.unwrap();
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        (text("event"), text("reason"))
    }

    /// Lets PUTs wait until they are let through.
    pub(super) fn hold(&self) {
        self.shared.turns.forget_permits(usize::MAX);
    }

    pub(super) fn let_through(&self, puts: usize) {
        self.shared.turns.add_permits(puts);
    }

    /// The most PUTs that were under way at one time.
    pub(super) fn most_at_once(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }

    pub(super) fn at_once_now(&self) -> usize {
        self.shared.now.load(Ordering::SeqCst)
    }
}

impl Transport for Parent {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(std::future::pending())
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        let (near, far) = duplex(1 << 18);
        tokio::spawn(serve(far, Arc::clone(&self.0)));
        Box::pin(async { Ok(Box::new(near) as BoxStream) })
    }
}

async fn serve(mut stream: DuplexStream, shared: Arc<Shared>) {
    let mut method = [0; 4];
    stream.read_exact(&mut method).await.unwrap();
    if matches!(shared.answer, Answer::Garbage) && method == *b"PUT " {
        stream.write_all(&[0xff; 64]).await.unwrap();
        return;
    }
    let (read, write) = tokio::io::split(stream);
    let stream = tokio::io::join(io::Cursor::new(method).chain(read), write);
    let service = service_fn(|request| answer(request, &shared));
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    shared: &Shared,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut response = Response::new(Full::default());
    let status = if let Some(fingerprint) = head.uri.path().strip_prefix(host::RECORDS) {
        if head.method == Method::PUT {
            put(fingerprint, &body, shared).await
        } else {
            let records = shared.records.lock().await;
            let mut records = records.iter();
            let record = records.find(|bytes| Fingerprint::of(bytes).to_string() == fingerprint);
            *response.body_mut() = Full::from(record.unwrap().clone());
            200
        }
    } else {
        assert_eq!(head.uri.path(), host::EVENTS);
        for line in body.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()) {
            let _ = shared.noted.send(serde_json::from_slice(line).unwrap());
        }
        204
    };
    *response.status_mut() = status.try_into().unwrap();
    Ok(response)
}

async fn put(opened: &str, body: &[u8], shared: &Shared) -> u16 {
    let now = shared.now.fetch_add(1, Ordering::SeqCst) + 1;
    shared.most.fetch_max(now, Ordering::SeqCst);
    shared.turns.acquire().await.unwrap().forget();
    let admitted: Admitted = serde_json::from_slice(body).unwrap();
    let status = match shared.answer {
        Answer::Status(status) => status,
        Answer::Garbage => unreachable!("answered before"),
        Answer::Honest => {
            let mut newest = shared.newest.lock().await;
            if *newest == opened {
                let record = BASE64_STANDARD.decode(&admitted.record).unwrap();
                *newest = Fingerprint::of(&record).to_string();
                shared.stored.lock().await.push(admitted);
                204
            } else {
                409
            }
        }
    };
    shared.now.fetch_sub(1, Ordering::SeqCst);
    status
}

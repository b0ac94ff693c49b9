//! A parent that is given receipts.
use std::{
    collections::HashMap,
    convert::Infallible,
    future::pending,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use bytes::Bytes;
use coset::{CborSerializable as _, CoseSign1};
use dauth_protocol::{
    audit::{CallReceipt, ChainHead, Digest, ReceiptBatch},
    host,
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{io::duplex, sync::mpsc, time::timeout};

use super::*;
use crate::{
    keyset::tests::fleet::Fleet,
    platform::{BoxFuture, BoxStream, Transport},
};

/// Longer than any pause between two batches: a test that waits in vain fails.
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);

/// What a parent does with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It stores the batch.
    Stores,
    /// It stores the batch, and the answer is lost.
    StoresAndFails,
    /// It answers with this status.
    Status(u16),
    /// It does not answer.
    Hangs,
}

/// Receipts, and the parent that they go to.
pub(crate) struct Books {
    pub(crate) receipts: Receipts,
    delivery: Option<Delivery>,
    pub(crate) fleet: Fleet,
    pub(crate) keeper: Keeper,
    pub(crate) parent: Parent,
    batches: mpsc::UnboundedReceiver<Bytes>,
    noted: mpsc::UnboundedReceiver<Value>,
    verifier: Verifier,
}

#[derive(Clone)]
pub(crate) struct Parent(Arc<Shared>);

struct Shared {
    answer: Mutex<Answer>,
    /// Records, by fingerprint.
    records: Mutex<HashMap<String, Vec<u8>>>,
    /// Every batch that came, also those that were not stored.
    batches: mpsc::UnboundedSender<Bytes>,
    noted: mpsc::UnboundedSender<Value>,
}

/// Follows a chain as an owner of all its receipts would.
#[derive(Default)]
struct Verifier {
    last: Option<ChainHead>,
}

impl Books {
    pub(crate) async fn new(answer: Answer) -> Self {
        Self::with_room(answer, QUEUE_RECEIPTS).await
    }

    /// Books in which so many receipts may wait.
    pub(crate) async fn with_room(answer: Answer, queued: usize) -> Self {
        let fleet = Fleet::with_keyset().await;
        let keeper = fleet.keeper().await;
        let (told, batches) = mpsc::unbounded_channel();
        let (noted, events) = mpsc::unbounded_channel();
        let parent = Parent(Arc::new(Shared {
            answer: Mutex::new(answer),
            records: Mutex::default(),
            batches: told,
            noted,
        }));
        let host = HostServices::new(Arc::new(parent.clone()));
        let noting = Events::start(host.clone());
        let (receipts, delivery) =
            Receipts::start_with(queued, keeper.clone(), host, noting).unwrap();
        Self {
            receipts,
            delivery: Some(delivery),
            fleet,
            keeper,
            parent,
            batches,
            noted: events,
            verifier: Verifier::default(),
        }
    }

    /// The bytes of the next batch that came.
    pub(crate) async fn batch(&mut self) -> Bytes {
        let batch = timeout(BATCH_TIMEOUT, self.batches.recv()).await;
        batch.expect("a batch comes").unwrap()
    }

    /// The bytes of a batch that has come already.
    pub(crate) fn came(&mut self) -> Option<Bytes> {
        self.batches.try_recv().ok()
    }

    /// The receipts in a batch, which must be signed and follow the one before.
    pub(crate) fn verified(&mut self, batch: &[u8]) -> Vec<CallReceipt> {
        let serving = self.keeper.current();
        let key = serving.keyset().receipt_key().spki();
        self.verifier.follow(batch, key)
    }

    /// The next so many receipts, verified, and no more.
    pub(crate) async fn receipts(&mut self, count: usize) -> Vec<CallReceipt> {
        let mut receipts = Vec::new();
        while receipts.len() < count {
            let batch = self.batch().await;
            receipts.extend(self.verified(&batch));
        }
        assert_eq!(receipts.len(), count);
        receipts
    }

    /// The enclave stops.
    pub(crate) async fn stop(&mut self) {
        self.delivery.take().unwrap().finish().await;
    }

    /// An event that has come already.
    pub(crate) fn noted(&mut self) -> Option<Value> {
        self.noted.try_recv().ok()
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> Value {
        self.noted.recv().await.unwrap()
    }
}

impl Verifier {
    fn follow(&mut self, batch: &[u8], spki: &[u8]) -> Vec<CallReceipt> {
        let batch = ReceiptBatch::from_cbor(batch).unwrap();
        let head = CoseSign1::from_slice(&batch.head).unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, spki);
        let verify = |signature: &[u8], message: &[u8]| key.verify(message, signature);
        head.verify_signature(&[], verify).unwrap();
        let head = ChainHead::from_cbor(&head.payload.unwrap()).unwrap();
        let (first, previous) = match &self.last {
            None => (1, ChainHead::start(&head.boot)),
            Some(last) => {
                assert_eq!(head.boot, last.boot);
                (last.first + last.count, last.head)
            }
        };
        assert_eq!((head.first, head.previous), (first, previous));
        assert_eq!(head.count, batch.receipts.len() as u64);
        let mut chain = previous;
        let mut receipts = Vec::new();
        for ((bytes, mark), sequence) in batch.receipts.iter().zip(head.marks()).zip(first..) {
            chain = ChainHead::next(&chain, &Digest::of(bytes));
            let receipt = CallReceipt::from_cbor(bytes).unwrap();
            assert_eq!((receipt.boot, receipt.sequence), (head.boot, sequence));
            assert_eq!(receipt.mark(), mark);
            receipts.push(receipt);
        }
        assert_eq!(chain, head.head);
        self.last = Some(head);
        receipts
    }
}

impl Parent {
    /// From now on.
    pub(crate) fn will(&self, answer: Answer) {
        *self.0.answer.lock().unwrap() = answer;
    }

    /// It has this record.
    pub(crate) fn has(&self, record: &[u8]) {
        let fingerprint = Fingerprint::of(record).to_string();
        let mut records = self.0.records.lock().unwrap();
        records.insert(fingerprint, record.to_vec());
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        if head.uri.path() == host::EVENTS {
            for line in body.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()) {
                let _ = self.0.noted.send(serde_json::from_slice(line).unwrap());
            }
            return status(204);
        }
        if let Some(fingerprint) = head.uri.path().strip_prefix(host::RECORDS) {
            let records = self.0.records.lock().unwrap();
            return match records.get(fingerprint) {
                Some(record) => Response::new(Full::from(record.clone())),
                None => status(404),
            };
        }
        assert_eq!(head.uri.path(), host::RECEIPTS);
        let answer = *self.0.answer.lock().unwrap();
        let _ = self.0.batches.send(body);
        match answer {
            Answer::Stores => status(204),
            Answer::StoresAndFails => status(502),
            Answer::Status(code) => status(code),
            Answer::Hangs => pending().await,
        }
    }
}

fn status(code: u16) -> Response<Full<Bytes>> {
    let response = Response::builder().status(code);
    response.body(Full::default()).unwrap()
}

impl Transport for Parent {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(pending())
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        let (near, far) = duplex(1 << 16);
        let parent = self.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let parent = parent.clone();
                async move { Ok::<_, Infallible>(parent.answer(request).await) }
            });
            let served = http1::Builder::new().serve_connection(TokioIo::new(far), service);
            let _ = served.await;
        });
        Box::pin(async { Ok(Box::new(near) as BoxStream) })
    }
}

//! A stack whose flow is over, an upstream, and the receipts of what is called.
use std::{fs, path::PathBuf};

use bytes::Bytes;
use dauth_client::{CallBody, CallRequest, Owner, Profile};
use dauth_protocol::audit::{ReceiptsPage, StoredReceipt};
use dauth_tests::{Chunks, Ran, Request, Stack, Upstream, wait_until};
use http::{HeaderMap, Method, Response};
use serde_json::Value;

pub(crate) const SECRET: &str = "audit-secret-0123456789";
/// What the upstream replies.
pub(crate) const REPLY: &[u8] = b"served";
/// An event of it, which passes while the next is waited for.
const EVENT: &[u8] = b"data: served\n\n";

/// A stack with one connection.
pub(crate) struct Scene {
    pub(crate) stack: Stack,
    pub(crate) upstream: Upstream,
    pub(crate) handle: String,
}

impl Scene {
    pub(crate) async fn set() -> Self {
        let stack = Stack::start();
        wait_until("the flow ends", || {
            stack.output().contains("To connect a credential")
        });
        assert!(stack.output().contains("Every step held."));
        let upstream = Upstream::start(&stack.file(), &[], answer).await;
        let options = ["--bearer", "--allow", "GET /**"];
        let handle = stack.connect("audit", &upstream.base_url(), SECRET, &options);
        Self {
            stack,
            upstream,
            handle,
        }
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner::new(&Profile::load(&self.stack.file().profile).unwrap()).unwrap()
    }

    /// A call by the program, of a process of its own.
    pub(crate) fn call(&self) -> Ran {
        self.stack.dauth(&["call", &self.handle, "GET", "/ok"])
    }

    /// A call that is served.
    #[track_caller]
    pub(crate) fn called(&self) {
        let ran = self.call();
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    /// What `dauth audit fetch` prints.
    pub(crate) fn fetched(&self, options: &[&str]) -> String {
        let ran = self.stack.dauth(&[&["audit", "fetch"], options].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    }

    /// Every receipt of the owner's.
    pub(crate) fn page(&self) -> ReceiptsPage {
        serde_json::from_str(&self.fetched(&[])).unwrap()
    }

    /// How many receipts this scene's connection has.
    pub(crate) fn count(&self) -> usize {
        let receipts = self.page().receipts;
        let of_this = |r: &&StoredReceipt| r.details.handle.as_str() == self.handle;
        receipts.iter().filter(of_this).count()
    }

    /// Waits until this scene's connection has so many receipts.
    pub(crate) fn arrived(&self, receipts: usize) {
        wait_until("receipts arrive", || self.count() >= receipts);
        assert_eq!(self.count(), receipts);
    }

    /// A file in the stack's directory.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.stack.dir().join(name);
        fs::write(&file, text).unwrap();
        file
    }

    /// `dauth audit verify` of some text.
    pub(crate) fn verified(&self, text: &str, options: &[&str]) -> Ran {
        let file = self.file("receipts.json", text);
        let arguments = [&["audit", "verify", file.to_str().unwrap()], options].concat();
        self.stack.dauth(&arguments)
    }

    /// The report on all that there is now, which holds.
    #[track_caller]
    pub(crate) fn report(&self) -> Value {
        let ran = self.verified(&self.fetched(&[]), &["--json"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(report["holds"], true);
        assert_eq!(report["findings"], Value::Array(Vec::new()));
        assert_eq!(report["receipts"], report["vouched"]);
        report
    }
}

/// Answers: with an error for `/fails`, and for `/events` with one event and no end.
async fn answer(request: Request) -> Response<Chunks> {
    let (status, kind, body) = match request.uri.path() {
        "/fails" => (500, "text/plain", Chunks::of(REPLY, REPLY.len())),
        "/events" => (200, "text/event-stream", Chunks::without_end(EVENT)),
        _ => (200, "text/plain", Chunks::of(REPLY, REPLY.len())),
    };
    let response = Response::builder().status(status);
    response.header("content-type", kind).body(body).unwrap()
}

/// A request without a body.
pub(crate) fn request(handle: &str, method: Method, path: &str) -> CallRequest {
    CallRequest {
        handle: handle.parse().unwrap(),
        method,
        path_and_query: path.to_owned(),
        headers: HeaderMap::new(),
        body: CallBody::Bytes(Bytes::new()),
    }
}

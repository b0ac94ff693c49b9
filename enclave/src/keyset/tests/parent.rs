//! A parent in memory, honest or not.
use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use dauth_protocol::host::{self, KeysetOrder, Order, OrderOutcome, RoleCredentials, keyset_tag};
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::duplex;

use crate::platform::{BoxFuture, BoxStream, Transport};

/// What the parent does wrong.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum ParentFault {
    /// Nothing.
    None,
    /// It serves these bytes as the keyset, whatever it has and whatever it is asked.
    Serves(Vec<u8>),
    /// It stores nothing: there is always another.
    AlwaysTaken,
    /// It says that it stored, and did not.
    Forgets,
    /// It stores these bytes instead.
    StoresInstead(Vec<u8>),
    /// It stores, and its answer is lost.
    LosesAnswer,
    /// It takes no outcome of an order.
    TakesNoOutcome,
    /// It answers nothing.
    Fails,
}

/// What a parent has and was told.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) file: Option<Vec<u8>>,
    pub(crate) order: Option<KeysetOrder>,
    pub(crate) outcomes: Vec<OrderOutcome>,
    pub(crate) events: Vec<Value>,
    fault: Option<ParentFault>,
    /// How often the keyset was asked for, and how often one was stored.
    pub(crate) reads: usize,
    pub(crate) puts: usize,
    /// Where it was asked to connect to. It never does.
    pub(crate) connects: Vec<String>,
}

/// A parent: one file for all enclaves that have it.
#[derive(Clone, Default)]
pub(crate) struct Parent(Arc<Mutex<State>>);

impl Parent {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn fail(&self, fault: ParentFault) {
        self.state().fault = Some(fault);
    }

    /// The keyset's file.
    pub(crate) fn file(&self) -> Vec<u8> {
        self.state().file.clone().unwrap()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut state = self.state();
        let condition = |name| head.headers.get(name).and_then(|tag| tag.to_str().ok());
        let fault = state.fault.clone().unwrap_or(ParentFault::None);
        if fault == ParentFault::Fails {
            return reply(503, "");
        }
        match (&head.method, head.uri.path()) {
            (&Method::GET, host::KEYSET) => {
                state.reads += 1;
                if let ParentFault::Serves(bytes) = fault {
                    return reply(200, bytes);
                }
                match &state.file {
                    None => reply(404, ""),
                    Some(file) if condition(header::IF_NONE_MATCH) == Some(&*keyset_tag(file)) => {
                        reply(304, "")
                    }
                    Some(file) => reply(200, file.clone()),
                }
            }
            (&Method::PUT, host::KEYSET) => {
                state.puts += 1;
                let present = state.file.as_deref().map(keyset_tag);
                let status = match condition(header::IF_MATCH) {
                    Some(expected) => (present.as_deref() == Some(expected)).then_some(204),
                    None => present.is_none().then_some(201),
                };
                let Some(status) = status.filter(|_| fault != ParentFault::AlwaysTaken) else {
                    return reply(412, "");
                };
                match &fault {
                    ParentFault::Forgets => {}
                    ParentFault::StoresInstead(bytes) => state.file = Some(bytes.clone()),
                    _ => state.file = Some(body.to_vec()),
                }
                match fault {
                    ParentFault::LosesAnswer => reply(503, ""),
                    _ => reply(status, ""),
                }
            }
            (&Method::GET, host::ORDER) => {
                let keyset = state.order.clone().unwrap_or(KeysetOrder::Load);
                reply(200, serde_json::to_vec(&Order { keyset }).unwrap())
            }
            (&Method::POST, host::ORDER_OUTCOME) => {
                state.outcomes.push(serde_json::from_slice(&body).unwrap());
                if fault == ParentFault::TakesNoOutcome {
                    return reply(503, "");
                }
                state.order = None;
                reply(204, "")
            }
            (&Method::POST, host::EVENTS) => {
                let lines = body.split(|byte| *byte == b'\n');
                let events = lines.filter_map(|line| serde_json::from_slice(line).ok());
                state.events.extend(events);
                reply(204, "")
            }
            (&Method::CONNECT, _) => {
                state.connects.push(head.uri.to_string());
                reply(403, "")
            }
            (&Method::GET, host::CREDENTIALS) => {
                let role = RoleCredentials {
                    access_key_id: "id".to_owned(),
                    secret_access_key: "secret".to_owned(),
                    session_token: String::new(),
                    expiration: "2099-01-01T00:00:00Z".to_owned(),
                };
                reply(200, serde_json::to_vec(&role).unwrap())
            }
            _ => reply(404, ""),
        }
    }
}

fn reply(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .body(Full::new(body.into()))
        .unwrap()
}

impl Transport for Parent {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(std::future::pending())
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

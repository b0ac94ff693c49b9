use std::{
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use dauth_protocol::host;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{io::duplex, sync::mpsc, time::timeout};

use super::*;
use crate::{
    authorize::tests::fixture::HANDLE,
    platform::{BoxFuture, BoxStream, Transport},
    receipt::tests::parent::{Answer, Books},
};

/// A parent that answers nothing, or takes reports and passes them on.
struct Parent {
    reports: Mutex<Option<mpsc::UnboundedSender<(Instant, EnclaveMetrics)>>>,
    asked: Arc<AtomicU64>,
}

impl Transport for Parent {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(std::future::pending())
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        self.asked.fetch_add(1, Relaxed);
        let (near, far) = duplex(1 << 16);
        let reports = self.reports.lock().unwrap().clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let reports = reports.clone();
                async move {
                    let Some(reports) = reports else {
                        return std::future::pending().await;
                    };
                    assert_eq!(request.uri().path(), host::METRICS);
                    let body = request.collect().await.unwrap().to_bytes();
                    let report = serde_json::from_slice(&body).unwrap();
                    reports.send((Instant::now(), report)).unwrap();
                    let taken = Response::builder()
                        .status(204)
                        .body(Full::<Bytes>::default());
                    Ok::<_, std::convert::Infallible>(taken.unwrap())
                }
            });
            let serving = http1::Builder::new();
            let _ = serving.serve_connection(TokioIo::new(far), service).await;
        });
        Box::pin(async { Ok(Box::new(near) as BoxStream) })
    }
}

fn refused(code: Code) -> Event {
    Event::Refused {
        code,
        detail: "a constant",
        receipt: None,
    }
}

async fn reporter() -> (Reporter, Books) {
    let books = Books::new(Answer::Stores).await;
    let events = Events::start(HostServices::new(Arc::new(books.parent.clone())));
    let reporter = Reporter {
        events,
        receipts: books.receipts.clone(),
        occupancy: Arc::new(Occupancy::of(3)),
        began: Instant::now(),
    };
    (reporter, books)
}

#[tokio::test(start_paused = true)]
async fn the_parent_is_told_what_happened_again_and_again() {
    let (reporter, _books) = reporter().await;
    let events = reporter.events.clone();
    let occupancy = Arc::clone(&reporter.occupancy);
    let (sender, mut reports) = mpsc::unbounded_channel();
    let parent = Parent {
        reports: Mutex::new(Some(sender)),
        asked: Arc::default(),
    };
    let reporting = reporter.report_to(HostServices::new(Arc::new(parent)));
    let reporting = tokio::spawn(reporting);
    let (at_first, first) = reports.recv().await.unwrap();
    assert!(first.resident_bytes > 0);
    let nothing = EnclaveMetrics {
        resident_bytes: first.resident_bytes,
        ..EnclaveMetrics::default()
    };
    assert_eq!(first, nothing);

    events.note(refused(Code::PolicyDenied));
    events.note(refused(Code::PolicyDenied));
    events.note(refused(Code::UseDpopNonce));
    events.note(Event::Admitted {
        handle: HANDLE.parse().unwrap(),
        version: 1,
    });
    let places = [(); 4].map(|()| occupancy.place());
    let (at, then) = reports.recv().await.unwrap();
    assert_eq!(at - at_first, REPORT_EVERY);
    let refused = BTreeMap::from([(Code::PolicyDenied, 2), (Code::UseDpopNonce, 1)]);
    let expected = EnclaveMetrics {
        uptime_s: REPORT_EVERY.as_secs(),
        refused,
        admitted: 1,
        open_connections: 3,
        connections_refused: 1,
        resident_bytes: then.resident_bytes,
        ..EnclaveMetrics::default()
    };
    assert_eq!(then, expected);
    drop(places);
    let (_, last) = reports.recv().await.unwrap();
    assert_eq!((last.open_connections, last.connections_refused), (0, 1));
    reporting.abort();
}

/// The attack: a parent that takes every report and answers none. There is one at a time, and
/// counting goes on.
#[tokio::test(start_paused = true)]
async fn a_parent_that_hangs_gets_one_report_at_a_time() {
    let (reporter, _books) = reporter().await;
    let events = reporter.events.clone();
    let asked = Arc::new(AtomicU64::new(0));
    let parent = Parent {
        reports: Mutex::new(None),
        asked: Arc::clone(&asked),
    };
    let reporting = reporter.report_to(HostServices::new(Arc::new(parent)));
    let _ = timeout(Duration::from_secs(101), reporting).await;
    // Each is given up after ten seconds, and the next is not before its turn.
    assert!((5..=11).contains(&asked.load(Relaxed)), "{asked:?}");
    for _ in 0..10_000 {
        events.note(refused(Code::InvalidToken));
    }
    assert_eq!(events.counts().refused()[&Code::InvalidToken], 10_000);
    assert!(events.lost() > 0, "more than the parent was told of");
}

//! How long a server-sent event is on its way from an upstream to the caller.
use std::{
    convert::Infallible,
    error::Error,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use dauth_client::{Owner, Profile};
use dauth_dispatch::{CallBody, CallRequest};
use dauth_tests::{Request, Stack, Upstream};
use http::{HeaderMap, Method, Response, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{direct::Direct, stack::SECRET};
use crate::{
    measure::{Measured, Role},
    report::{Budget, Figure, Line, Report},
};

/// The pause between two events.
const PAUSE: Duration = Duration::from_millis(10);

/// Issue 4: how long an event may take.
const ON_ITS_WAY_MS: Budget = Budget::AtMost(10.0);

pub(super) async fn measure_into(
    stack: &Stack,
    report: &mut Report,
    count: usize,
) -> Result<(), Box<dyn Error>> {
    let file = stack.file();
    let written = Written::default();
    let log = Arc::clone(&written);
    let upstream = Upstream::start(&file, &[], move |request| {
        answer(request, Events::new(count, Arc::clone(&log)))
    })
    .await;

    let mut direct = Direct::open(&file, &upstream.base_url()).await?;
    let reply = direct.send("/events").await?;
    let directly = times(reply.into_body(), &written, count).await?;

    let options = ["--bearer", "--allow", "GET /**"];
    let handle = stack.connect("events", &upstream.base_url(), SECRET, &options);
    let owner = Owner::new(&Profile::load(&file.profile)?)?;
    let call = CallRequest {
        handle: handle.parse()?,
        method: Method::GET,
        path_and_query: "/events".to_owned(),
        headers: HeaderMap::new(),
        body: CallBody::Bytes(Bytes::new()),
    };
    let reply = owner.call(call).await?;
    let through = times(reply.into_body(), &written, count).await?;

    let directly = Measured::new("event, direct", Role::Floor, directly);
    let through = Measured::new("event, through the enclave", Role::Subject, through);
    for measured in [&through, &directly] {
        report.medians.push(Line::elapsed(measured));
    }
    for (name, of_100) in [
        ("an event on its way, p50", 50),
        ("an event on its way, p99", 99),
        ("an event on its way, the slowest", 100),
    ] {
        let ms = through.percentile_us(of_100) / 1e3;
        report
            .figures
            .push(Figure::new(name, ms, "ms", ON_ITS_WAY_MS));
    }
    Ok(())
}

/// When each event of the latest reply was written.
type Written = Arc<Mutex<Vec<Instant>>>;

/// From the upstream's write of each event to its arrival.
async fn times(
    mut body: Incoming,
    written: &Written,
    count: usize,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut received = Vec::new();
    let mut arrived = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            let now = Instant::now();
            received.extend_from_slice(&data);
            let events = memchr::memmem::find_iter(&received, b"\n\n").count();
            arrived.resize(events, now);
        }
    }
    let written = std::mem::take(&mut *written.lock().unwrap_or_else(PoisonError::into_inner));
    if arrived.len() != count || written.len() != count {
        return Err(format!("{} of {count} events arrived", arrived.len()).into());
    }
    let pairs = arrived.iter().zip(&written);
    Ok(pairs
        .map(|(arrived, written)| *arrived - *written)
        .collect())
}

async fn answer(_: Request, events: Events) -> Response<Events> {
    let mut response = Response::new(events);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/event-stream"),
    );
    response
}

/// A body of events, each after a pause, that notes when it hands one over to be written.
struct Events {
    left: usize,
    pauses: Interval,
    written: Written,
}

impl Events {
    fn new(count: usize, written: Written) -> Self {
        let mut pauses = interval(PAUSE);
        pauses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            left: count,
            pauses,
            written,
        }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        ready!(self.pauses.poll_tick(cx));
        self.left -= 1;
        let event = format!("event: note\ndata: {{\"left\":{}}}\n\n", self.left);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.push(Instant::now());
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(event)))))
    }
}

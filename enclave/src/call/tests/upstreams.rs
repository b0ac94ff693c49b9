//! Upstreams for tests of what stands before a call.
use std::sync::Arc;

use tokio::sync::Notify;

use super::fixture::{Act, Fixture, HOST, Script, always, reply};
use crate::upstream::Upstream;

/// The base URL of [`upstream`].
pub(crate) const BASE_URL: &str = "https://api.example/v1";

/// What an upstream does with a request.
pub(crate) enum Does {
    /// It answers with this body.
    Answers(String),
    /// It tells that a request has come, and does not answer.
    Waits(Arc<Notify>),
    /// It is not reached.
    Nothing,
}

/// A client of an upstream in memory.
pub(crate) fn upstream(does: Does) -> Upstream {
    match does {
        Does::Answers(body) => Fixture::new(always(reply("", body))).upstream,
        Does::Waits(came) => {
            let never = Arc::new(Notify::new());
            let script: Script = Arc::new(move |_| {
                came.notify_one();
                vec![Act::Wait(Arc::clone(&never))]
            });
            Fixture::new(script).upstream
        }
        Does::Nothing => Fixture::with(always(""), HOST, 502).upstream,
    }
}

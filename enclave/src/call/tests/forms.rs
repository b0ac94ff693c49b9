//! Each form of a secret in each place of a reply: the table of `docs/scrubbing.md`, whose cells
//! are the tests of this file.
mod escaped;
mod events;
mod failures;
mod form;
mod judge;
mod names;
mod place;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Response;
use http_body_util::BodyExt;
use hyper::ext::ReasonPhrase;
use tokio::{sync::Notify, time::timeout};

use self::{
    form::Form,
    place::{After, Place},
};
use super::fixture::{Fixture, call, injection, reply, write};
use crate::scrub::ScrubbedBody;

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";
/// Letters of both cases, digits, what each escape changes, and what base64url writes otherwise.
const SECRET: &str = r#"sk-Live/0123456789+"ab"&<cD>=_~?{zY}"#;
/// The same of what a field's name may hold.
const NAMEABLE: &str = "sk-Live_0123456789~abc+dEf.Xy!zz";
/// No secret.
const OTHER: &str = r#"pk-Test/9876543210+"uv"&<wX>=_~?[aB]"#;
const OTHER_NAMEABLE: &str = "pk-Test_9876543210~uvw+xYz.aB!cc";

/// A row of tests: one for each place that a form can stand in.
macro_rules! table {
    ($($form:ident: $($place:ident)+;)+) => {$(
        mod $form {
            $(
                #[tokio::test]
                async fn $place() {
                    super::is_redacted(&super::form::$form(), &super::place::$place()).await;
                }
            )+
        }
    )+};
}

table! {
    raw:
        header_value header_name status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    basic:
        header_value header_name status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    base64_0:
        header_value header_name status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    base64_1:
        header_value header_name status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    base64_2:
        header_value header_name status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    base64_lines:
        header_value header_name status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    base64url:
        header_value header_name status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    hex_lower:
        header_value header_name status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    hex_upper:
        header_value header_name status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    percent:
        header_value header_name status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    json:
        header_value status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    html_decimal:
        header_value header_name status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    html_hex:
        header_value header_name status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    html_names:
        header_value status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    mixed:
        header_value header_name status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    partial:
        header_value header_name status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
    twice:
        header_value header_name status_text redirect
        body chunk_boundary gzip deflate trailer
        error cut_off event event_boundary;
}

/// The rows again, with what is no secret.
macro_rules! others {
    ($($place:ident)+) => {
        mod another {
            use super::{form, place};

            $(
                #[tokio::test]
                async fn $place() {
                    for (_, form) in form::ALL {
                        super::passes(&form, &place::$place()).await;
                    }
                }
            )+
        }
    };
}

others!(
    header_value header_name status_text redirect
    body chunk_boundary gzip deflate trailer
    error cut_off event event_boundary
);

/// Nothing of the secret reaches the caller, all else does, and the connection is not used again.
async fn is_redacted(form: &Form, place: &Place) {
    let secret = secret_for(place, SECRET, NAMEABLE);
    let written = written(form, place, secret);
    assert!(!written.is_empty(), "the cell makes no sense");
    for text in &written {
        assert!(
            judge::holds(text.as_bytes(), secret),
            "no form of it: {text}"
        );
        let expected = (place.shown)(REDACTED, text);
        let seen = exchange(form, place, text, secret).await;
        assert_eq!(seen.shown.len(), expected.len());
        for (shown, expected) in seen.shown.iter().zip(&expected) {
            let judged = (place.judged)(shown);
            assert!(
                !judge::holds(shown.as_bytes(), secret)
                    && !judge::holds_piece(judged.as_bytes(), secret),
                "{text}\nleaks: {shown}"
            );
            assert!(is_shown(shown, expected), "{text}\n{shown}\n{expected}");
        }
        assert_eq!(
            seen.dialled,
            expected.len() + 1,
            "{text}: a connection was used again"
        );
    }
}

/// What is no secret passes as it is, and the connection is used again where that is ever done.
async fn passes(form: &Form, place: &Place) {
    let secret = secret_for(place, SECRET, NAMEABLE);
    for text in written(form, place, secret_for(place, OTHER, OTHER_NAMEABLE)) {
        let expected = (place.shown)(&text, &text);
        let seen = exchange(form, place, &text, secret).await;
        for (shown, expected) in seen.shown.iter().zip(&expected) {
            assert!(is_shown(shown, expected), "{text}\n{shown}\n{expected}");
        }
        let dialled = match place.after {
            After::Pooled => 1,
            After::Closed => expected.len() + 1,
        };
        assert_eq!(seen.dialled, dialled, "{text}");
    }
}

fn secret_for(place: &Place, any: &'static str, nameable: &'static str) -> &'static str {
    if (place.takes)(any) { any } else { nameable }
}

/// The ways to write a secret that can stand in a place.
fn written(form: &Form, place: &Place, secret: &str) -> Vec<String> {
    let mut written = (form.write)(secret);
    written.retain(|text| (place.takes)(text));
    written
}

fn is_shown(shown: &str, expected: &str) -> bool {
    match expected.strip_suffix("....") {
        Some(begun) => shown
            .strip_prefix(begun)
            .is_some_and(|rest| rest.bytes().all(|b| b == b'.')),
        None => shown == expected,
    }
}

/// What the caller saw of some replies, and how many connections they and one more call took.
struct Seen {
    shown: Vec<String>,
    dialled: usize,
}

async fn exchange(form: &Form, place: &Place, text: &str, secret: &str) -> Seen {
    let arrived = Arc::new(Notify::new());
    let replies = (place.replies)(text, &arrived);
    let count = replies.len();
    let next = AtomicUsize::new(0);
    let fixture = Fixture::new(Arc::new(move |_| {
        let number = next.fetch_add(1, Ordering::SeqCst);
        replies
            .get(number)
            .cloned()
            .unwrap_or_else(|| vec![write(reply("", "one more"))])
    }));
    let mut shown = Vec::new();
    for _ in 0..count {
        let mut call = call();
        call.policy.injection = injection(form.injection);
        let response = fixture.send_body(call, secret, "").await.unwrap();
        shown.push(as_seen(response, &arrived).await);
    }
    let _ = fixture.send_body(call(), secret, "").await;
    Seen {
        shown,
        dialled: fixture.dialled(),
    }
}

/// A reply as text: without its length, of which the caller is told only when it was not altered.
async fn as_seen(response: Response<ScrubbedBody>, arrived: &Notify) -> String {
    let (head, mut body) = response.into_parts();
    let mut seen = head.status.as_u16().to_string();
    if let Some(reason) = head.extensions.get::<ReasonPhrase>() {
        seen += &format!(" {}", core::str::from_utf8(reason.as_bytes()).unwrap());
    }
    seen += "\n";
    let fields = |fields: &http::HeaderMap| {
        let mut lines: Vec<String> = fields
            .iter()
            .filter(|(name, _)| *name != "content-length")
            .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines.concat()
    };
    seen += &fields(&head.headers);
    seen += "\n";
    let mut trailers = String::new();
    loop {
        let frame = timeout(Duration::from_secs(20), body.frame()).await;
        match frame.expect("what was sent is held back") {
            None => break seen + "\n" + &trailers,
            Some(Err(_)) => break seen,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => seen += core::str::from_utf8(&data).unwrap(),
                Err(frame) => trailers = fields(&frame.into_trailers().unwrap()),
            },
        }
        arrived.notify_one();
    }
}

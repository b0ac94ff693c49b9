//! The reply, as a caller may see it.
use std::time::Duration;

use dauth_protocol::{Code, header, limit};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header as field};
use http_body::Body;
use hyper::{body::Incoming, ext::ReasonPhrase};

use crate::{
    authorize::Call,
    clock::now_s,
    refusal::Refusal,
    scrub::{
        BodyError, Delivery, Encoding, Likeness, Reply, ScrubbedBody, Scrubber, announced_trailers,
        scrub_fields,
    },
    upstream::Lease,
};

/// A body of at most this length is waited for, so that it keeps the fields that describe it when
/// it was not altered.
const GATHERED_BYTES: u64 = 16 * 1024;

/// Checks an upstream's reply and takes out of it what `scrubber` was made for.
pub(super) async fn scrubbed(
    call: &Call,
    mut scrubber: Scrubber,
    response: Response<Incoming>,
    lease: Lease,
) -> Result<Response<ScrubbedBody>, Refusal> {
    let (mut head, body) = response.into_parts();
    let max_bytes = call.policy.limits.max_response_bytes;
    check(head.status, &head.headers, &body, max_bytes)?;
    let encoding = match Encoding::of(&head.headers) {
        Ok(encoding) => encoding,
        Err(_) if body.is_end_stream() => Encoding::Identity,
        Err(_) => return refused("the upstream's body has a coding that cannot be searched"),
    };
    let delivery = delivery(&head.headers);
    scrubber.deliver(delivery);
    #[cfg(mutations)]
    crate::mutation::panic_at("/panic-after-head", call.path.as_str());

    let received = std::mem::take(&mut head.headers);
    let mut fields = scrub_fields(&mut scrubber, &received);
    if let Some(names) = announced_trailers(&mut scrubber, &received) {
        fields.insert(field::TRAILER, names);
    }
    drop(received);
    let of_body = take_describing(&mut fields);
    let mut reply = Response::new(());
    *reply.status_mut() = head.status;
    if let Some(reason) = head.extensions.remove::<ReasonPhrase>()
        && scrubber.redact(reason.as_bytes()).is_none()
    {
        reply.extensions_mut().insert(reason);
    }
    let is_short = body
        .size_hint()
        .exact()
        .is_some_and(|length| length <= GATHERED_BYTES);
    let is_gathered = is_short && encoding == Encoding::Identity && delivery == Delivery::FixedTail;
    let passing = Reply {
        body,
        encoding,
        scrubber,
        max_bytes,
        life: life(call.token_expires_s),
        lease,
    };
    let body = if is_gathered {
        let body = ScrubbedBody::gathered(passing).await.map_err(broken)?;
        if body.likeness() == Likeness::Same {
            fields.extend(of_body);
        }
        body
    } else {
        ScrubbedBody::new(passing)
    };
    *reply.headers_mut() = fields;
    Ok(reply.map(|()| body))
}

/// Refuses what cannot be passed on safely.
fn check(
    status: StatusCode,
    fields: &HeaderMap,
    body: &Incoming,
    max_bytes: u64,
) -> Result<(), Refusal> {
    if status.is_informational() {
        return refused("the upstream changed the protocol");
    }
    // `Range` never passes: a part of a body could hold a part of the secret.
    if status == StatusCode::PARTIAL_CONTENT {
        return refused("the upstream sent a part that was not asked for");
    }
    // RFC 9112 section 6.3: such a message may be an attempt at response splitting.
    if fields.contains_key(field::TRANSFER_ENCODING) && fields.contains_key(field::CONTENT_LENGTH) {
        return refused("the upstream's reply has two framings");
    }
    if !is_chunked_at_most(fields) {
        return refused("the upstream's reply has a transfer coding other than chunked");
    }
    if body.size_hint().lower() > max_bytes {
        return refused("the upstream's body is over the policy's limit");
    }
    Ok(())
}

/// Whether no transfer coding but `chunked` was applied, once (RFC 9112 section 6.1). The HTTP
/// library undoes no other: a compressed body would pass without being searched.
fn is_chunked_at_most(fields: &HeaderMap) -> bool {
    let codings: Vec<&[u8]> = fields
        .get_all(field::TRANSFER_ENCODING)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    codings.is_empty()
        || codings
            .join(&b","[..])
            .trim_ascii()
            .eq_ignore_ascii_case(b"chunked")
}

fn refused<T>(detail: &'static str) -> Result<T, Refusal> {
    Err(Refusal::new(Code::ResponseRefused, detail))
}

fn broken(error: BodyError) -> Refusal {
    let detail = match error {
        BodyError::TooLong => "the upstream's body is over the policy's limit",
        BodyError::BrokeOff => "the upstream's body broke off",
        BodyError::Malformed => "the upstream's body does not decode",
        BodyError::TokenExpired => "the token has been expired for too long",
    };
    Refusal::new(Code::ResponseRefused, detail)
}

/// Takes out what describes the body as it came. Whether scrubbing alters it is known only at its
/// end.
fn take_describing(fields: &mut HeaderMap) -> HeaderMap {
    let names: Vec<HeaderName> = fields
        .keys()
        .filter(|name| header::describes_body(name))
        .cloned()
        .collect();
    let mut taken = HeaderMap::new();
    for name in names {
        if let http::header::Entry::Occupied(entry) = fields.entry(name) {
            let (name, values) = entry.remove_entry_mult();
            for value in values {
                taken.append(name.clone(), value);
            }
        }
    }
    taken
}

/// For how long a reply may go on: a token opens no stream that outlives it by much.
fn life(token_expires_s: u64) -> Duration {
    let ends_s = token_expires_s.saturating_add(limit::MAX_STREAM_AFTER_TOKEN_S);
    Duration::from_secs(ends_s.saturating_sub(now_s()))
}

fn delivery(fields: &HeaderMap) -> Delivery {
    let media_type = fields
        .get(field::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    if media_type.trim().eq_ignore_ascii_case("text/event-stream") {
        Delivery::WholeEvents
    } else {
        Delivery::FixedTail
    }
}

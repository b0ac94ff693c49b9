//! The upstream request, built from an allow-list.
use dauth_protocol::{Policy, header, limit};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header as field};
use http_body::Body;

use super::UNSENDABLE;
use crate::{
    authorize::Call, inject::Carrier, refusal::Refusal, scrub::nominated, upstream::Outgoing,
};

/// The request of `call`, with the credential's placeholder where `carrier` says.
pub(super) fn build(
    call: &Call,
    carrier: Carrier,
    body: Outgoing,
) -> Result<Request<Outgoing>, Refusal> {
    let (parameter, credential) = match carrier {
        Carrier::Query(parameter) => (Some(parameter), None),
        Carrier::Header(name, value) => (None, Some((name, value))),
    };
    let mut fields = HeaderMap::with_capacity(call.headers.len() + 4);
    let host = HeaderValue::try_from(call.policy.base_url.authority()).map_err(|_| UNSENDABLE)?;
    fields.insert(field::HOST, host);
    pass(&call.policy, &call.headers, &mut fields);
    fields.insert(field::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some((name, value)) = credential {
        // The only one of its name: a caller's own would let it choose the account.
        fields.insert(name, value);
    }
    // RFC 9110 section 8.6: a method that has content announces an empty one.
    if body.is_end_stream() && has_content(&call.method) {
        fields.insert(field::CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    let mut request = Request::new(body);
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = target(call, parameter.as_deref())?;
    *request.headers_mut() = fields;
    Ok(request)
}

/// Copies what the policy lets pass, duplicates in their order.
fn pass(policy: &Policy, from: &HeaderMap, to: &mut HeaderMap) {
    let nominated = nominated(from);
    // The second and third condition repeat what a policy is checked for when it is sealed. A
    // caller's `Authorization` is always its dispatch token.
    let passes = |name: &HeaderName| {
        policy.passes_upstream(name)
            && header::may_be_permitted(name)
            && name != field::AUTHORIZATION
            && !nominated.contains(name)
    };
    for (name, value) in from.iter().filter(|(name, _)| passes(name)) {
        to.append(name, value.clone());
    }
}

/// Base path, path and query: the very bytes that the policy matched.
fn target(call: &Call, parameter: Option<&str>) -> Result<Uri, Refusal> {
    let query = call.query.as_deref().filter(|query| !query.is_empty());
    let is_sendable = |b: u8| matches!(b, 0x21..=0x7e) && b != b'#';
    if query.is_some_and(|q| q.len() > limit::MAX_QUERY_BYTES || !q.bytes().all(is_sendable)) {
        return Err(UNSENDABLE);
    }
    let mut target = format!("{}{}", call.policy.base_url.path(), call.path);
    for (separator, part) in ['?', '&']
        .into_iter()
        .zip([query, parameter].into_iter().flatten())
    {
        target.push(separator);
        target.push_str(part);
    }
    let uri: Uri = target.parse().map_err(|_| UNSENDABLE)?;
    let is_unchanged = uri
        .path_and_query()
        .is_some_and(|sent| sent.as_str() == target);
    if is_unchanged && uri.authority().is_none() {
        Ok(uri)
    } else {
        Err(UNSENDABLE)
    }
}

fn has_content(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

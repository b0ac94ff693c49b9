//! Which header fields pass, in either direction.
use http::HeaderName;

/// Fields of a caller's request that pass upstream without being named by a policy.
///
/// An allow-list: what is not here is dropped, dispatch credentials among it.
const REQUEST_ALLOWED: &[&str] = &[
    "accept",
    "accept-language",
    "anthropic-beta",
    "anthropic-version",
    "content-encoding",
    "content-language",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "last-event-id",
    "mcp-protocol-version",
    "mcp-session-id",
    "notion-version",
    "openai-beta",
    "openai-organization",
    "openai-project",
    "prefer",
    "stripe-version",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-correlation-id",
    "x-github-api-version",
    "x-request-id",
];

/// Fields that no policy can let pass: dispatch credentials, framing, and what would move the call
/// to another destination or switch scrubbing off.
const REQUEST_NEVER: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "dpop",
    "expect",
    "host",
    "http2-settings",
    "if-range",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields of a reply that never reach the caller.
const RESPONSE_NEVER: &[&str] = &[
    "connection",
    "content-digest",
    "content-md5",
    "digest",
    "dpop-nonce",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-connection",
    "repr-digest",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields of a reply that describe its body's bytes, wrong once a body has been altered.
const RESPONSE_OF_BODY: &[&str] = &[
    "accept-ranges",
    "content-encoding",
    "content-length",
    "etag",
];

/// Whether a caller's field passes upstream when no policy names it.
pub fn passes_upstream(name: &HeaderName) -> bool {
    REQUEST_ALLOWED.contains(&name.as_str())
}

/// Whether a policy may name the field to let it pass upstream.
pub fn may_be_permitted(name: &HeaderName) -> bool {
    !REQUEST_NEVER.contains(&name.as_str()) && !name.as_str().starts_with("dauth-")
}

/// Whether a credential may be injected in the field.
pub fn may_carry_credential(name: &HeaderName) -> bool {
    may_be_permitted(name) && !REQUEST_ALLOWED.contains(&name.as_str())
}

/// Whether an upstream's field passes to the caller.
pub fn passes_to_caller(name: &HeaderName) -> bool {
    !RESPONSE_NEVER.contains(&name.as_str()) && !name.as_str().starts_with("dauth-")
}

/// Whether a field describes the bytes of the body as the upstream sent them.
pub fn describes_body(name: &HeaderName) -> bool {
    RESPONSE_OF_BODY.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_both_allowed_and_never() {
        for name in REQUEST_ALLOWED {
            assert!(!REQUEST_NEVER.contains(name), "{name}");
        }
    }

    #[test]
    fn credentials_and_routing_never_pass() {
        for name in [
            "authorization",
            "cookie",
            "x-forwarded-for",
            "forwarded",
            "x-http-method-override",
            "x-original-url",
        ] {
            assert!(!passes_upstream(&name.parse().unwrap()), "{name}");
        }
        for name in [
            "dpop",
            "host",
            "range",
            "accept-encoding",
            "dauth-error",
            "transfer-encoding",
        ] {
            assert!(!may_be_permitted(&name.parse().unwrap()), "{name}");
        }
        for name in [
            "set-cookie",
            "dauth-receipt-id",
            "dpop-nonce",
            "content-digest",
        ] {
            assert!(!passes_to_caller(&name.parse().unwrap()), "{name}");
        }
    }
}

//! What the texts of a configuration may look like.

/// An origin, since `/.well-known/` is looked up at its root (RFC 8414 section 3).
pub(super) fn is_issuer(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else {
        return false;
    };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return false;
    };
    if text != format!("{scheme}://{authority}") || authority.as_str().contains('@') {
        return false;
    }
    let is_loopback = matches!(authority.host(), "127.0.0.1" | "localhost" | "[::1]");
    scheme == "https" || (scheme == "http" && is_loopback)
}

/// A host and its port, as in a URL (RFC 3986 section 3.2).
pub(super) fn is_ingress(text: &str) -> bool {
    let authority = text.parse::<http::uri::Authority>();
    authority.is_ok_and(|authority| {
        authority.port_u16().is_some_and(|port| port != 0)
            && !authority.host().is_empty()
            && text == format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(0))
    })
}

/// RFC 8707 section 2: an absolute URI without fragment. It is kept byte for byte.
pub(super) fn is_resource(text: &str) -> bool {
    let is_absolute = text.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http")) && uri.authority().is_some()
    });
    is_absolute && text.len() <= 1024 && !text.contains('#')
}

pub(super) fn is_identifier(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// `scope-token` of RFC 6749 section 3.3.
pub(super) fn is_scope_token(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

//! Redacts a secret from header and trailer fields.
use dauth_protocol::header;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Scrubber, Shown, release};
use crate::wipe::WipedBuffer;

/// The fields of a reply that a caller gets: neither what belongs to one connection (RFC 9110
/// section 7.6.1), nor what [`dauth_protocol::header`] keeps back.
///
/// Each value is a copy. The HTTP library's values are slices of the buffer that it reads into, in
/// which the reply's body may lie, too; and the compression table of the caller's HTTP/2 session
/// keeps values for as long as that session lives. A reflected secret would be kept with them.
fn passing_to_caller(fields: &HeaderMap) -> HeaderMap {
    let nominated = nominated(fields);
    let mut passing = HeaderMap::with_capacity(fields.len());
    for (name, value) in fields {
        let passes = header::passes_to_caller(name) && !nominated.contains(name);
        if passes && let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            passing.append(name, value);
        }
    }
    passing
}

/// The fields that `Connection` names as belonging to the connection.
pub(crate) fn nominated(fields: &HeaderMap) -> Vec<HeaderName> {
    fields
        .get_all(http::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect()
}

/// The fields of a reply that a caller gets, without the secret: values are redacted, a field that
/// is named by it is left out.
///
/// All fields are searched, those too that do not pass: the HTTP library has read them into the
/// connection's buffer, so that one with the secret must keep the connection from being used again.
pub(crate) fn scrub_fields(scrubber: &mut Scrubber, fields: &HeaderMap) -> HeaderMap {
    let passing = passing_to_caller(fields);
    let is_named = fields.keys().any(|name| names_secret(scrubber, name));
    // One search over all values, one below the other: a form may begin in one and end in the next.
    let mut text = WipedBuffer::with_capacity(fields.values().map(|value| value.len() + 1).sum());
    for value in fields.values() {
        text.append(value.as_bytes());
        text.append(b"\n");
    }
    let hits = scrubber.hits(&text);
    if hits.is_empty() && !is_named {
        return passing;
    }
    scrubber.acted = true;
    let mut scrubbed = HeaderMap::with_capacity(passing.len());
    let mut start = 0;
    for (name, value) in fields {
        let part = start..start + value.len();
        start = part.end + 1;
        if !passing.contains_key(name) || names_secret(scrubber, name) {
            continue;
        }
        let mut shown = Vec::with_capacity(value.len());
        release(&text, &hits, part, Shown::AsSent, &mut shown);
        if let Ok(shown) = HeaderValue::from_bytes(&shown) {
            scrubbed.append(name, shown);
        }
    }
    scrubbed
}

/// The same of trailer fields, without those that describe the body as the upstream sent it: a
/// caller has the field of the head when the body was not altered.
pub(super) fn scrub_trailers(scrubber: &mut Scrubber, fields: &HeaderMap) -> HeaderMap {
    let scrubbed = scrub_fields(scrubber, fields);
    let mut passing = HeaderMap::with_capacity(scrubbed.len());
    for (name, value) in &scrubbed {
        if !header::describes_body(name) {
            passing.append(name, value.clone());
        }
    }
    passing
}

/// The trailers that the upstream announced and that pass: HTTP/1.1 carries no others. A name that
/// holds the secret is left out.
pub(crate) fn announced_trailers(
    scrubber: &mut Scrubber,
    fields: &HeaderMap,
) -> Option<HeaderValue> {
    let mut passing = Vec::new();
    let announced = fields
        .get_all(http::header::TRAILER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    for text in announced {
        let Ok(name) = text.trim().parse::<HeaderName>() else {
            continue;
        };
        // As it was sent, too: a name may have an escape in it.
        if names_secret(scrubber, &name) || scrubber.redact(text.as_bytes()).is_some() {
            scrubber.acted = true;
        } else if header::passes_to_caller(&name) && !header::describes_body(&name) {
            passing.push(name);
        }
    }
    let names: Vec<&str> = passing.iter().map(HeaderName::as_str).collect();
    HeaderValue::try_from(names.join(", "))
        .ok()
        .filter(|value| !value.is_empty())
}

/// Whether a form of the secret is in a field's name. Names lose their case on the way.
fn names_secret(scrubber: &Scrubber, name: &HeaderName) -> bool {
    scrubber.is_in(name.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrub::Delivery;

    const SECRET: &str = "sk-Live-0123456789";

    fn scrubbed(fields: &[(&str, &str)]) -> (Vec<(String, String)>, bool) {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let mut scrubber = Scrubber::new(&[SECRET.as_bytes()], Delivery::FixedTail);
        let fields = scrub_fields(&mut scrubber, &map);
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        (fields.iter().map(text).collect(), scrubber.acted())
    }

    #[test]
    fn redacts_values_and_leaves_the_others_alone() {
        let location = format!("https://a.example/?key={SECRET}&x=1");
        let encoded = format!("{}{}", "%73", &SECRET[1..]);
        let (fields, acted) = scrubbed(&[
            ("location", &location),
            ("x", &encoded),
            ("x", "2"),
            ("y", "sk-Live"),
        ]);
        assert!(acted);
        let expected = [
            ("location", "https://a.example/?key=[redacted]&x=1"),
            ("x", "[redacted]"),
            ("x", "2"),
            ("y", "sk-Live"),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(fields, expected);
        assert!(!scrubbed(&[("y", "sk-Live")]).1);
    }

    #[test]
    fn a_form_over_several_values_or_with_blanks_in_one_is_redacted() {
        let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, SECRET);
        let (first, second) = encoded.split_at(12);
        let blanks = format!("<{first} \t {second}>");
        let (fields, acted) = scrubbed(&[
            ("x", &blanks),
            ("a", &format!("a {first}")),
            ("b", &format!("{second} b")),
            ("c", "c d"),
        ]);
        let expected = [
            ("x", "<[redacted]>"),
            ("a", "a [redacted]"),
            ("b", "[redacted] b"),
            ("c", "c d"),
        ];
        let expected = expected.map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(fields, expected);
        assert!(acted);
    }

    #[test]
    fn blanks_that_are_escaped_hide_no_more() {
        let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, SECRET);
        let (first, second) = encoded.split_at(12);
        for blank in [
            "%20", "%20%09 ", "%0A%20", "%2520", r"\u0020", "&#32;", "&Tab;",
        ] {
            let value = format!("https://a.example/?x={first}{blank}{second}.");
            let (fields, acted) = scrubbed(&[("location", &value)]);
            let expected = "https://a.example/?x=[redacted].".to_owned();
            assert_eq!(fields, [("location".to_owned(), expected)], "{blank}");
            assert!(acted);
        }
    }

    #[test]
    fn what_passes_shares_no_memory_with_the_reply_as_it_was_read() {
        let read = bytes::Bytes::from(format!("date: today\r\n\r\n{SECRET}"));
        let mut fields = HeaderMap::new();
        let value = HeaderValue::from_maybe_shared(read.slice(6..11)).unwrap();
        fields.insert("date", value.clone());
        fields.append("date", value);
        let passing = passing_to_caller(&fields);
        drop(fields);
        assert_eq!(passing.get_all("date").iter().count(), 2);
        assert_eq!(passing["date"], "today");
        assert!(read.is_unique());
    }

    #[test]
    fn a_field_named_by_the_secret_is_left_out() {
        let (fields, acted) = scrubbed(&[("x-sk-live-0123456789-y", "1"), ("y", "2")]);
        assert_eq!(fields, [("y".to_owned(), "2".to_owned())]);
        assert!(acted);
    }

    #[test]
    fn a_field_that_does_not_pass_is_searched() {
        let secret = format!("a={SECRET}");
        for fields in [
            &[("set-cookie", secret.as_str())][..],
            &[("content-md5", &secret)],
            &[("dauth-error", &secret)],
            &[("connection", "x-hop"), ("x-hop", &secret)],
            &[("dauth-sk-live-0123456789", "1")],
        ] {
            let (passing, acted) = scrubbed(fields);
            assert_eq!(passing, [], "{fields:?}");
            assert!(acted, "{fields:?}");
        }
        assert!(!scrubbed(&[("set-cookie", "a=b")]).1);
    }

    #[test]
    fn an_announced_trailer_named_by_the_secret_is_left_out() {
        for (announced, passing, acts) in [
            ("x-after, Set-Cookie", Some("x-after"), false),
            ("x-SK-LIVE-0123456789, x-after", Some("x-after"), true),
            ("dauth-sk-live-0123456789", None, true),
            ("%73k-Live-0123456789", None, true),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert("trailer", announced.parse().unwrap());
            let mut scrubber = Scrubber::new(&[SECRET.as_bytes()], Delivery::FixedTail);
            let names = announced_trailers(&mut scrubber, &fields);
            assert_eq!(
                names.as_ref().map(|names| names.to_str().unwrap()),
                passing,
                "{announced}"
            );
            assert_eq!(scrubber.acted(), acts, "{announced}");
        }
    }
}

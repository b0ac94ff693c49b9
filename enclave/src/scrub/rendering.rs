//! How serializers write a secret, where that is then encoded as a whole.
//!
//! In plain text the decoded views show the secret under its escapes. The base64 of an escaped
//! text shows nothing of it: what was escaped must be known.
use crate::{inject::percent_encoded, wipe::WipedBuffer};

/// What stands for a character.
type Escapes = [(u8, &'static [u8])];

/// RFC 8259 section 7: what must be escaped, as serializers do it.
const JSON: &Escapes = &[
    (b'"', b"\\\""),
    (b'\\', b"\\\\"),
    (b'\n', b"\\n"),
    (b'\r', b"\\r"),
    (b'\t', b"\\t"),
    (0x08, b"\\b"),
    (0x0c, b"\\f"),
];

/// Beside [`JSON`]: what some escape so that the text may stand in HTML.
const JSON_VARIANTS: [&Escapes; 4] = [
    &[],
    &[(b'/', b"\\/")],
    &[(b'<', b"\\u003c"), (b'>', b"\\u003e"), (b'&', b"\\u0026")],
    &[(b'<', b"\\u003C"), (b'>', b"\\u003E"), (b'&', b"\\u0026")],
];

const HTML: &Escapes = &[(b'&', b"&amp;"), (b'<', b"&lt;"), (b'>', b"&gt;")];

/// Beside [`HTML`]: quotes, in text as they are.
const HTML_VARIANTS: [&Escapes; 5] = [
    &[],
    &[(b'"', b"&quot;"), (b'\'', b"&#39;")],
    &[(b'"', b"&quot;"), (b'\'', b"&#039;")],
    &[(b'"', b"&quot;"), (b'\'', b"&#x27;")],
    &[(b'"', b"&#34;"), (b'\'', b"&#39;")],
];

/// The ways in which `secret` is written, other than as it is; none for most secrets.
pub(super) fn renderings(secret: &[u8]) -> Vec<WipedBuffer> {
    let is_plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~".contains(b);
    if secret.iter().all(is_plain) {
        return Vec::new();
    }
    let mut all = vec![percent_encoded(secret)];
    for variant in JSON_VARIANTS {
        all.push(escaped(secret, JSON, variant));
    }
    for variant in HTML_VARIANTS {
        all.push(escaped(secret, HTML, variant));
    }
    all.retain(|rendering| **rendering != *secret);
    all
}

fn escaped(secret: &[u8], always: &Escapes, variant: &Escapes) -> WipedBuffer {
    let mut written = WipedBuffer::with_capacity(2 * secret.len());
    for byte in secret {
        let mut escapes = always.iter().chain(variant);
        match escapes.find(|(escaped, _)| escaped == byte) {
            Some((_, written_as)) => written.append(written_as),
            None => written.append(&[*byte]),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(secret: &str) -> Vec<String> {
        renderings(secret.as_bytes())
            .iter()
            .map(|r| String::from_utf8(r.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn an_ordinary_secret_is_written_as_it_is() {
        assert_eq!(texts("sk_live-0123456789.~"), [""; 0]);
    }

    #[test]
    fn writes_as_serializers_do() {
        let secret = "a/b<\"'\\";
        let written = texts(secret);
        assert!(written.contains(&"a%2Fb%3C%22%27%5C".to_owned()));
        let json = serde_json::to_string(secret).unwrap();
        assert!(written.contains(&json[1..json.len() - 1].to_owned()));
        assert!(written.contains(&r#"a\/b<\"'\\"#.to_owned()));
        assert!(written.contains(&r#"a/b\u003c\"'\\"#.to_owned()));
        assert!(written.contains(&r#"a/b\u003C\"'\\"#.to_owned()));
        assert!(written.contains(&r"a/b&lt;&quot;&#039;\".to_owned()));
        assert!(written.contains(&r#"a/b&lt;"'\"#.to_owned()));
        assert!(written.contains(&r"a/b&lt;&quot;&#39;\".to_owned()));
    }
}

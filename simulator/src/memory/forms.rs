//! The forms in which a secret may lie in memory.
//!
//! Pieces of the secret are looked for on their own, so that a whole that was overwritten in part
//! is found as well: its halves, or eight samples of a long one.
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

mod huffman;

/// The names of all forms, as [`forms_of`] gives them.
pub const FORMS: [&str; 11] = [
    "raw",
    "base64",
    "base64url",
    "hex",
    "percent",
    "percent-reserved",
    "json",
    "html-decimal",
    "html-hex",
    "utf-16",
    "hpack-huffman",
];

/// Whatever is shorter is not unlikely enough to be there by chance.
const MIN_NEEDLE_BYTES: usize = 12;

/// A longer secret is sampled.
const MAX_HALVED_BYTES: usize = 80;
const SAMPLES: usize = 8;
const SAMPLE_BYTES: usize = 32;

/// The needles of a secret: pieces of it, in each form and at each alignment. Letters of either
/// case are left to the search.
pub fn forms_of(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut needles: Vec<(&'static str, Vec<u8>)> = Vec::new();
    for (form, needle) in pieces(secret).into_iter().flat_map(of_text) {
        let is_new = needles.iter().all(|(_, known)| *known != needle);
        if is_new && needle.len() >= MIN_NEEDLE_BYTES {
            needles.push((form, needle));
        }
    }
    needles
}

fn pieces(secret: &[u8]) -> Vec<&[u8]> {
    if secret.len() <= MAX_HALVED_BYTES {
        let (first, last) = secret.split_at(secret.len() / 2);
        return vec![first, last];
    }
    let last = secret.len() - SAMPLE_BYTES;
    (0..SAMPLES)
        .filter_map(|number| {
            let from = last * number / (SAMPLES - 1);
            secret.get(from..from + SAMPLE_BYTES)
        })
        .collect()
}

fn of_text(text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let each = |write: fn(u8) -> String| text.iter().copied().map(write).collect::<String>();
    let mut needles = vec![
        ("raw", text.to_vec()),
        ("hex", each(|b| format!("{b:02x}")).into_bytes()),
        ("percent", each(|b| format!("%{b:02x}")).into_bytes()),
        ("percent-reserved", each(reserved).into_bytes()),
        ("json", each(|b| format!("\\u{b:04x}")).into_bytes()),
        ("html-decimal", each(|b| format!("&#{b};")).into_bytes()),
        ("html-hex", each(|b| format!("&#x{b:x};")).into_bytes()),
        ("utf-16", text.iter().flat_map(|b| [*b, 0]).collect()),
    ];
    for before in 0..3 {
        let encoded = base64_inside(text, before);
        let url: String = encoded
            .chars()
            .map(|c| match c {
                '+' => '-',
                '/' => '_',
                other => other,
            })
            .collect();
        needles.push(("base64", encoded.into_bytes()));
        needles.push(("base64url", url.into_bytes()));
    }
    for bits in 0..8 {
        needles.extend(huffman::inside(text, bits).map(|inside| ("hpack-huffman", inside)));
    }
    needles
}

/// RFC 3986 section 2.3: what is not unreserved is encoded.
fn reserved(byte: u8) -> String {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    }
}

/// The characters that `text` alone decides, when `before` bytes precede it in what is encoded.
fn base64_inside(text: &[u8], before: usize) -> String {
    let from = (3 - before) % 3;
    let whole = text.get(from..).unwrap_or_default();
    let length = whole.len() / 3 * 3;
    STANDARD_NO_PAD.encode(whole.get(..length).unwrap_or_default())
}

#[cfg(test)]
pub(super) mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    /// The whole secret in each form, made by other means than the needles, between other bytes.
    pub(in super::super) fn planted(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
        let mut planted: Vec<(&'static str, Vec<u8>)> = vec![
            ("raw", secret.to_uppercase().into_bytes()),
            ("hex", hex::encode_upper(secret).into_bytes()),
            (
                "utf-16",
                secret.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            ),
        ];
        let mut written = |form, write: &dyn Fn(u32) -> String| {
            let text: String = secret.chars().map(|c| write(u32::from(c))).collect();
            planted.push((form, format!("<{text}>").into_bytes()));
        };
        written("percent", &|c| format!("%{c:02X}"));
        written("json", &|c| format!("\\u{c:04X}"));
        written("html-decimal", &|c| format!("&#{c};"));
        written("html-hex", &|c| format!("&#X{c:X};"));
        let query = secret
            .replace('/', "%2F")
            .replace('?', "%3f")
            .replace('=', "%3D");
        planted.push(("percent-reserved", query.into_bytes()));
        for before in ["", "a", "ab"] {
            let pair = format!("{before}{secret}");
            planted.push(("base64", STANDARD.encode(&pair).into_bytes()));
            planted.push(("base64url", URL_SAFE.encode(&pair).into_bytes()));
        }
        for before in ["", "a", "X", "a!", "X!", "a:", "!!", "X:!", "0&!"] {
            planted.push((
                "hpack-huffman",
                huffman::tests::encoded(&format!("{before}{secret}")),
            ));
        }
        planted
    }

    #[test]
    fn a_long_secret_is_sampled_from_its_first_byte_to_its_last() {
        let secret: Vec<u8> = (0..=255).collect();
        let pieces = pieces(&secret);
        assert_eq!(pieces.len(), SAMPLES);
        assert_eq!(pieces.first().unwrap().first(), Some(&0));
        assert_eq!(pieces.last().unwrap().last(), Some(&255));
        let halves = super::pieces(&secret[..41]);
        assert_eq!(halves.concat(), &secret[..41]);
    }

    #[test]
    fn every_form_has_needles_and_no_other_has() {
        let needles = forms_of(b"/?????0123456789abcdefghijklmnopqrst?????=");
        for (form, _) in &needles {
            assert!(FORMS.contains(form), "{form}");
        }
        for form in FORMS {
            assert!(needles.iter().any(|(name, _)| *name == form), "{form}");
        }
    }
}

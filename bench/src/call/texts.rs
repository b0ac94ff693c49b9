//! Replies of one MiB, the same in every run.
use base64::{Engine, prelude::BASE64_STANDARD};

/// The length of every text.
pub(super) const TEXT_BYTES: usize = 1 << 20;

const WORDS: [&str; 16] = [
    "the",
    "connection",
    "of",
    "Server-Id",
    "holds",
    "no",
    "key",
    "/v1/notes/17",
    "reply",
    "UTC",
    "is",
    "read",
    "a1B2-c3D4",
    "2026-11-22",
    "(draft)",
    "before",
];

/// Words in lines of some eighty bytes.
pub(super) fn plain() -> Vec<u8> {
    let mut numbers = Numbers(1);
    filled(|text| {
        for _ in 0..16 {
            text.extend_from_slice(numbers.word().as_bytes());
            text.push(b' ');
        }
        text.push(b'\n');
    })
}

/// JSON without blanks, with an escape in some forty bytes.
pub(super) fn compact_json() -> Vec<u8> {
    members("", ",")
}

/// The same, indented, in lines of some forty bytes.
pub(super) fn indented_json() -> Vec<u8> {
    members("  ", ",\n")
}

/// Names and values, with an escape in each.
fn members(before: &str, after: &str) -> Vec<u8> {
    let mut numbers = Numbers(2);
    let escapes = ["\\\"", "\\n", "\\/", "\\u00e9"];
    let mut next = escapes.iter().cycle();
    filled(|text| {
        let escape = next.next().unwrap_or(&"");
        let mut member = format!("{before}\"name\":\"{escape}");
        while member.len() < 36 {
            member.push(' ');
            member.push_str(numbers.word());
        }
        text.extend_from_slice(format!("{member}\"{after}").as_bytes());
    })
}

/// A JSON string of which every second character is escaped.
pub(super) fn dense() -> Vec<u8> {
    let mut numbers = Numbers(3);
    filled(|text| {
        for letter in numbers.word().bytes() {
            text.extend_from_slice(format!("{}\\u{:04x}", char::from(letter), letter).as_bytes());
        }
    })
}

/// Base64 in lines of 76 characters (RFC 2045 section 6.8).
pub(super) fn base64_lines() -> Vec<u8> {
    let mut numbers = Numbers(4);
    filled(|text| {
        let bytes: Vec<u8> = (0..57).map(|_| numbers.byte()).collect();
        text.extend_from_slice(BASE64_STANDARD.encode(bytes).as_bytes());
        text.extend_from_slice(b"\r\n");
    })
}

fn filled(mut add: impl FnMut(&mut Vec<u8>)) -> Vec<u8> {
    let mut text = Vec::with_capacity(TEXT_BYTES + 1024);
    while text.len() < TEXT_BYTES {
        add(&mut text);
    }
    text.truncate(TEXT_BYTES);
    text
}

/// Numbers of no meaning: xorshift.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[4]
    }

    fn word(&mut self) -> &'static str {
        let index = usize::from(self.byte()) % WORDS.len();
        WORDS.get(index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_what_they_are_called() {
        for text in [
            plain(),
            compact_json(),
            indented_json(),
            dense(),
            base64_lines(),
        ] {
            assert_eq!(text.len(), TEXT_BYTES);
        }
        let escapes = |text: &[u8]| text.iter().filter(|b| **b == b'\\').count();
        assert_eq!(escapes(&plain()), 0);
        for json in [compact_json(), indented_json()] {
            assert!((36..50).contains(&(TEXT_BYTES / escapes(&json))));
        }
        // A character and an escape of six, seven bytes together.
        assert_eq!(TEXT_BYTES.div_ceil(escapes(&dense())), 7);
    }
}

//! The Huffman code of HTTP/2 and HTTP/3 header fields (RFC 7541 appendix B).
//!
//! It is canonical: codes follow from their lengths and the order of the symbols. Only what is
//! shorter than the longest printable symbol's is here.

/// The symbols of each length in bits, in order.
const SYMBOLS: [(u32, &[u8]); 12] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
    (19, b"\\"),
    // Nothing printable is longer.
    (30, b""),
];

/// The whole bytes of `text`'s code when it begins `bits` bits into a byte: what precedes and
/// follows it decides the rest. None, when it holds what has no code here.
pub(super) fn inside(text: &[u8], bits: usize) -> Option<Vec<u8>> {
    let mut code: Vec<bool> = Vec::new();
    for symbol in text {
        let (code_of, length) = code_of(*symbol)?;
        code.extend((0..length).rev().map(|bit| code_of >> bit & 1 == 1));
    }
    let skipped = (8 - bits) % 8;
    let whole = code.get(skipped..)?.as_chunks::<8>().0;
    Some(whole.iter().map(|byte| packed(byte)).collect())
}

fn packed(bits: &[bool]) -> u8 {
    bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))
}

/// The code of a symbol and its length in bits.
fn code_of(symbol: u8) -> Option<(u32, u32)> {
    let (mut code, mut length) = (0, SYMBOLS[0].0);
    for (longer, symbols) in SYMBOLS {
        code <<= longer - length;
        length = longer;
        if let Some(place) = symbols.iter().position(|known| *known == symbol) {
            return Some((code + u32::try_from(place).ok()?, length));
        }
        code += u32::try_from(symbols.len()).ok()?;
    }
    None
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A whole string literal's bytes: padded with ones (RFC 7541 section 5.2).
    pub(in super::super) fn encoded(text: &str) -> Vec<u8> {
        let mut bits: Vec<bool> = Vec::new();
        for symbol in text.bytes() {
            let (code, length) = code_of(symbol).unwrap();
            bits.extend((0..length).rev().map(|bit| code >> bit & 1 == 1));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push(true);
        }
        bits.chunks(8).map(packed).collect()
    }

    #[test]
    fn the_code_is_that_of_the_rfcs_examples() {
        // RFC 7541 sections C.4.1, C.4.3, C.6.1 and C.6.3.
        let examples = [
            ("www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
            ("custom-value", "25a849e95bb8e8b4bf"),
            (
                "Mon, 21 Oct 2013 20:13:21 GMT",
                "d07abe941054d444a8200595040b8166e082a62d1bff",
            ),
            (
                "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
                "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
            ),
        ];
        for (text, expected) in examples {
            assert_eq!(hex::encode(encoded(text)), expected, "{text}");
        }
        // Every code of RFC 7541 appendix B that those leave out and whose length is easy to get wrong.
        for (symbol, code) in [
            (b'!', 0x3f8),
            (b'|', 0x7fc),
            (b'>', 0xffb),
            (b'~', 0x1ffd),
            (b'}', 0x3ffd),
            (b'{', 0x7ffe),
            (b'\\', 0x7fff0),
        ] {
            assert_eq!(code_of(symbol).unwrap().0, code, "{}", char::from(symbol));
        }
    }

    #[test]
    fn what_is_inside_is_there_at_each_offset() {
        let whole = encoded("!a needle of some length");
        // `!` has ten bits, so what follows begins two bits into a byte.
        let needle = inside(b"a needle of some length", 2).unwrap();
        assert!(whole.windows(needle.len()).any(|window| window == needle));
    }
}

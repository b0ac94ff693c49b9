//! A CBOR writer (RFC 8949) that also writes what no encoder would.

/// An item.
#[derive(Clone, Debug)]
pub(crate) enum Cbor {
    Unsigned(u64),
    /// -1 - n.
    Negative(u64),
    Bytes(Vec<u8>),
    Text(String),
    Array(Length, Vec<Cbor>),
    Map(Length, Vec<(Cbor, Cbor)>),
    Null,
    /// Bytes as they are.
    Raw(Vec<u8>),
}

/// How the end of an array or map is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Definite,
    Indefinite,
}

impl Cbor {
    pub(crate) fn bytes(content: &[u8]) -> Self {
        Self::Bytes(content.to_vec())
    }

    pub(crate) fn text(content: &str) -> Self {
        Self::Text(content.to_owned())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unsigned(value) => head(0, *value, out),
            Self::Negative(value) => head(1, *value, out),
            Self::Bytes(content) => {
                head(2, content.len() as u64, out);
                out.extend_from_slice(content);
            }
            Self::Text(content) => {
                head(3, content.len() as u64, out);
                out.extend_from_slice(content.as_bytes());
            }
            Self::Array(length, items) => framed(4, *length, items.len(), out, |out| {
                for item in items {
                    item.write(out);
                }
            }),
            Self::Map(length, pairs) => framed(5, *length, pairs.len(), out, |out| {
                for (key, value) in pairs {
                    key.write(out);
                    value.write(out);
                }
            }),
            Self::Null => out.push(0xf6),
            Self::Raw(bytes) => out.extend_from_slice(bytes),
        }
    }
}

fn framed(
    major: u8,
    length: Length,
    count: usize,
    out: &mut Vec<u8>,
    items: impl FnOnce(&mut Vec<u8>),
) {
    match length {
        Length::Definite => {
            head(major, count as u64, out);
            items(out);
        }
        Length::Indefinite => {
            out.push(major << 5 | 31);
            items(out);
            out.push(0xff);
        }
    }
}

/// The shortest head of an item (RFC 8949 section 4.2.1).
fn head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let [b0, b1, b2, b3, b4, b5, b6, b7] = argument.to_be_bytes();
    let major = major << 5;
    match argument {
        0..=23 => out.push(major | b7),
        24..=0xff => out.extend_from_slice(&[major | 24, b7]),
        0x100..=0xffff => out.extend_from_slice(&[major | 25, b6, b7]),
        0x1_0000..=0xffff_ffff => out.extend_from_slice(&[major | 26, b4, b5, b6, b7]),
        _ => out.extend_from_slice(&[major | 27, b0, b1, b2, b3, b4, b5, b6, b7]),
    }
}

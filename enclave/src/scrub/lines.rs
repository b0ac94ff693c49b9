//! What may stand anywhere in a text and says nothing: line breaks, and the NUL bytes of UTF-16 and
//! UTF-32.
use memchr::memchr3;

use crate::wipe::WipedBuffer;

/// The blanks after a line end that belong to the break.
pub(super) const MAX_INDENTATION: usize = 8;

/// What a break has beside the line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// Indentation.
    Text,
    /// The values of fields: a server that puts several lines into one writes blanks between them.
    Fields,
    /// `data:`, too, with which server-sent events begin the lines of what they carry.
    Events,
}

/// What says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Void {
    /// A line break of so many bytes, without indentation.
    Break(usize),
    /// So many NUL bytes.
    Nul(usize),
}

impl Lines {
    /// Where the next line break or NUL byte is.
    pub(super) fn find(self, text: &[u8]) -> Option<usize> {
        match self {
            Self::Text | Self::Events => memchr3(b'\n', b'\r', 0, text),
            // Neither CR nor NUL can be in a field (RFC 9110 section 5.5).
            Self::Fields => memchr3(b'\n', b' ', b'\t', text),
        }
    }

    /// What is at the start of `from`, where [`Self::find`] found something.
    pub(super) fn void(self, from: &[u8]) -> Void {
        const DATA: &[u8] = b"data:";
        let is_line_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        let line_ends = from.iter().take_while(is_line_end).count();
        let next_line = from.get(line_ends..).unwrap_or_default();
        match self {
            _ if from.first() == Some(&0) => {
                Void::Nul(from.iter().take_while(|byte| **byte == 0).count())
            }
            Self::Events if next_line.starts_with(DATA) => {
                let after = next_line.get(DATA.len()..).unwrap_or_default();
                Void::Break(line_ends + DATA.len() + usize::from(after.starts_with(b" ")))
            }
            Self::Fields => Void::Break(1),
            Self::Text | Self::Events => Void::Break(line_ends),
        }
    }
}

/// Whether a byte may be indentation.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `text` without line breaks and NUL bytes.
pub(super) fn without_breaks(text: &[u8]) -> WipedBuffer {
    let mut joined = WipedBuffer::with_capacity(text.len());
    let mut indentation = 0;
    for byte in text {
        match byte {
            b'\r' | b'\n' => indentation = MAX_INDENTATION,
            0 => {}
            byte if indentation > 0 && is_blank(*byte) => indentation -= 1,
            byte => {
                joined.append(&[*byte]);
                indentation = 0;
            }
        }
    }
    joined
}

//! Line breaks, which may stand anywhere in an encoded text.
use crate::wipe::WipedBuffer;

/// The blanks after a line end that belong to the break.
pub(super) const MAX_INDENTATION: usize = 8;

/// What a break has beside the line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// Indentation.
    OfText,
    /// `data:`, too, with which server-sent events begin the lines of what they carry.
    OfEvents,
}

impl Lines {
    /// The length of the break at the start of `from`, one line end or several, without
    /// indentation.
    pub(super) fn break_length(self, from: &[u8]) -> usize {
        const DATA: &[u8] = b"data:";
        let is_line_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        let line_ends = from.iter().take_while(is_line_end).count();
        let next_line = from.get(line_ends..).unwrap_or_default();
        match self {
            Self::OfEvents if next_line.starts_with(DATA) => line_ends + DATA.len(),
            Self::OfEvents | Self::OfText => line_ends,
        }
    }
}

/// Whether a byte may be indentation.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `text` without line breaks.
pub(super) fn without_breaks(text: &[u8]) -> WipedBuffer {
    let mut joined = WipedBuffer::with_capacity(text.len());
    let mut indentation = 0;
    for byte in text {
        match byte {
            b'\r' | b'\n' => indentation = MAX_INDENTATION,
            byte if indentation > 0 && is_blank(*byte) => indentation -= 1,
            byte => {
                joined.append(&[*byte]);
                indentation = 0;
            }
        }
    }
    joined
}

//! What a block of bytes consists of, a bit for each byte.
#[cfg(any(not(target_arch = "x86_64"), test))]
mod portable;
#[cfg(target_arch = "x86_64")]
mod sse2;

#[cfg(not(target_arch = "x86_64"))]
use self::portable as compare;
#[cfg(target_arch = "x86_64")]
use self::sse2 as compare;
use crate::scrub::lines::Lines;

/// As many as a mask has bits.
pub(super) const BLOCK_BYTES: usize = 64;

/// Characters that end a stretch of text which could hold a form: no form has them, nor has an
/// escape or a line break in one. There are others; these are frequent.
pub(in crate::scrub) struct Stops {
    /// Each as often as is compared at once.
    bytes: [[u8; LANE_BYTES]; STOPS],
    /// Which of the following count, as masks: `bytes`, what is not ASCII, and blanks, but for
    /// indentation.
    compared: u64,
    not_ascii: u64,
    blanks: u64,
}

/// More would cost more than they save.
const STOPS: usize = 8;

/// As many as are compared at once.
const LANE_BYTES: usize = 16;

/// In the order in which texts have them.
const FREQUENT: &[u8] = b"\",:.<>()[]'*!?@|$`^~";

impl Stops {
    /// Those for which `is_free` holds: nothing that forms consist of has them.
    pub(in crate::scrub) fn new(is_free: impl Fn(u8) -> bool) -> Self {
        let mask_if = |holds: bool| if holds { u64::MAX } else { 0 };
        // No blank: one may be indentation, and then it ends nothing.
        let other = (b'!'..=u8::MAX).rev().find(|byte| is_free(*byte));
        let mut bytes = [[other.unwrap_or_default(); LANE_BYTES]; STOPS];
        let frequent = FREQUENT.iter().filter(|byte| is_free(**byte));
        for (place, byte) in bytes.iter_mut().zip(frequent) {
            *place = [*byte; LANE_BYTES];
        }
        Self {
            bytes,
            compared: mask_if(other.is_some()),
            not_ascii: mask_if((0x80..=u8::MAX).all(&is_free)),
            blanks: mask_if(is_free(b' ')),
        }
    }
}

/// Which bytes of a block are what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Masks {
    /// Of [`Stops`], but blanks.
    pub(super) stops: u64,
    /// Of [`Stops`], unless they are indentation.
    pub(super) blanks: u64,
    /// After which blanks are indentation: line ends, tabs, and the NUL bytes of UTF-16.
    pub(super) line_ends: u64,
    /// With which escapes begin.
    pub(super) introducers: u64,
}

impl Masks {
    /// Those of `block`.
    #[inline]
    pub(super) fn of(block: &[u8; BLOCK_BYTES], stops: &Stops, lines: Lines) -> Self {
        let found = compare::found(block, &stops.bytes);
        let masks = Self {
            stops: found.stops & stops.compared | found.not_ascii & stops.not_ascii,
            blanks: found.spaces & stops.blanks,
            line_ends: found.controls,
            introducers: found.introducers,
        };
        match lines {
            Lines::Text => masks,
            // Each blank is taken for a line break.
            Lines::Fields => Self { blanks: 0, ..masks },
            // `data:` with the blank after it is.
            Lines::Events => {
                let colons = compare::colons(block);
                Self {
                    stops: masks.stops & !colons,
                    line_ends: masks.line_ends | colons,
                    ..masks
                }
            }
        }
    }
}

/// What is where in a block.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    stops: u64,
    not_ascii: u64,
    spaces: u64,
    /// ASCII's control characters.
    controls: u64,
    introducers: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_compare_find_the_same() {
        let mut block = [0; BLOCK_BYTES];
        for start in 0..=u8::MAX {
            for (at, byte) in block.iter_mut().enumerate() {
                let at = u8::try_from(at).unwrap();
                *byte = start.wrapping_mul(7).wrapping_add(at.wrapping_mul(5));
            }
            let stops = b"\",:.<>()".map(|byte| [byte; LANE_BYTES]);
            assert_eq!(
                compare::found(&block, &stops),
                portable::found(&block, &stops)
            );
            assert_eq!(compare::colons(&block), portable::colons(&block));
        }
    }

    #[test]
    fn each_mask_has_the_bytes_it_is_of() {
        let mut block = [b'x'; BLOCK_BYTES];
        for (place, byte) in block.iter_mut().zip(*b"\"\xc3 \t\n\r\0\\%&:") {
            *place = byte;
        }
        let stops = Stops::new(|byte| !byte.is_ascii_alphanumeric());
        let text = Masks::of(&block, &stops, Lines::Text);
        let expected = Masks {
            stops: 0b100_0000_0011,
            blanks: 0b100,
            line_ends: 0b111_1000,
            introducers: 0b11_1000_0000,
        };
        assert_eq!(text, expected);
        let fields = Masks::of(&block, &stops, Lines::Fields);
        assert_eq!(
            fields,
            Masks {
                blanks: 0,
                ..expected
            }
        );
        let events = Masks {
            stops: 0b11,
            line_ends: 0b100_0111_1000,
            ..expected
        };
        assert_eq!(Masks::of(&block, &stops, Lines::Events), events);
        // With a form that has some of them.
        let stops = Stops::new(|byte| byte == b':');
        let only_colons = Masks {
            stops: 0b100_0000_0000,
            blanks: 0,
            ..expected
        };
        assert_eq!(Masks::of(&block, &stops, Lines::Text), only_colons);
        let stops = Stops::new(|byte| byte == b' ');
        let only_blanks = Masks {
            stops: 0,
            ..expected
        };
        assert_eq!(Masks::of(&block, &stops, Lines::Text), only_blanks);
        let stops = Stops::new(|_| false);
        assert_eq!(Masks::of(&block, &stops, Lines::Text).stops, 0);
    }
}

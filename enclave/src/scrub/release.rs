//! A part of a window on its way out.
use core::ops::Range;

use super::REDACTED;

/// What the caller has of the bytes before a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    AsSent,
    Redacted,
}

/// Appends a part of `window` to `out`, each hit replaced by a marker; `shown` is what stands
/// before it. Returns how far the bytes are dealt with: the part's end, or the end of the hit that
/// lies across it.
pub(super) fn release(
    window: &[u8],
    hits: &[Range<usize>],
    part: Range<usize>,
    shown: Shown,
    out: &mut Vec<u8>,
) -> usize {
    let mut at = part.start;
    let of_part = |hit: &&Range<usize>| hit.end > part.start;
    let hits = hits.iter().take_while(|hit| hit.start < part.end);
    for hit in hits.filter(of_part) {
        let goes_on = hit.start < at && shown == Shown::Redacted;
        if !goes_on {
            // Where its beginning is out, the rest goes.
            out.extend_from_slice(window.get(at..hit.start).unwrap_or_default());
            out.extend_from_slice(REDACTED);
        }
        at = hit.end;
    }
    if at < part.end {
        out.extend_from_slice(window.get(at..part.end).unwrap_or_default());
    }
    at.max(part.end)
}

//! Where a text stands in another.
use core::ops::Range;

use memchr::memmem;

use super::work;

/// Calls `found` for each occurrence of `needle`, overlapping ones too, in time linear in `bytes`.
/// Occurrences that overlap at an even step come as one range.
pub(super) fn occurrences(needle: &[u8], bytes: &[u8], mut found: impl FnMut(Range<usize>)) {
    let length = needle.len();
    if length == 0 || bytes.len() < length {
        return;
    }
    let finder = memmem::Finder::new(needle);
    let mut from = 0;
    let mut previous: Option<usize> = None;
    while let Some(at) = bytes.get(from..).and_then(|rest| finder.find(rest)) {
        work::done(at + length);
        let start = from + at;
        let mut end = start + length;
        let step = previous
            .map(|p| start - p)
            .filter(|step| step * 2 <= length);
        if let Some(step) = step {
            // Two occurrences a short step apart: the needle repeats itself at that step, and
            // occurrences go on for as long as the bytes do. Comparing each one whole would take
            // length × bytes.
            while end < bytes.len() && bytes.get(end) == bytes.get(end - step) {
                end += 1;
            }
            work::done(end - start - length);
            end -= (end - start - length) % step;
        }
        found(start..end);
        previous = Some(end - length);
        from = end - length + 1;
    }
    work::done(bytes.len() - from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrub::search::merged;

    fn found(needle: &str, bytes: &str) -> Vec<Range<usize>> {
        let mut all = Vec::new();
        occurrences(needle.as_bytes(), bytes.as_bytes(), |hit| all.push(hit));
        merged(all)
    }

    #[test]
    fn finds_overlapping_occurrences() {
        assert_eq!(found("abab", "xababababx"), vec![1..9]);
        assert_eq!(found("aba", "abaxababa"), vec![0..3, 4..9]);
        assert_eq!(found("xabx", "xabxabx-xabx"), vec![0..7, 8..12]);
        assert_eq!(found("aaaa", &"a".repeat(100)), vec![0..100]);
        assert_eq!(found("abc", "ab"), vec![]);
    }

    #[test]
    fn a_needle_that_repeats_itself_costs_no_more() {
        let length = 256 * 1024;
        for unit in ["a", "ab", "abc", "aab", "aaaaaaab"] {
            let needle = unit.repeat(16 * 1024 / unit.len());
            let bytes = unit.repeat(length / unit.len());
            let done = work::counted(|| {
                assert_eq!(found(&needle, &bytes).len(), 1);
            });
            assert!(done <= 4 * length, "{unit} {done}");
        }
    }
}

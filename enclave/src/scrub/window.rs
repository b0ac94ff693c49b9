//! A window of bytes, of which most often little is looked into.
use core::ops::Range;

use super::{
    End,
    form::Forms,
    run::{Reading, stretches},
    search::{Views, merged},
};

/// What is searched at once, in the stretches that could hold a form.
pub(super) struct Window<'w> {
    bytes: &'w [u8],
    stretches: Vec<Stretch<'w>>,
}

/// One stretch.
struct Stretch<'w> {
    at: Range<usize>,
    views: Views<'w>,
}

impl<'w> Window<'w> {
    /// Finds the stretches of `bytes` and decodes them.
    pub(super) fn new(bytes: &'w [u8], reading: Reading<'w>) -> Self {
        let stretch = |at: Range<usize>| {
            let end = match at.end == bytes.len() {
                true => reading.end,
                // What follows is part of no form and no escape.
                false => End::Closed,
            };
            let text = bytes.get(at.clone()).unwrap_or_default();
            let views = Views::new(text, Reading { end, ..reading });
            Stretch { at, views }
        };
        let stretches = stretches(bytes, reading).into_iter().map(stretch).collect();
        Self { bytes, stretches }
    }

    /// The parts that hold a form, in order, none overlapping another.
    pub(super) fn hits(&self, forms: &Forms) -> Vec<Range<usize>> {
        let mut hits = Vec::new();
        for Stretch { at, views } in &self.stretches {
            let inside = views.hits(forms).into_iter();
            hits.extend(inside.map(|hit| at.start + hit.start..at.start + hit.end));
        }
        if !hits.is_empty() {
            // What stands around the secret in a needle may be of any characters.
            forms.find_containing(self.bytes, |hit| hits.push(hit));
        }
        merged(hits)
    }

    /// The last place at or before `at` where decoding may begin anew: see [`Views::boundary`].
    pub(super) fn boundary(&self, at: usize) -> usize {
        let following = self.stretches.partition_point(|s| s.at.start < at);
        let last = following.checked_sub(1);
        match last.and_then(|last| self.stretches.get(last)) {
            Some(Stretch { at: inside, views }) if at < inside.end => {
                inside.start + views.boundary(at - inside.start)
            }
            _ => at,
        }
    }

    /// By how much the views are shorter than what they are of, in all.
    pub(super) fn undone(&self) -> usize {
        self.stretches.iter().map(|s| s.views.undone()).sum()
    }
}

//! A window of bytes, of which most often little is looked into.
use core::ops::Range;

use super::{
    End,
    form::Forms,
    run::{Reading, long_runs},
    search::{Views, merged},
};

/// What is searched at once, in the stretches that could hold a form.
pub(super) struct Window<'w> {
    bytes: &'w [u8],
    runs: Vec<Run<'w>>,
}

/// One stretch.
struct Run<'w> {
    at: Range<usize>,
    views: Views<'w>,
}

impl<'w> Window<'w> {
    /// Finds the stretches of `bytes` and decodes them.
    pub(super) fn new(bytes: &'w [u8], reading: Reading<'w>) -> Self {
        let run = |at: Range<usize>| {
            let end = match at.end == bytes.len() {
                true => reading.end,
                // What follows is part of no form and no escape.
                false => End::Closed,
            };
            let text = bytes.get(at.clone()).unwrap_or_default();
            let views = Views::new(text, Reading { end, ..reading });
            Run { at, views }
        };
        let runs = long_runs(bytes, reading).into_iter().map(run).collect();
        Self { bytes, runs }
    }

    /// The parts that hold a form, in order, none overlapping another.
    pub(super) fn hits(&self, forms: &Forms) -> Vec<Range<usize>> {
        let mut hits = Vec::new();
        for run in &self.runs {
            let of_run = run.views.hits(forms).into_iter();
            hits.extend(of_run.map(|hit| run.at.start + hit.start..run.at.start + hit.end));
        }
        if !hits.is_empty() {
            // What stands around the secret in a needle may be of any characters.
            forms.find_containing(self.bytes, |hit| hits.push(hit));
        }
        merged(hits)
    }

    /// The last place at or before `at` where decoding may begin anew: see [`Views::boundary`].
    pub(super) fn boundary(&self, at: usize) -> usize {
        let following = self.runs.partition_point(|run| run.at.start < at);
        match following
            .checked_sub(1)
            .and_then(|last| self.runs.get(last))
        {
            Some(run) if at < run.at.end => run.at.start + run.views.boundary(at - run.at.start),
            _ => at,
        }
    }

    /// By how much the views are shorter than what they are of, in all.
    pub(super) fn undone(&self) -> usize {
        self.runs.iter().map(|run| run.views.undone()).sum()
    }
}

//! Where the forms of a secret stand in a window of bytes.
use core::ops::Range;

use memchr::memmem;

use super::{
    End,
    escape::Scheme,
    form::{Around, Form, Forms, Place},
    view::View,
};

/// The order in which escapes are undone where several lie over or beside each other. A browser or
/// a template engine applies them in the reverse order; twice, for what is escaped twice.
const CHAIN: [Scheme; 6] = [
    Scheme::Json,
    Scheme::Html,
    Scheme::Percent,
    Scheme::Json,
    Scheme::Html,
    Scheme::Percent,
];

/// Farther back than this no boundary is looked for: see [`Views::boundary`].
pub(super) const MAX_BOUNDARY_BYTES: usize = 1024;

/// A window and its decoded views.
pub(super) struct Views<'w> {
    window: &'w [u8],
    end: End,
    views: Vec<(View, Parent)>,
}

/// What a view was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parent {
    Window,
    View(usize),
}

impl<'w> Views<'w> {
    /// Decodes `window` by each scheme alone, and by all in turn.
    pub(super) fn new(window: &'w [u8], end: End) -> Self {
        let mut views = Self {
            window,
            end,
            views: Vec::new(),
        };
        let mut alone = [None; 3];
        for (place, scheme) in alone.iter_mut().zip(CHAIN) {
            *place = views.decode(scheme, Parent::Window);
        }
        let mut latest = Parent::Window;
        for (step, scheme) in CHAIN.into_iter().enumerate() {
            let next = match (latest, alone.get(step)) {
                (Parent::Window, Some(known)) => *known,
                _ => views.decode(scheme, latest),
            };
            latest = next.map_or(latest, Parent::View);
        }
        views
    }

    fn decode(&mut self, scheme: Scheme, parent: Parent) -> Option<usize> {
        let view = View::decode(scheme, self.bytes(parent), self.end)?;
        self.views.push((view, parent));
        Some(self.views.len() - 1)
    }

    fn bytes(&self, of: Parent) -> &[u8] {
        match of {
            Parent::Window => self.window,
            Parent::View(index) => self.views.get(index).map_or(&[], |(view, _)| view.bytes()),
        }
    }

    fn to_window(&self, mut range: Range<usize>, mut of: Parent) -> Range<usize> {
        while let Parent::View(index) = of {
            let Some((view, parent)) = self.views.get(index) else {
                break;
            };
            range = view.to_input(range);
            of = *parent;
        }
        range
    }

    /// The parts of the window that hold a form, in order, none overlapping another.
    pub(super) fn hits(&self, forms: &Forms) -> Vec<Range<usize>> {
        let mut hits = Vec::new();
        for (form, needle) in forms.iter() {
            self.search(form, needle, Parent::Window, &mut hits);
            if form.place == Place::Everywhere {
                for index in 0..self.views.len() {
                    self.search(form, needle, Parent::View(index), &mut hits);
                }
            }
        }
        merged(hits)
    }

    fn search(&self, form: &Form, needle: &[u8], of: Parent, hits: &mut Vec<Range<usize>>) {
        let bytes = self.bytes(of);
        occurrences(needle, bytes, |hit| {
            if let Some(whole) = widened(hit, form.around, bytes, self.end) {
                hits.push(self.to_window(whole, of));
            }
        });
    }

    /// The last place at or before `at` where no view has an escape across it, so that decoding
    /// may begin anew there.
    ///
    /// Escapes within escapes could keep that from being anywhere near. Then only escapes in the
    /// window itself count, of which none lies across another: each begins with a character that
    /// the others do not have inside.
    pub(super) fn boundary(&self, at: usize) -> usize {
        let far = at.saturating_sub(MAX_BOUNDARY_BYTES);
        match self.boundary_among(at, far, |_| true) {
            boundary if boundary >= far => boundary,
            _ => self.boundary_among(at, 0, |parent| parent == Parent::Window),
        }
    }

    /// As [`Self::boundary`], among some views; gives up before `far`.
    fn boundary_among(&self, mut at: usize, far: usize, counts: impl Fn(Parent) -> bool) -> usize {
        loop {
            let before = at;
            for (index, (view, parent)) in self.views.iter().enumerate() {
                if counts(*parent) {
                    at = self.before_escape(index, view, at);
                }
            }
            if at == before || at < far {
                return at;
            }
        }
    }

    /// The start of the escape that lies across `at`, or `at`.
    fn before_escape(&self, index: usize, view: &View, at: usize) -> usize {
        let parent = self
            .views
            .get(index)
            .map_or(Parent::Window, |(_, parent)| *parent);
        let in_window = |input: &Range<usize>| self.to_window(input.clone(), parent);
        let escapes = view.escapes();
        let following = escapes.partition_point(|escape| in_window(&escape.input).start < at);
        let last = following.checked_sub(1).and_then(|last| escapes.get(last));
        match last.map(|escape| in_window(&escape.input)) {
            Some(range) if at < range.end => range.start,
            _ => at,
        }
    }
}

/// Calls `found` for each occurrence of `needle`, overlapping ones too, in time linear in `bytes`.
fn occurrences(needle: &[u8], bytes: &[u8], mut found: impl FnMut(Range<usize>)) {
    let length = needle.len();
    if length == 0 || bytes.len() < length {
        return;
    }
    let finder = memmem::Finder::new(needle);
    let mut from = 0;
    let mut previous: Option<usize> = None;
    while let Some(at) = bytes.get(from..).and_then(|rest| finder.find(rest)) {
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
            end -= (end - start - length) % step;
        }
        found(start..end);
        previous = Some(end - length);
        from = end - length + 1;
    }
}

/// A hit with the base64 characters around it that hold bits of the secret; `None` when the window
/// does not yet show all of them.
fn widened(hit: Range<usize>, around: Around, bytes: &[u8], end: End) -> Option<Range<usize>> {
    let before = bytes.get(..hit.start).unwrap_or_default();
    let after = bytes.get(hit.end..).unwrap_or_default();
    let left = before
        .iter()
        .rev()
        .take(around.before)
        .take_while(|b| is_base64(**b))
        .count();
    let in_quantum = |b: u8| is_base64(b) || b == b'=';
    let right = after
        .iter()
        .take(around.after)
        .take_while(|b| in_quantum(**b))
        .count();
    if end == End::Open && right < around.after && right == after.len() {
        return None;
    }
    Some(hit.start - left..hit.end + right)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Sorts and joins what overlaps. What merely touches stays apart: a window may end between.
fn merged(mut hits: Vec<Range<usize>>) -> Vec<Range<usize>> {
    hits.sort_unstable_by_key(|hit| hit.start);
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(hits.len());
    for hit in hits {
        match joined.last_mut() {
            Some(last) if hit.start < last.end => last.end = last.end.max(hit.end),
            _ => joined.push(hit),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let needle = "a".repeat(16 * 1024);
        let bytes = "a".repeat(4 * 1024 * 1024);
        let start = std::time::Instant::now();
        assert_eq!(found(&needle, &bytes), vec![0..bytes.len()]);
        assert!(start.elapsed().as_secs() < 5);
    }

    #[test]
    fn a_boundary_is_where_no_escape_lies_across() {
        let window = br"a\u0026#34;b%41c";
        let views = Views::new(window, End::Closed);
        let boundaries: Vec<usize> = (0..=window.len()).map(|at| views.boundary(at)).collect();
        // `\u0026#34;` is one escape, 1 to 11, as `&#34;` in the JSON view.
        assert_eq!(
            boundaries,
            [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 11, 12, 12, 12, 15, 16]
        );
    }
}

//! Where the forms of a secret stand in a window of bytes.
use core::ops::Range;

use memchr::memchr2;

use super::{
    escape::Scheme,
    form::{Around, Forms},
    run::Reading,
    view::{Input, View},
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

/// Nor oftener: each time, all views are asked. What servers write has one after two or three.
const MAX_BOUNDARY_ROUNDS: usize = 16;

/// A window, without its line breaks and NUL bytes, and its decoded views.
///
/// Forms have no line breaks either, so that one which came without any is found in the same place.
pub(super) struct Views<'w> {
    window: &'w [u8],
    reading: Reading<'w>,
    views: Vec<(View, Parent)>,
    /// The window without line breaks.
    joined: Parent,
    /// That, with all schemes' escapes undone in turn.
    all_undone: Parent,
    /// Whether any text so far may have escapes other than JSON's.
    has_others: bool,
}

/// What a view was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parent {
    Window,
    View(usize),
}

impl<'w> Views<'w> {
    /// Decodes `window` by each scheme alone, once and twice, and by all in turn.
    pub(super) fn new(window: &'w [u8], reading: Reading<'w>) -> Self {
        let Reading {
            alphabet, lines, ..
        } = reading;
        let mut views = Self {
            window,
            reading,
            views: Vec::new(),
            joined: Parent::Window,
            all_undone: Parent::Window,
            has_others: false,
        };
        if let Some(view) = View::without_breaks(window, lines, alphabet) {
            views.joined = views.add(view, Parent::Window);
        }
        let joined = views.joined;
        // One look for two schemes, of which most texts have neither.
        views.has_others = memchr2(b'&', b'%', views.decoded(joined).bytes).is_some();
        let mut alone = [None; 3];
        for (place, scheme) in alone.iter_mut().zip(CHAIN) {
            *place = views.decode(scheme, joined);
        }
        for (alone, scheme) in alone.into_iter().zip(CHAIN) {
            if let Some(once) = alone.filter(|once| !views.is_done(scheme, *once)) {
                views.decode(scheme, once);
            }
        }
        let mut latest = joined;
        for (step, scheme) in CHAIN.into_iter().enumerate() {
            let next = match alone.get(step) {
                Some(known) if latest == joined => *known,
                // No scheme has decoded anything.
                None if latest == joined => None,
                // Nothing was decoded since by any other scheme.
                _ if views.is_done(scheme, latest) => None,
                _ => views.decode(scheme, latest),
            };
            latest = next.unwrap_or(latest);
        }
        views.all_undone = latest;
        views
    }

    /// Whether a view was decoded by this scheme, and nothing of it is left.
    fn is_done(&self, scheme: Scheme, of: Parent) -> bool {
        let Parent::View(index) = of else {
            return false;
        };
        let view = self.views.get(index);
        view.is_some_and(|(view, _)| view.done() == Some(scheme))
    }

    fn decode(&mut self, scheme: Scheme, parent: Parent) -> Option<Parent> {
        if scheme != Scheme::Json && !self.has_others {
            return None;
        }
        let view = View::decode(scheme, self.decoded(parent), self.reading)?;
        self.has_others |= view.has_introducers();
        Some(self.add(view, parent))
    }

    fn add(&mut self, view: View, parent: Parent) -> Parent {
        self.views.push((view, parent));
        Parent::View(self.views.len() - 1)
    }

    /// The window without line breaks.
    pub(super) fn joined(&self) -> &[u8] {
        self.decoded(self.joined).bytes
    }

    /// The window without line breaks, all escapes undone in turn.
    pub(super) fn all_undone(&self) -> &[u8] {
        self.decoded(self.all_undone).bytes
    }

    fn decoded(&self, of: Parent) -> Input<'_> {
        let window = Input {
            bytes: self.window,
            breaks: &[],
        };
        match of {
            Parent::Window => window,
            Parent::View(index) => self
                .views
                .get(index)
                .map_or(window, |(view, _)| view.decoded()),
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
        self.search(forms, self.joined, &mut hits);
        for index in 0..self.views.len() {
            if self.joined != Parent::View(index) {
                self.search(forms, Parent::View(index), &mut hits);
            }
        }
        merged(hits)
    }

    fn search(&self, forms: &Forms, of: Parent, hits: &mut Vec<Range<usize>>) {
        forms.find(self.decoded(of).bytes, |hit, around| {
            hits.push(self.to_window(self.widened(hit, around, of), of));
        });
    }

    /// A hit with the base64 characters around it that hold bits of the secret. What a line break
    /// parts from it is left: it may be other text.
    fn widened(&self, hit: Range<usize>, around: Around, of: Parent) -> Range<usize> {
        let bytes = self.decoded(of).bytes;
        let is_inside = |at: usize| bytes.get(at).is_some_and(|b| is_base64(*b));
        let is_in_quantum = |at: usize| is_inside(at) || bytes.get(at) == Some(&b'=');
        let Range { mut start, mut end } = hit;
        for _ in 0..around.before {
            match start.checked_sub(1) {
                Some(before) if is_inside(before) && self.adjoins(start, of) => start = before,
                _ => break,
            }
        }
        for _ in 0..around.after {
            if !is_in_quantum(end) || !self.adjoins(end, of) {
                break;
            }
            end += 1;
        }
        start..end
    }

    /// Whether the bytes of a view before and after `at` stand side by side in the window.
    fn adjoins(&self, at: usize, of: Parent) -> bool {
        let before = self.to_window(at.saturating_sub(1)..at, of);
        let after = self.to_window(at..at + 1, of);
        before.end == after.start
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
            Some(boundary) => boundary,
            None => {
                let nearest = self.boundary_among(at, 0, |parent| parent == self.joined);
                nearest.unwrap_or(at)
            }
        }
    }

    /// As [`Self::boundary`], among some views; gives up before `far`, and after some rounds.
    fn boundary_among(
        &self,
        mut at: usize,
        far: usize,
        counts: impl Fn(Parent) -> bool,
    ) -> Option<usize> {
        for _ in 0..MAX_BOUNDARY_ROUNDS {
            let before = at;
            for (index, (view, parent)) in self.views.iter().enumerate() {
                if self.joined != Parent::View(index) && counts(*parent) {
                    at = self.before_escape(index, view, at);
                }
            }
            if at < far {
                return None;
            }
            if at == before {
                return Some(at);
            }
        }
        None
    }

    /// By how much the views of a view are shorter than that: no form is longer by more than that
    /// for its escapes.
    pub(super) fn undone(&self) -> usize {
        let of_escapes = |(index, _): &(usize, _)| self.joined != Parent::View(*index);
        let shortened = |(_, (view, parent)): (usize, &(View, Parent))| {
            let before = self.decoded(*parent).bytes.len();
            before.saturating_sub(view.decoded().bytes.len())
        };
        let views = self.views.iter().enumerate();
        views.filter(of_escapes).map(shortened).sum()
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

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// Sorts and joins what overlaps. What merely touches stays apart: a window may end between.
pub(super) fn merged(mut hits: Vec<Range<usize>>) -> Vec<Range<usize>> {
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
    use crate::scrub::{End, alphabet::Alphabet, lines::Lines};

    fn reading(alphabet: &Alphabet, end: End) -> Reading<'_> {
        let lines = Lines::Text;
        Reading {
            alphabet,
            lines,
            end,
        }
    }

    #[test]
    fn a_boundary_is_where_no_escape_lies_across() {
        let window = br"a\u0026#34;b%41c";
        let alphabet = Alphabet::new([&b"\""[..]].into_iter());
        let views = Views::new(window, reading(&alphabet, End::Closed));
        let boundaries: Vec<usize> = (0..=window.len()).map(|at| views.boundary(at)).collect();
        // `\u0026#34;` is one escape, 1 to 11, as `&#34;` in the JSON view.
        assert_eq!(
            boundaries,
            [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 11, 12, 12, 12, 15, 16]
        );
    }

    #[test]
    fn a_run_without_a_boundary_is_not_followed_to_its_start() {
        // In the JSON view of the HTML view, pairs of backslashes lie across those of the others.
        let window = format!("&#92;{}", r"\\&#92;".repeat(200));
        let alphabet = Alphabet::new([&b"\\"[..]].into_iter());
        let views = Views::new(window.as_bytes(), reading(&alphabet, End::Open));
        let at = window.len() - 9;
        assert_eq!(views.boundary_among(at, 0, |_| true), None);
        let boundary = views.boundary(at);
        assert!((at - 7..=at).contains(&boundary), "{boundary} of {at}");
    }
}

//! Numbers that follow each other.
use serde::Serialize;

/// Numbers from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

impl Span {
    /// How many there are.
    pub fn count(&self) -> u64 {
        self.to.saturating_sub(self.from).saturating_add(1)
    }

    /// Ascending numbers, those that follow each other taken together.
    pub(super) fn of(numbers: impl IntoIterator<Item = u64>) -> Vec<Self> {
        let mut spans: Vec<Self> = Vec::new();
        for number in numbers {
            match spans.last_mut() {
                Some(last) if last.to.checked_add(1) == Some(number) => last.to = number,
                _ => spans.push(Self {
                    from: number,
                    to: number,
                }),
            }
        }
        spans
    }

    /// What lies between ascending numbers, the first of which follows `before`.
    pub(super) fn between(before: u64, numbers: impl IntoIterator<Item = u64>) -> Vec<Self> {
        let mut spans = Vec::new();
        let mut next = before.saturating_add(1);
        for number in numbers {
            if number > next {
                spans.push(Self {
                    from: next,
                    to: number.saturating_sub(1),
                });
            }
            next = number.saturating_add(1);
        }
        spans
    }
}

impl core::fmt::Display for Span {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self { from, to } if from == to => write!(f, "{from}"),
            Self { from, to } => write!(f, "{from} to {to}"),
        }
    }
}

/// Spans of some kind as one list for a sentence, and the rest of a long one as a number.
pub(super) fn list(kind: &str, spans: &[Span]) -> String {
    const SHOWN: usize = 5;
    let kind = match spans {
        [Span { from, to }] if from == to => kind.to_owned(),
        _ => format!("{kind}s"),
    };
    let shown: Vec<String> = spans.iter().take(SHOWN).map(Span::to_string).collect();
    let rest = spans.get(SHOWN..).unwrap_or_default();
    // What numbers are claimed, nobody need have signed for: they may be as large as can be.
    match rest.iter().map(Span::count).fold(0, u64::saturating_add) {
        0 => format!("{kind} {}", shown.join(", ")),
        more => format!("{kind} {} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(spans: &[Span]) -> Vec<String> {
        spans.iter().map(Span::to_string).collect()
    }

    #[test]
    fn numbers_that_follow_each_other_are_one_span() {
        assert_eq!(texts(&Span::of([])), [""; 0]);
        assert_eq!(texts(&Span::of([3])), ["3"]);
        assert_eq!(
            texts(&Span::of([1, 2, 3, 7, 9, 10])),
            ["1 to 3", "7", "9 to 10"]
        );
        assert_eq!(Span::of([u64::MAX]).len(), 1);
    }

    #[test]
    fn what_is_missing_is_between() {
        assert_eq!(texts(&Span::between(0, [1, 2, 3])), [""; 0]);
        assert_eq!(
            texts(&Span::between(0, [3, 4, 8, 10])),
            ["1 to 2", "5 to 7", "9"]
        );
        assert_eq!(texts(&Span::between(2, [3, 5])), ["4"]);
        let all = [Span {
            from: 1,
            to: u64::MAX - 1,
        }];
        assert_eq!(Span::between(0, [u64::MAX]), all);
        assert_eq!(Span::between(u64::MAX, [u64::MAX]), []);
        assert_eq!(all[0].count(), u64::MAX - 1);
    }

    #[test]
    fn a_long_list_is_cut() {
        let spans = Span::of((0..20).map(|n| n * 2));
        assert_eq!(list("call", &spans), "calls 0, 2, 4, 6, 8 and 15 more");
        assert_eq!(list("call", &spans[..2]), "calls 0, 2");
        assert_eq!(list("call", &spans[1..2]), "call 2");
        let all = Span {
            from: 1,
            to: u64::MAX,
        };
        let cut = format!("and {} more", u64::MAX);
        assert!(list("call", &[all; 7]).ends_with(&cut));
    }
}

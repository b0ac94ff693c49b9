//! What the scrubber must do, in the plainest words: decode the whole body in each way, and try
//! every form at every place.
//!
//! It knows nothing of the crate that it checks, so that the fuzz target can include this file.
#[path = "oracle/escapes.rs"]
mod escapes;
#[path = "oracle/forms.rs"]
mod forms;

use std::ops::Range;

use self::{
    escapes::{Escape, html, json, line_break, percent},
    forms::forms,
};

/// A character of a body, or what an escape in it stands for.
#[derive(Clone)]
struct Character {
    byte: u8,
    /// Where it stood in the body.
    from: Range<usize>,
    /// Whether a line break was before it: no escape goes on after that.
    begins_line: bool,
}

/// A text to look for.
struct Form {
    text: Vec<u8>,
    /// How many base64 characters before and after it hold bits of the secret, too.
    before: usize,
    after: usize,
}

/// Whether a body is a stream of events.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Events,
}

/// The body without the secret.
pub(super) fn redacted(needles: &[&[u8]], body: &[u8], kind: Kind) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    for hit in hits(needles, body, kind) {
        out.extend_from_slice(&body[at..hit.start]);
        out.extend_from_slice(b"[redacted]");
        at = hit.end;
    }
    out.extend_from_slice(&body[at..]);
    out
}

/// Where a form stands in the body. What overlaps is one hit.
pub(super) fn hits(needles: &[&[u8]], body: &[u8], kind: Kind) -> Vec<Range<usize>> {
    let forms: Vec<Form> = (0..needles.len())
        .flat_map(|at| forms(needles[at], &needles[..at]))
        .collect();
    let has_data = needles
        .iter()
        .any(|needle| position(needle, b"data:").is_some());
    let kind = if has_data { Kind::Text } else { kind };
    let own = (0..needles.len()).filter(|at| !holds_other(needles[*at], &needles[..*at]));
    let characters = own
        .flat_map(|at| forms::forms(needles[at], &[]))
        .flat_map(|form| form.text);
    let inside: Vec<u8> = characters.chain(*b"%\\&#;{}+/-_=\r\n \t\0").collect();
    let mut all = Vec::new();
    for view in views(body, kind, &inside) {
        for start in 0..view.len() {
            for form in forms
                .iter()
                .filter(|form| stands_at(&form.text, &view[start..]))
            {
                let (first, end) = widened(form, &view, start);
                all.push(view[first].from.start..view[end - 1].from.end);
            }
        }
    }
    all.sort_by_key(|hit| hit.start);
    let mut joined: Vec<Range<usize>> = Vec::new();
    for hit in all {
        match joined.last_mut() {
            Some(last) if hit.start < last.end => last.end = last.end.max(hit.end),
            _ => joined.push(hit),
        }
    }
    joined
}

fn stands_at(form: &[u8], view: &[Character]) -> bool {
    form.len() <= view.len()
        && form
            .iter()
            .zip(view)
            .all(|(byte, character)| byte.eq_ignore_ascii_case(&character.byte))
}

/// The hit at `start` with base64 characters before and after it that stand right beside it.
fn widened(form: &Form, view: &[Character], start: usize) -> (usize, usize) {
    let adjoins = |at: usize| view[at - 1].from.end == view[at].from.start;
    let is_inside =
        |at: usize| view[at].byte.is_ascii_alphanumeric() || b"+/-_".contains(&view[at].byte);
    let (mut first, mut end) = (start, start + form.text.len());
    while first > 0 && start - first < form.before && is_inside(first - 1) && adjoins(first) {
        first -= 1;
    }
    let most = start + form.text.len() + form.after;
    while end < view.len().min(most) && (is_inside(end) || view[end].byte == b'=') && adjoins(end) {
        end += 1;
    }
    (first, end)
}

/// The body without its line breaks and NUL bytes; each scheme's escapes decoded in that, once and
/// twice; and in turn.
fn views(body: &[u8], kind: Kind, inside: &[u8]) -> Vec<Vec<Character>> {
    let characters = body.iter().enumerate();
    let sent: Vec<Character> = characters
        .map(|(at, byte)| Character {
            byte: *byte,
            from: at..at + 1,
            begins_line: false,
        })
        .collect();
    let joined = decoded(&sent, inside, |rest| line_break(rest, kind));
    let schemes = [json, html, percent];
    let mut views = vec![joined.clone()];
    for scheme in schemes {
        let once = decoded(&joined, inside, scheme);
        views.push(decoded(&once, inside, scheme));
        views.push(once);
    }
    views.extend(in_turn(&joined, inside));
    views
}

/// A text after each step, when each scheme's escapes are decoded in turn, twice over.
fn in_turn(text: &[Character], inside: &[u8]) -> Vec<Vec<Character>> {
    let mut steps = Vec::new();
    let mut latest = text.to_vec();
    for scheme in [json, html, percent, json, html, percent] {
        latest = decoded(&latest, inside, scheme);
        steps.push(latest.clone());
    }
    steps
}

/// Some characters with those escapes decoded that mean what may be inside a form, or an escape in
/// it: no form can be where the others are. A line end that one stands for is gone, with up to eight
/// blanks after it.
fn decoded(
    input: &[Character],
    inside: &[u8],
    escape: impl Fn(&[u8]) -> Option<Escape>,
) -> Vec<Character> {
    let bytes: Vec<u8> = input.iter().map(|character| character.byte).collect();
    let mut output: Vec<Character> = Vec::new();
    let (mut indentation, mut begins_line) = (0, false);
    let mut at = 0;
    while at < bytes.len() {
        // No escape is longer than this, and none goes over a line break.
        let most = bytes.len().min(at + 20);
        let next_line = (at + 1..most).find(|next| input[*next].begins_line);
        let (meaning, length) = match escape(&bytes[at..next_line.unwrap_or(most)]) {
            None => (None, 1),
            Some((meaning, length)) => (Some(meaning), length),
        };
        let from = input[at].from.start..input[at + length - 1].from.end;
        begins_line |= input[at].begins_line;
        let is_blank = |byte: u8| byte == b' ' || byte == b'\t';
        match &meaning {
            Some(meaning) if meaning == b"\n" || meaning == b"\r" => {
                begins_line = true;
                indentation = 8;
            }
            Some(meaning) if meaning.is_empty() || meaning == b"\0" => {}
            Some(meaning) if indentation > 0 && meaning.iter().all(|b| is_blank(*b)) => {
                indentation -= 1;
            }
            None if indentation > 0 && is_blank(bytes[at]) => indentation -= 1,
            Some(meaning) if meaning.iter().all(|b| is_any(inside, *b)) => {
                indentation = 0;
                for byte in meaning {
                    output.push(Character {
                        byte: *byte,
                        from: from.clone(),
                        begins_line,
                    });
                    begins_line = false;
                }
            }
            _ => {
                indentation = 0;
                for character in &input[at..at + length] {
                    output.push(Character {
                        begins_line: begins_line || character.begins_line,
                        ..character.clone()
                    });
                    begins_line = false;
                }
            }
        }
        at += length;
    }
    output
}

/// Whether a byte is one of some, in either case, or a letter or digit.
fn is_any(some: &[u8], byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || some.iter().any(|b| b.eq_ignore_ascii_case(&byte))
}

/// The texts that the forms of a needle are.
pub(super) fn encoded(needle: &[u8]) -> Vec<Vec<u8>> {
    let forms = forms::forms(needle, &[]).into_iter();
    forms.map(|form| form.text).collect()
}

/// Whether a needle holds another.
fn holds_other(needle: &[u8], others: &[&[u8]]) -> bool {
    others.iter().any(|other| position(needle, other).is_some())
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

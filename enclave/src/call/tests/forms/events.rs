//! The places in a stream of server-sent events.
use std::sync::Arc;

use super::{
    super::fixture::{Act, write},
    REDACTED,
    place::{After, CHUNKED, END, Place, chunk},
};

/// The head of a stream of events, as it is shown.
const OF_EVENTS: &str = "200\ncontent-type: text/event-stream\n\n";
const EVENTS: &str = "content-type: text/event-stream\r\n\r\n";

/// `text` as the data of an event: each of its lines in a field of its own.
fn data(text: &str) -> String {
    let text = text.replace("\r\n", "\u{1}").replace('\r', "\u{2}");
    let text = text.replace('\n', "\ndata: ");
    text.replace('\u{1}', "\r\ndata: ")
        .replace('\u{2}', "\rdata: ")
}

/// In an event, which arrives before the next one is sent.
pub(super) const fn event() -> Place {
    Place {
        takes: |_| true,
        replies: |text, arrived| {
            let reply = |first: String, second: &str| {
                vec![
                    write(format!("{CHUNKED}{EVENTS}")),
                    chunk(first),
                    Act::Wait(Arc::clone(arrived)),
                    chunk(second),
                    write(END),
                ]
            };
            let data = data(text);
            vec![
                reply(format!("id: 1\ndata: <{data}>\n\n"), "data: end\n\n"),
                reply(format!("data: <{data}>\r\n\r\n"), ": end\r\n\r\n"),
                reply(format!("event: x\rdata: <{data}>\r\r"), "data: end\r\r"),
            ]
        },
        shown: |text, _| {
            let data = data(text);
            vec![
                format!("{OF_EVENTS}id: 1\ndata: <{data}>\n\ndata: end\n\n\n"),
                format!("{OF_EVENTS}data: <{data}>\r\n\r\n: end\r\n\r\n\n"),
                format!("{OF_EVENTS}event: x\rdata: <{data}>\r\rdata: end\r\r\n"),
            ]
        },
        judged: |shown| shown,
        after: After::Pooled,
    }
}

/// Cut in two by the end of an event: its first part arrives, and its second does not.
pub(super) const fn event_boundary() -> Place {
    Place {
        takes: |_| true,
        replies: |text, arrived| {
            let reply = |(end, first, second): (&str, String, String)| {
                vec![
                    write(format!("{CHUNKED}{EVENTS}")),
                    chunk(format!("data: <{first}{end}")),
                    Act::Wait(Arc::clone(arrived)),
                    chunk(format!("data: {second}>{end}")),
                    write(END),
                ]
            };
            cut(text).map(reply).into()
        },
        shown: |text, sent| {
            let shown = |(end, first, second): (&str, String, String)| {
                let second = match text {
                    REDACTED => format!("{REDACTED}>{end}"),
                    _ => format!("data: {second}>{end}"),
                };
                format!("{OF_EVENTS}data: <{first}{end}{second}\n")
            };
            cut(sent).map(shown).into()
        },
        judged: |shown| {
            let events = shown.strip_prefix(OF_EVENTS).unwrap();
            let ends = ["\n\n", "\r\n\r\n", "\r\r"];
            let first = ends.into_iter().filter_map(|end| events.find(end)).min();
            &events[first.unwrap()..]
        },
        after: After::Pooled,
    }
}

/// Two parts of a text, and what ends an event.
fn cut(text: &str) -> [(&'static str, String, String); 3] {
    let (first, second) = text.split_at(between_escapes(text));
    ["\n\n", "\r\n\r\n", "\r\r"].map(|end| (end, data(first), data(second)))
}

/// A place near the middle of a text where no escape lies across, nor one within another.
fn between_escapes(text: &str) -> usize {
    let middle = text.len() / 2;
    let later = |what: &str| text[middle..].find(what).map(|at| middle + at);
    let introducers = ['%', '\\', '&'];
    // Where every character is escaped alike, each begins as the first does.
    let alike = text
        .starts_with(introducers)
        .then(|| later(&text[..3]))
        .flatten();
    let is_clear = |at: &usize| !text[at.saturating_sub(12)..*at].contains(introducers);
    let begins =
        |at: &usize| text[*at..].starts_with(introducers) && !text[..*at].ends_with(introducers);
    alike
        .or_else(|| (middle..text.len() - 1).find(is_clear))
        .or_else(|| (middle..text.len()).find(begins))
        .unwrap_or(middle)
}

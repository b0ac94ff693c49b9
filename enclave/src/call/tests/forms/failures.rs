//! The places in what an upstream sends when something is wrong.
use super::{
    super::fixture::{Act, write},
    place::{After, CHUNKED, Place, chunk, is_value},
};

const ERRORS: [u16; 8] = [400, 401, 403, 404, 409, 429, 500, 503];

/// In the body of an error, and in its head as far as it goes there.
pub(super) const fn error() -> Place {
    Place {
        takes: |_| true,
        replies: |text, _| {
            let challenge = if is_value(text) { text } else { "none" };
            let body = format!("{{\"error\":\"bad key <{text}>\"}}");
            let length = body.len();
            let reply = |status| {
                vec![write(format!(
                    "HTTP/1.1 {status} No\r\nwww-authenticate: <{challenge}>\r\n\
                     content-length: {length}\r\n\r\n{body}"
                ))]
            };
            ERRORS.map(reply).into()
        },
        shown: |text, sent| {
            let shown = |status| {
                let challenge = if is_value(sent) { text } else { "none" };
                format!(
                    "{status} No\nwww-authenticate: <{challenge}>\n\n\
                     {{\"error\":\"bad key <{text}>\"}}\n"
                )
            };
            ERRORS.map(shown).into()
        },
        judged: |shown| shown,
        after: After::Pooled,
    }
}

/// What an upstream sent before it broke off.
pub(super) const fn cut_off() -> Place {
    Place {
        takes: |_| true,
        replies: |text, _| {
            let head = "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
            let after = ".".repeat(6_000);
            // After the text, and within it: what was held back is not let out.
            let within = &text[..text.len() * 3 / 4];
            vec![
                vec![write(format!("{head}<{text}>{after}")), Act::Close],
                vec![write(format!("{head}<{text}>")), Act::Close],
                vec![write(format!("{head}<{within}")), Act::Close],
                vec![
                    write(format!("{CHUNKED}\r\n")),
                    chunk(format!("<{text}>{after}")),
                    write("1000\r\n<"),
                    write(within),
                    Act::Close,
                ],
            ]
        },
        shown: |text, _| {
            let begun = format!("200\n\n<{text}>....");
            let nothing = "200\n\n".to_owned();
            vec![begun.clone(), nothing.clone(), nothing, begun]
        },
        judged: |shown| shown,
        after: After::Closed,
    }
}

//! The forms in which an upstream may write a secret. `tests/tests/calls` has them too.
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD},
};

pub(super) use super::escaped::{
    html_decimal, html_hex, html_names, json, mixed, partial, percent, twice,
};

/// A row of the table.
pub(super) struct Form {
    /// How the credential goes to the upstream.
    pub(super) injection: &'static str,
    /// The ways in which a server writes a secret in this form.
    pub(super) write: fn(&str) -> Vec<String>,
}

/// Every row, with its name.
pub(super) const ALL: [(&str, Form); 17] = [
    ("raw", raw()),
    ("basic", basic()),
    ("base64_0", base64_0()),
    ("base64_1", base64_1()),
    ("base64_2", base64_2()),
    ("base64_lines", base64_lines()),
    ("base64url", base64url()),
    ("hex_lower", hex_lower()),
    ("hex_upper", hex_upper()),
    ("percent", percent()),
    ("json", json()),
    ("html_decimal", html_decimal()),
    ("html_hex", html_hex()),
    ("html_names", html_names()),
    ("mixed", mixed()),
    ("partial", partial()),
    ("twice", twice()),
];

pub(super) const fn bearer(write: fn(&str) -> Vec<String>) -> Form {
    Form {
        injection: r#"{"kind":"bearer"}"#,
        write,
    }
}

pub(super) const fn raw() -> Form {
    bearer(|secret| {
        vec![
            secret.to_owned(),
            secret.to_ascii_uppercase(),
            secret.to_ascii_lowercase(),
        ]
    })
}

pub(super) const fn basic() -> Form {
    Form {
        injection: r#"{"kind":"basic","user":"me"}"#,
        write: |secret| {
            let credential = BASE64_STANDARD.encode(format!("me:{secret}"));
            vec![
                credential.trim_end_matches('=').to_owned(),
                BASE64_STANDARD_NO_PAD.encode(&credential),
                hex::encode(&credential),
                each(&credential, |c| format!("%{c:02X}")),
                credential,
            ]
        },
    }
}

/// Base64 of the secret with `before` in front, filled up to a whole quantum or padded.
fn aligned(secret: &str, before: &str) -> Vec<String> {
    let text = format!("{before}{secret}");
    let filled = format!("{text}{}", "~".repeat((3 - text.len() % 3) % 3));
    vec![
        BASE64_STANDARD.encode(&text),
        BASE64_STANDARD_NO_PAD.encode(&text),
        BASE64_STANDARD.encode(filled),
        // As another form is serialized.
        BASE64_STANDARD_NO_PAD.encode(&text).replace('/', "\\/"),
        BASE64_STANDARD.encode(text).replace('=', "%3D"),
    ]
}

pub(super) const fn base64_0() -> Form {
    bearer(|secret| aligned(secret, ""))
}

pub(super) const fn base64_1() -> Form {
    bearer(|secret| aligned(secret, "x"))
}

pub(super) const fn base64_2() -> Form {
    bearer(|secret| aligned(secret, "xy"))
}

/// As MIME, PEM and YAML break it, and as a serializer then escapes the break.
pub(super) const fn base64_lines() -> Form {
    bearer(|secret| {
        let breaks = [
            "\n",
            "\r\n",
            "\r",
            "\n      ",
            "\r\n\t",
            "\\n",
            "\\r\\n",
            "\\u000a",
            "%0A",
            "%0D%0A",
            "&#10;",
            "&#xD;&#xA;",
        ];
        let mut all = Vec::new();
        for (number, end) in breaks.into_iter().enumerate() {
            let before = &"xy"[..number % 3];
            let text = BASE64_STANDARD.encode(format!("{before}{secret}"));
            all.push(wrapped(&text, [20, 8, 4][number % 3], end));
        }
        let url = BASE64_URL_SAFE.encode(secret);
        all.push(wrapped(&url, 16, "\n"));
        all.push(wrapped(url.trim_end_matches('='), 19, "%0A"));
        all
    })
}

pub(super) const fn base64url() -> Form {
    bearer(|secret| {
        ["", "x", "xy"]
            .into_iter()
            .flat_map(|before| {
                let text = format!("{before}{secret}");
                [
                    BASE64_URL_SAFE.encode(&text),
                    BASE64_URL_SAFE_NO_PAD.encode(text),
                ]
            })
            .collect()
    })
}

pub(super) const fn hex_lower() -> Form {
    bearer(|secret| {
        let text = hex::encode(secret);
        vec![
            wrapped(&text, 32, "\n"),
            wrapped(&text, 16, "\\n"),
            each(&text, |c| format!("%{c:02x}")),
            text,
        ]
    })
}

pub(super) const fn hex_upper() -> Form {
    bearer(|secret| {
        let text = hex::encode_upper(secret);
        vec![
            text[..text.len() / 2].to_owned() + &text[text.len() / 2..].to_ascii_lowercase(),
            wrapped(&text, 20, "\r\n"),
            text,
        ]
    })
}

pub(super) fn each(text: &str, write: impl Fn(u8) -> String) -> String {
    text.bytes().map(write).collect()
}

/// `text` in lines of `width` characters.
fn wrapped(text: &str, width: usize, end: &str) -> String {
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(width)
        .map(|line| core::str::from_utf8(line).unwrap())
        .collect();
    lines.join(end)
}

//! Keeps a caller from sending the credential's own parameter.
use dauth_protocol::{Code, Injection, injection::QueryName};

use crate::refusal::Refusal;

/// Refuses a caller's query that has the credential's parameter, in whatever spelling.
pub fn check_query(injection: &Injection, query: Option<&str>) -> Result<(), Refusal> {
    match (injection, query) {
        (Injection::Query { name }, Some(query)) if names(query, name) => Err(Refusal::new(
            Code::InvalidRequest,
            "the query has the credential's own parameter",
        )),
        _ => Ok(()),
    }
}

/// Whether a parameter of `query` could be read as `name`: with `&` or `;` between parameters,
/// whatever is percent-encoded, in either case.
fn names(query: &str, name: &QueryName) -> bool {
    query.split(['&', ';']).any(|parameter| {
        let written = parameter.split('=').next().unwrap_or_default();
        // `name[]` and `name[0]` are the same parameter to some servers.
        let decoded = percent_decoded(written);
        let base = decoded.split(|b| *b == b'[').next().unwrap_or_default();
        let is_space = |b: &u8| matches!(b, b'+' | b' ' | 0);
        let start = base.iter().position(|b| !is_space(b)).unwrap_or(base.len());
        let end = base
            .iter()
            .rposition(|b| !is_space(b))
            .map_or(start, |at| at + 1);
        base.get(start..end)
            .unwrap_or_default()
            .eq_ignore_ascii_case(name.as_str().as_bytes())
    })
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%').then(|| after.split_at_checked(2)).flatten();
        let value = escaped.and_then(|(digits, after)| {
            let mut value = [0; 1];
            hex::decode_to_slice(digits, &mut value)
                .ok()
                .map(|()| (value, after))
        });
        match value {
            Some(([value], after)) => {
                decoded.push(value);
                rest = after;
            }
            None => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_the_callers_own_spelling_of_the_parameter() {
        let query: Injection =
            serde_json::from_str(r#"{"kind":"query","name":"api_key"}"#).unwrap();
        for query_string in [
            "api_key=mine",
            "a=1&api_key=mine",
            "api%5Fkey=mine",
            "%61%70%69_key",
            "API_KEY=x",
            "a;api_key=x",
            "api_key[]=x",
            "api_key%5b0%5d=x",
            "+api_key=x",
            "api_key%00=x",
        ] {
            assert!(
                check_query(&query, Some(query_string)).is_err(),
                "{query_string}"
            );
        }
        for query_string in ["", "api_keys=1", "x=api_key", "a%3Dapi_key", "%zz=1", "%"] {
            assert_eq!(
                check_query(&query, Some(query_string)),
                Ok(()),
                "{query_string}"
            );
        }
        assert_eq!(
            check_query(&Injection::Bearer {}, Some("api_key=1")),
            Ok(())
        );
        assert_eq!(check_query(&query, None), Ok(()));
    }
}

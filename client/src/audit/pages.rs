//! Pages of receipts as they lie in a file: one, several after each other, or arrays of them.
use dauth_protocol::audit::{ReceiptsPage, StoredBatch, StoredReceipt};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::Place;

/// Why some bytes are no pages of receipts.
#[derive(Debug, thiserror::Error)]
pub enum PagesError {
    /// Nothing but blanks.
    #[error("it is empty, and should hold a page of receipts as `GET /v1/receipts` answers it")]
    Empty,
    /// Not JSON.
    #[error("it is not JSON: {0}")]
    Json(#[source] serde_json::Error),
    /// JSON of something else.
    #[error("page {page} is not one of receipts: {why}")]
    Page {
        /// Which, from 1.
        page: usize,
        /// What was wrong.
        why: String,
    },
    /// A receipt or a batch of another form.
    #[error("{what} {place} is not well-formed: {why}")]
    Entry {
        /// What it should be.
        what: &'static str,
        /// Where it stands.
        place: Place,
        /// What was wrong.
        why: String,
    },
}

/// Reads pages as the control plane answered them: one JSON document or several, each a page or an
/// array of pages.
pub fn parse(bytes: &[u8]) -> Result<Vec<ReceiptsPage>, PagesError> {
    let mut pages = Vec::new();
    let documents = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    for document in documents {
        add(document.map_err(PagesError::Json)?, &mut pages)?;
    }
    if pages.is_empty() {
        return Err(PagesError::Empty);
    }
    Ok(pages)
}

fn add(document: Value, pages: &mut Vec<ReceiptsPage>) -> Result<(), PagesError> {
    match document {
        Value::Array(documents) => documents.into_iter().try_for_each(|d| add(d, pages)),
        Value::Object(fields) => {
            pages.push(page(fields, pages.len() + 1)?);
            Ok(())
        }
        _ => Err(PagesError::Page {
            page: pages.len() + 1,
            why: "it is not an object".to_owned(),
        }),
    }
}

/// One page. Each field is read by itself, so that a refusal says where.
fn page(mut fields: Map<String, Value>, page: usize) -> Result<ReceiptsPage, PagesError> {
    let refused = |why: &str| PagesError::Page {
        page,
        why: why.to_owned(),
    };
    let mut entries = |name: &'static str| match fields.remove(name) {
        Some(Value::Array(entries)) => Ok(entries),
        Some(_) => Err(refused(&format!("`{name}` is not an array"))),
        None => Err(refused(&format!("it has no `{name}`"))),
    };
    let (receipts, batches) = (entries("receipts")?, entries("batches")?);
    let next = match fields.remove("next") {
        None | Some(Value::Null) => None,
        Some(Value::String(next)) => Some(next),
        Some(_) => return Err(refused("`next` is not a text")),
    };
    if let Some(unknown) = fields.keys().next() {
        return Err(refused(&format!("there is no field `{unknown}`")));
    }
    Ok(ReceiptsPage {
        receipts: read_all::<StoredReceipt>(receipts, page, "receipt")?,
        batches: read_all::<StoredBatch>(batches, page, "batch")?,
        next,
    })
}

fn read_all<T: Serialize + DeserializeOwned>(
    entries: Vec<Value>,
    page: usize,
    what: &'static str,
) -> Result<Vec<T>, PagesError> {
    let refused = |number, why| PagesError::Entry {
        what,
        place: Place { page, number },
        why,
    };
    let read = |(number, entry)| read(&entry).map_err(|why| refused(number, why));
    (1..).zip(entries).map(read).collect()
}

/// One entry. What it says beyond what it should is refused: nobody signed for that.
fn read<T: Serialize + DeserializeOwned>(entry: &Value) -> Result<T, String> {
    let read = T::deserialize(entry).map_err(|error| error.to_string())?;
    let (Value::Object(fields), Ok(Value::Object(known))) = (entry, serde_json::to_value(&read))
    else {
        return Err("it is not an object".to_owned());
    };
    match fields.keys().find(|name| !known.contains_key(*name)) {
        Some(unknown) => Err(format!("there is no field `{unknown}`")),
        None => Ok(read),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{"receipts":[],"batches":[]}"#;
    const NEXT: &str = r#"{"receipts":[],"batches":[],"next":"n"}"#;

    #[test]
    fn pages_come_alone_after_each_other_and_in_arrays() {
        let count = |text: &str| parse(text.as_bytes()).unwrap().len();
        assert_eq!(count(PAGE), 1);
        assert_eq!(count(&format!("{NEXT}{PAGE}")), 2);
        assert_eq!(count(&format!("\n{NEXT}\r\n\n{PAGE}\n")), 2);
        assert_eq!(count(&format!("[{NEXT},{PAGE}]")), 2);
        assert_eq!(count(&format!("[[{NEXT}],[{NEXT},{PAGE}]] {PAGE}")), 4);
        let pages = parse(NEXT.as_bytes()).unwrap();
        assert_eq!(pages[0].next.as_deref(), Some("n"));
        assert!(parse(br#"{"receipts":[],"batches":[],"next":null}"#).is_ok());
    }

    #[test]
    fn a_refusal_says_where() {
        let refusal = |text: &str| parse(text.as_bytes()).unwrap_err().to_string();
        for (text, words) in [
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("[]", "it is empty"),
            ("{\"receipts\":", "not JSON: EOF while parsing"),
            ("HTTP/1.1 200 OK", "not JSON: expected value at line 1"),
            ("7", "page 1 is not one of receipts: it is not an object"),
            (
                r#"{"code":"INVALID_TOKEN"}"#,
                "page 1 is not one of receipts: it has no `receipts`",
            ),
            (r#"{"receipts":[]}"#, "has no `batches`"),
            (
                r#"{"receipts":{},"batches":[]}"#,
                "`receipts` is not an array",
            ),
            (
                r#"{"receipts":[],"batches":[],"total":1}"#,
                "there is no field `total`",
            ),
            (
                r#"{"receipts":[],"batches":[],"next":1}"#,
                "`next` is not a text",
            ),
            (
                r#"{"receipts":[{}],"batches":[]}"#,
                "receipt number 1 on page 1 is not well-formed: missing",
            ),
            (
                r#"{"receipts":[],"batches":[{"head":"","digests":["00"]}]}"#,
                "batch number 1 on page 1",
            ),
        ] {
            assert!(refusal(text).contains(words), "{text}: {}", refusal(text));
        }
        let second = format!("{PAGE}[{PAGE},{{}}]");
        assert!(refusal(&second).contains("page 3"), "{}", refusal(&second));
    }

    /// Arrays in arrays are read by recursion: JSON of that depth is refused before.
    #[test]
    fn depth_is_bounded() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(matches!(parse(deep.as_bytes()), Err(PagesError::Json(_))));
    }
}

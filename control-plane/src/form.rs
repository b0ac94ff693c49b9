//! `application/x-www-form-urlencoded` bodies of OAuth requests.
use std::collections::HashMap;

const MAX_PARAMETERS: usize = 32;

/// The parameters of a request. A repeated one refuses the whole (RFC 6749 section 3.2), as does
/// what is not well-formed.
pub(crate) struct Form {
    parameters: HashMap<String, String>,
    resources: Vec<String>,
}

/// The body is no acceptable form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a form of at most {MAX_PARAMETERS} parameters, each once")]
pub(crate) struct NotAForm;

impl Form {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, NotAForm> {
        let body = core::str::from_utf8(body).map_err(|_| NotAForm)?;
        let mut form = Self {
            parameters: HashMap::new(),
            resources: Vec::new(),
        };
        for pair in body.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (
                decode(name).ok_or(NotAForm)?,
                decode(value).ok_or(NotAForm)?,
            );
            if form.parameters.len() + form.resources.len() >= MAX_PARAMETERS {
                return Err(NotAForm);
            }
            // RFC 8707 section 2 alone allows repetition, of `resource`.
            if name == "resource" {
                form.resources.push(value);
            } else if form.parameters.insert(name, value).is_some() {
                return Err(NotAForm);
            }
        }
        Ok(form)
    }

    /// A parameter; one without a value counts as left out (RFC 6749 section 3.2).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Every `resource`.
    pub(crate) fn resources(&self) -> &[String] {
        &self.resources
    }
}

/// Undoes form encoding: `+` and percent escapes.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                let mut value = [0];
                hex::decode_to_slice(digits, &mut value).ok()?;
                value[0]
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        let form = Form::parse(b"a=b+c%2B%C3%A9&empty=&resource=x&&resource=y&z").unwrap();
        assert_eq!(form.get("a"), Some("b c+é"));
        assert_eq!(
            (form.get("empty"), form.get("z"), form.get("none")),
            (None, None, None)
        );
        assert_eq!(form.resources(), ["x", "y"]);
    }

    #[test]
    fn refuses_repetition_and_bad_escapes() {
        let flood = "resource=x&".repeat(MAX_PARAMETERS + 1);
        for body in [
            "a=1&a=2",
            "a=1&%61=2",
            "a=%",
            "a=%4",
            "a=%zz",
            "a=%ff",
            &flood,
        ] {
            assert!(Form::parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}

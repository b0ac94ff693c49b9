//! Token and proof in a request's header fields.

/// Why the header fields hold no usable token or proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// There is no `Authorization` field.
    #[error("the request has no Authorization field; send \"Authorization: DPoP <token>\"")]
    NoAuthorization,
    /// There is no `DPoP` field.
    #[error("the request has no DPoP field; send a proof in it")]
    NoProof,
    /// The field occurs more than once (RFC 9449 section 4.3, check 1).
    #[error("the request has more than one {0} field")]
    Repeated(&'static str),
    /// The token is sent as a bearer token. It is bound to a key, and a holder that proves nothing
    /// may have stolen it (RFC 9449 section 7.2).
    #[error(
        "the token is bound to a key and cannot be used as a Bearer token; use the DPoP scheme"
    )]
    Bearer,
    /// Another authentication scheme.
    #[error("the Authorization field has another scheme than DPoP")]
    OtherScheme,
    /// Not visible ASCII, or empty, or of more than one word.
    #[error("the {0} field is malformed")]
    Malformed(&'static str),
}

/// The access token of `Authorization: DPoP <token>`; `fields` are the values of every
/// `Authorization` field of the request.
pub fn dpop_credentials<'a>(
    fields: impl IntoIterator<Item = &'a [u8]>,
) -> Result<&'a str, CredentialsError> {
    const NAME: &str = "Authorization";
    let field = sole(fields, NAME)?.ok_or(CredentialsError::NoAuthorization)?;
    let (scheme, token) = field
        .split_once(' ')
        .ok_or(CredentialsError::Malformed(NAME))?;
    // RFC 9110 section 11.1: the scheme's name is case-insensitive.
    if scheme.eq_ignore_ascii_case("Bearer") {
        return Err(CredentialsError::Bearer);
    }
    if !scheme.eq_ignore_ascii_case("DPoP") {
        return Err(CredentialsError::OtherScheme);
    }
    // RFC 9110 section 11.4: one or more spaces before the token.
    one_word(token.trim_start_matches(' '), NAME)
}

/// The proof; `fields` are the values of every `DPoP` field of the request.
pub fn sole_proof<'a>(
    fields: impl IntoIterator<Item = &'a [u8]>,
) -> Result<&'a str, CredentialsError> {
    const NAME: &str = "DPoP";
    let field = sole(fields, NAME)?.ok_or(CredentialsError::NoProof)?;
    one_word(field, NAME)
}

fn sole<'a>(
    fields: impl IntoIterator<Item = &'a [u8]>,
    name: &'static str,
) -> Result<Option<&'a str>, CredentialsError> {
    let mut fields = fields.into_iter();
    let Some(field) = fields.next() else {
        return Ok(None);
    };
    if fields.next().is_some() {
        return Err(CredentialsError::Repeated(name));
    }
    let text = core::str::from_utf8(field).map_err(|_| CredentialsError::Malformed(name))?;
    Ok(Some(text))
}

fn one_word<'a>(text: &'a str, name: &'static str) -> Result<&'a str, CredentialsError> {
    // A comma would be a list of two fields that a proxy has joined.
    let is_word = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    if is_word {
        Ok(text)
    } else {
        Err(CredentialsError::Malformed(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_token_of_the_dpop_scheme() {
        for field in ["DPoP a.b.c", "dpop a.b.c", "DPOP  a.b.c"] {
            assert_eq!(dpop_credentials([field.as_bytes()]), Ok("a.b.c"));
        }
    }

    #[test]
    fn refuses_other_schemes_and_ambiguity() {
        use CredentialsError::*;
        let cases: [(&[&str], CredentialsError); 9] = [
            (&[], NoAuthorization),
            (&["DPoP a", "DPoP a"], Repeated("Authorization")),
            (&["Bearer a.b.c"], Bearer),
            (&["bearer a.b.c"], Bearer),
            (&["Basic YTpi"], OtherScheme),
            (&["DPoP"], Malformed("Authorization")),
            (&["DPoP "], Malformed("Authorization")),
            (&["DPoP a b"], Malformed("Authorization")),
            (&["DPoP a, DPoP b"], Malformed("Authorization")),
        ];
        for (fields, error) in cases {
            let fields_bytes = fields.iter().map(|field| field.as_bytes());
            assert_eq!(dpop_credentials(fields_bytes), Err(error), "{fields:?}");
        }
        assert_eq!(
            dpop_credentials([&b"DPoP \xff"[..]]),
            Err(Malformed("Authorization"))
        );
    }

    #[test]
    fn takes_one_proof() {
        use CredentialsError::*;
        assert_eq!(sole_proof([&b"a.b.c"[..]]), Ok("a.b.c"));
        assert_eq!(sole_proof([]), Err(NoProof));
        assert_eq!(sole_proof([&b"a"[..], &b"a"[..]]), Err(Repeated("DPoP")));
        for field in ["", "a,b", "a b", "a\tb"] {
            assert_eq!(sole_proof([field.as_bytes()]), Err(Malformed("DPoP")));
        }
    }
}

//! Verification of AWS Signature Version 4, apart from the enclave's code that makes it.
use aws_lc_rs::{digest, hmac};
use http::{HeaderMap, header::AUTHORIZATION};

use super::error::Refusal;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "kms";
/// How far the request's date may be from now.
const WINDOW_S: u64 = 300;
/// A request without these signed could be sent elsewhere, later, or for another operation.
const REQUIRED: [&str; 3] = ["host", "x-amz-date", "x-amz-target"];

/// Who may sign.
#[derive(Clone)]
pub struct Principal {
    /// The ARN that policies name.
    pub arn: String,
    /// Names the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
}

/// A request as received. Its path is `/` and it has no query: the server answers no other.
#[derive(Clone, Copy)]
pub struct ReceivedRequest<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: &'a [u8],
}

impl ReceivedRequest<'_> {
    /// The one value of a header, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }
}

/// The principal that signed the request.
pub fn verify<'a>(
    request: &ReceivedRequest<'_>,
    principals: &'a [Principal],
    region: &str,
    now_s: u64,
) -> Result<&'a Principal, Refusal> {
    let missing = || {
        let message = "Missing Authentication Token";
        Refusal::new("MissingAuthenticationTokenException", message)
    };
    let authorization = request.header(AUTHORIZATION.as_str()).ok_or_else(missing)?;
    let parts = Authorization::parse(authorization).ok_or_else(|| {
        let message = "Authorization header requires Credential, SignedHeaders and Signature.";
        Refusal::new("IncompleteSignatureException", message)
    })?;
    let principal = principals
        .iter()
        .find(|principal| principal.access_key_id == parts.access_key_id)
        .ok_or_else(|| {
            let message = "The security token included in the request is invalid.";
            Refusal::new("UnrecognizedClientException", message)
        })?;

    let date = request.header("x-amz-date").ok_or_else(missing)?;
    let signed_at = unix_s(date).ok_or_else(|| Refusal::signature("X-Amz-Date is malformed."))?;
    if signed_at.abs_diff(now_s) > WINDOW_S {
        return Err(Refusal::signature(format!(
            "Signature expired or not yet current: {date} is more than 5 minutes away."
        )));
    }
    let day = date.get(..8).unwrap_or_default();
    if parts.scope != [day, region, SERVICE, "aws4_request"] {
        let message = "Credential should be scoped to this date, a valid region and service kms.";
        return Err(Refusal::signature(message));
    }
    let signs = |name: &str| parts.signed_headers.contains(&name);
    let amazon = request
        .headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-amz-"));
    if !REQUIRED.into_iter().all(signs) || !amazon.into_iter().all(|name| signs(name.as_str())) {
        let message = "Host and every x-amz- header must be signed headers.";
        return Err(Refusal::signature(message));
    }

    let signature = hex::decode(parts.signature).unwrap_or_default();
    let canonical = canonical_request(request, &parts.signed_headers)
        .ok_or_else(|| Refusal::signature("A signed header is absent, repeated or unsorted."))?;
    let to_sign = format!(
        "{ALGORITHM}\n{date}\n{}\n{}",
        parts.scope.join("/"),
        hex::encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
    );
    let key = signing_key(&principal.secret_access_key, &parts.scope);
    // Compares in constant time.
    hmac::verify(&key, to_sign.as_bytes(), &signature).map_err(|_| {
        Refusal::signature("The request signature we calculated does not match the one provided.")
    })?;
    Ok(principal)
}

struct Authorization<'a> {
    access_key_id: &'a str,
    scope: [&'a str; 4],
    signed_headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut fields = text.strip_prefix(ALGORITHM)?.split(',').map(str::trim);
        let mut credential = fields.next()?.strip_prefix("Credential=")?.split('/');
        let access_key_id = credential.next()?;
        let scope: Vec<&str> = credential.collect();
        let signed_headers = fields.next()?.strip_prefix("SignedHeaders=")?;
        let signature = fields.next()?.strip_prefix("Signature=")?;
        fields.next().is_none().then_some(())?;
        Some(Self {
            access_key_id,
            scope: scope.try_into().ok()?,
            signed_headers: signed_headers.split(';').collect(),
            signature,
        })
    }
}

fn canonical_request(request: &ReceivedRequest<'_>, signed_headers: &[&str]) -> Option<String> {
    if !signed_headers.is_sorted_by(|one, next| one < next) {
        return None;
    }
    let mut canonical = String::from("POST\n/\n\n");
    for name in signed_headers {
        let value = request.header(name)?;
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        canonical.push_str(&format!("{name}:{}\n", words.join(" ")));
    }
    let body = digest::digest(&digest::SHA256, request.body);
    Some(format!(
        "{canonical}\n{}\n{}",
        signed_headers.join(";"),
        hex::encode(body)
    ))
}

fn signing_key(secret: &str, scope: &[&str; 4]) -> hmac::Key {
    let first = format!("AWS4{secret}");
    scope.iter().fold(
        hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes()),
        |key, part| {
            let derived = hmac::sign(&key, part.as_bytes());
            hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
        },
    )
}

/// Unix seconds of `YYYYMMDD'T'HHMMSS'Z'`.
fn unix_s(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes.get(8) != Some(&b'T') || bytes.get(15) != Some(&b'Z') {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits
            .bytes()
            .all(|digit| digit.is_ascii_digit())
            .then_some(())?;
        digits.parse::<u64>().ok()
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let february = if leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let months = lengths
        .iter()
        .zip(1..month)
        .map(|(days, _)| days)
        .sum::<u64>();
    let years = (1970..year)
        .map(|year| if leap(year) { 366 } else { 365 })
        .sum::<u64>();
    Some(((years + months + day - 1) * 24 + hour) * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests;

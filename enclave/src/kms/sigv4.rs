//! AWS Signature Version 4: the `Authorization` header of one request.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
//! Only what KMS needs: path `/`, no query, headers that need no normalization.
use aws_lc_rs::{digest, hmac};
use zeroize::Zeroizing;

/// The name of the algorithm.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A moment, as SigV4 writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmzDate(String);

impl AmzDate {
    /// From Unix seconds.
    pub fn from_unix_s(seconds: u64) -> Self {
        let (year, month, day) = civil_from_days(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        Self(format!(
            "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"
        ))
    }

    /// `YYYYMMDD'T'HHMMSS'Z'`: the value of `X-Amz-Date`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `YYYYMMDD`: the date of the credential scope.
    fn day(&self) -> &str {
        self.0.split('T').next().unwrap_or_default()
    }
}

/// Year, month and day of a number of days since 1970-01-01 in the Gregorian calendar.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that the leap day ends a year; an era has 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = (shifted_month + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// Which requests a signature is good for.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// When.
    pub date: &'a AmzDate,
    /// The region of the endpoint.
    pub region: &'a str,
    /// `kms`.
    pub service: &'a str,
}

impl Scope<'_> {
    fn text(&self) -> String {
        let day = self.date.day();
        format!("{day}/{}/{}/aws4_request", self.region, self.service)
    }
}

/// Who signs.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    /// Names the key.
    pub access_key_id: &'a str,
    /// The key.
    pub secret_access_key: &'a str,
}

/// What is signed: a request to `/` without a query.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// Headers, in lower case and sorted by name, without repetition or surrounding space.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

impl SignedRequest<'_> {
    fn signed_headers(&self) -> String {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| *name).collect();
        names.join(";")
    }

    fn canonical(&self) -> String {
        let headers: String = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let body = hex::encode(digest::digest(&digest::SHA256, self.body));
        format!(
            "{}\n/\n\n{headers}\n{}\n{body}",
            self.method,
            self.signed_headers()
        )
    }
}

/// The value of the `Authorization` header.
pub fn authorization(
    signer: &Signer<'_>,
    scope: &Scope<'_>,
    request: &SignedRequest<'_>,
) -> String {
    let canonical = digest::digest(&digest::SHA256, request.canonical().as_bytes());
    let to_sign = format!(
        "{ALGORITHM}\n{}\n{}\n{}",
        scope.date.as_str(),
        scope.text(),
        hex::encode(canonical)
    );
    let signature = hmac::sign(
        &signing_key(signer.secret_access_key, scope),
        to_sign.as_bytes(),
    );
    format!(
        "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={}",
        signer.access_key_id,
        scope.text(),
        request.signed_headers(),
        hex::encode(signature)
    )
}

fn signing_key(secret_access_key: &str, scope: &Scope<'_>) -> hmac::Key {
    let secret = Zeroizing::new([b"AWS4", secret_access_key.as_bytes()].concat());
    let derive = |key: hmac::Key, part: &str| {
        hmac::Key::new(
            hmac::HMAC_SHA256,
            hmac::sign(&key, part.as_bytes()).as_ref(),
        )
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    let key = derive(key, scope.date.day());
    let key = derive(key, scope.region);
    let key = derive(key, scope.service);
    derive(key, "aws4_request")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Values of the AWS Signature Version 4 test suite (cases get-vanilla and post-vanilla, and
    // post-x-www-form-urlencoded for a body). The key is AWS's published example.
    const SIGNER: Signer<'_> = Signer {
        access_key_id: "AKIDEXAMPLE",
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    };
    const VANILLA: &[(&str, &str)] = &[
        ("host", "example.amazonaws.com"),
        ("x-amz-date", "20150830T123600Z"),
    ];

    fn sign(method: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
        let date = AmzDate::from_unix_s(1_440_938_160);
        let scope = Scope {
            date: &date,
            region: "us-east-1",
            service: "service",
        };
        let request = SignedRequest {
            method,
            headers,
            body,
        };
        authorization(&SIGNER, &scope, &request)
    }

    #[test]
    fn signs_as_the_published_suite() {
        assert_eq!(
            sign("GET", VANILLA, b""),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
        assert!(
            sign("POST", VANILLA, b"")
                .ends_with("=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b")
        );
        let headers = [
            ("content-length", "13"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("host", "example.amazonaws.com"),
            (
                "x-amz-content-sha256",
                "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e",
            ),
            ("x-amz-date", "20150830T123600Z"),
        ];
        assert!(
            sign("POST", &headers, b"Param1=value1")
                .ends_with("=d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b")
        );
    }

    /// Cases post-header-key-sort, post-x-www-form-urlencoded (without a hash header) and
    /// post-sts-header-before.
    #[test]
    fn signs_other_headers_a_body_and_a_token_as_the_published_suite() {
        let sorted = [VANILLA[0], ("my-header1", "value1"), VANILLA[1]];
        assert!(
            sign("POST", &sorted, b"")
                .ends_with("=c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c")
        );
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert!(
            sign("POST", &[form, VANILLA[0], VANILLA[1]], b"Param1=value1")
                .ends_with("=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a")
        );
        let token = (
            "x-amz-security-token",
            "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXm\
             xfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy\
             0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64l\
             IZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
        );
        assert!(
            sign("POST", &[VANILLA[0], VANILLA[1], token], b"")
                .ends_with("=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead")
        );
    }

    #[test]
    fn canonical_request_is_the_published_one() {
        let request = SignedRequest {
            method: "POST",
            headers: VANILLA,
            body: b"",
        };
        assert_eq!(
            request.canonical(),
            "POST\n/\n\nhost:example.amazonaws.com\nx-amz-date:20150830T123600Z\n\n\
             host;x-amz-date\n\
             e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn writes_dates_of_leap_years_and_centuries() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_709_251_199, "20240229T235959Z"),
            (1_709_251_200, "20240301T000000Z"),
            (1_767_225_599, "20251231T235959Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(AmzDate::from_unix_s(seconds).as_str(), text);
        }
    }
}

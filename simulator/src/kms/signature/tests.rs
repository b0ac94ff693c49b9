use dauth_enclave::kms::sigv4::{AmzDate, Scope, SignedRequest, Signer, authorization};

use super::*;

const NOW_S: u64 = 1_709_251_199;
const REGION: &str = "eu-west-1";
const BODY: &[u8] = b"{}";

fn principals() -> Vec<Principal> {
    vec![Principal {
        arn: "arn:aws:iam::000000000000:role/parent".to_owned(),
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "secret".to_owned(),
    }]
}

/// A request signed by the enclave's own code.
struct Signed {
    signed_at_s: u64,
    region: &'static str,
    service: &'static str,
    access_key_id: &'static str,
    secret: &'static str,
    target: &'static str,
}

const RIGHT: Signed = Signed {
    signed_at_s: NOW_S,
    region: REGION,
    service: "kms",
    access_key_id: "AKIDEXAMPLE",
    secret: "secret",
    target: "TrentService.Decrypt",
};

impl Signed {
    fn headers(&self) -> HeaderMap {
        let date = AmzDate::from_unix_s(self.signed_at_s);
        let headers = [
            ("host", "kms.test"),
            ("x-amz-date", date.as_str()),
            ("x-amz-target", self.target),
        ];
        let authorization = authorization(
            &Signer {
                access_key_id: self.access_key_id,
                secret_access_key: self.secret,
            },
            &Scope {
                date: &date,
                region: self.region,
                service: self.service,
            },
            &SignedRequest {
                method: "POST",
                headers: &headers,
                body: BODY,
            },
        );
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name, value.parse().unwrap());
        }
        map.insert(AUTHORIZATION, authorization.parse().unwrap());
        map
    }
}

fn code(headers: &HeaderMap, body: &[u8]) -> &'static str {
    let request = ReceivedRequest { headers, body };
    match verify(&request, &principals(), REGION, NOW_S) {
        Ok(_) => "accepted",
        Err(refusal) => refusal.code,
    }
}

#[test]
fn accepts_what_the_enclave_signs() {
    assert_eq!(code(&RIGHT.headers(), BODY), "accepted");
    for signed_at_s in [NOW_S - 300, NOW_S + 300] {
        let signed = Signed {
            signed_at_s,
            ..RIGHT
        };
        assert_eq!(code(&signed.headers(), BODY), "accepted");
    }
}

#[test]
fn refuses_every_other_signature() {
    const WRONG: &str = "InvalidSignatureException";
    for (signed, expected) in [
        (
            Signed {
                secret: "other",
                ..RIGHT
            },
            WRONG,
        ),
        (
            Signed {
                signed_at_s: NOW_S - 301,
                ..RIGHT
            },
            WRONG,
        ),
        (
            Signed {
                signed_at_s: NOW_S + 301,
                ..RIGHT
            },
            WRONG,
        ),
        (
            Signed {
                region: "us-east-1",
                ..RIGHT
            },
            WRONG,
        ),
        (
            Signed {
                service: "s3",
                ..RIGHT
            },
            WRONG,
        ),
        (
            Signed {
                access_key_id: "AKIDOTHER",
                ..RIGHT
            },
            "UnrecognizedClientException",
        ),
    ] {
        assert_eq!(code(&signed.headers(), BODY), expected);
    }
    assert_eq!(code(&RIGHT.headers(), b"{ }"), WRONG);
    for (name, value) in [
        ("x-amz-target", "TrentService.Encrypt"),
        ("host", "kms.other"),
        ("x-amz-date", "20240229T235958Z"),
        ("x-amz-security-token", "not signed"),
    ] {
        let mut headers = RIGHT.headers();
        headers.insert(name, value.parse().unwrap());
        assert_eq!(code(&headers, BODY), WRONG, "{name}");
    }
    let mut twice = RIGHT.headers();
    twice.append("x-amz-target", "TrentService.Encrypt".parse().unwrap());
    assert_eq!(code(&twice, BODY), WRONG);
}

#[test]
fn refuses_what_is_not_signed_or_signs_too_little() {
    let mut headers = RIGHT.headers();
    headers.remove(AUTHORIZATION);
    assert_eq!(code(&headers, BODY), "MissingAuthenticationTokenException");
    for (from, to, expected) in [
        (
            "AWS4-HMAC-SHA256 ",
            "AWS4-HMAC-SHA1 ",
            "IncompleteSignatureException",
        ),
        (", Signature=", ", Seal=", "IncompleteSignatureException"),
        (";x-amz-target", "", "InvalidSignatureException"),
        ("host;", "", "InvalidSignatureException"),
    ] {
        let mut headers = RIGHT.headers();
        let changed = headers[AUTHORIZATION].to_str().unwrap().replace(from, to);
        headers.insert(AUTHORIZATION, changed.parse().unwrap());
        assert_eq!(code(&headers, BODY), expected, "{from}");
    }
}

#[test]
fn reads_the_dates_that_the_enclave_writes() {
    for seconds in [0, 951_782_400, 1_709_251_199, 1_709_251_200, 4_107_542_400] {
        assert_eq!(
            unix_s(AmzDate::from_unix_s(seconds).as_str()),
            Some(seconds)
        );
    }
    for text in [
        "",
        "20240229T23595Z",
        "20241301T000000Z",
        "2024+229T235959Z",
        "x",
    ] {
        assert_eq!(unix_s(text), None);
    }
}

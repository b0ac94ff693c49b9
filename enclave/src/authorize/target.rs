//! The connection and the path below it, out of a request's path.
use dauth_protocol::{Code, Handle, RequestPath};

use crate::refusal::Refusal;

const PREFIX: &str = "/v1/connections/";

/// What `/v1/connections/{handle}/{path}` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The connection.
    pub handle: Handle,
    /// The path below the policy's base URL, as sent.
    pub path: RequestPath,
}

impl Target {
    /// Parses a path as it was sent; none, if it is not below `/v1/connections/`.
    pub fn parse(path: &str) -> Option<Result<Self, Refusal>> {
        path.strip_prefix(PREFIX).map(Self::below)
    }

    fn below(rest: &str) -> Result<Self, Refusal> {
        let invalid = |detail| Refusal::new(Code::InvalidRequest, detail);
        let (handle, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        // The one character of a handle that clients may percent-encode.
        let handle = handle.replace("%3A", ":").replace("%3a", ":");
        Ok(Self {
            handle: handle
                .parse()
                .map_err(|_| invalid("the path names no connection handle"))?,
            path: RequestPath::parse(path).map_err(|_| {
                invalid("the path below the connection is empty, ambiguous or not allowed")
            })?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDLE: &str = "ddls:conn:0191f3a4-7c1e-7b1a-8f00-3a1b2c3d4e5f";

    #[test]
    fn takes_handle_and_path_apart() {
        for handle in [
            HANDLE.to_owned(),
            HANDLE.replace(':', "%3A"),
            HANDLE.replace(':', "%3a"),
        ] {
            let path = format!("/v1/connections/{handle}/a%20b/c");
            let target = Target::parse(&path).unwrap().unwrap();
            assert_eq!(target.handle.as_str(), HANDLE);
            assert_eq!(target.path.as_str(), "/a%20b/c");
        }
    }

    #[test]
    fn refuses_what_is_no_target() {
        assert_eq!(Target::parse("/v1/admit"), None);
        for path in [
            "/v1/connections/",
            "/v1/connections/x/a",
            &format!("/v1/connections/{HANDLE}"),
            &format!("/v1/connections/{HANDLE}/../a"),
            &format!("/v1/connections/{HANDLE}//a"),
            &format!("/v1/connections/{}/a", HANDLE.replace("ddls", "%64dls")),
        ] {
            let refusal = Target::parse(path).unwrap().unwrap_err();
            assert_eq!(refusal.code, Code::InvalidRequest, "{path}");
        }
    }
}

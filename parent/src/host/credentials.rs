//! Credentials of the instance's role, from a file. They let the enclave call KMS, which answers an
//! attested enclave alone.
use std::path::Path;

use dauth_protocol::host::RoleCredentials;
use http::StatusCode;

use super::{Reply, json, problem};

pub(super) async fn reply(file: Option<&Path>) -> Reply {
    let Some(file) = file else {
        return unavailable("the parent is configured without credentials_file");
    };
    let text = match tokio::fs::read(file).await {
        Ok(text) => text,
        Err(error) => {
            tracing::error!("cannot read the credentials {}: {error}", file.display());
            return unavailable("the credentials cannot be read");
        }
    };
    // Not the parser's own words: they can quote what they stumbled on.
    match serde_json::from_slice::<RoleCredentials>(&text) {
        Ok(credentials) => json(&credentials),
        Err(_) => unavailable("the credentials are not AccessKeyId, SecretAccessKey, Expiration"),
    }
}

fn unavailable(detail: &str) -> Reply {
    problem(StatusCode::SERVICE_UNAVAILABLE, detail)
}

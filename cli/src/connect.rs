//! `dauth connect`: seal a credential to the enclave and store its record.
use std::{
    fs,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{ArgGroup, Args};
use dauth_client::{NewConnection, Pinning, PolicyParts, Secret};
use dauth_protocol::{
    BaseUrl, Injection, Rule,
    injection::{BasicUser, HeaderTemplate, QueryName},
    limit::MAX_SECRET_BYTES,
    policy::Limits,
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::{
    duration,
    failure::{Failure, sentence},
    output::{self, Output},
};

/// Connect a credential: seal it to the enclave, which alone can open it.
///
/// Verifies the enclave's evidence against the profile's trust policy, encrypts the secret on this
/// machine, has the enclave admit it, checks the enclave's receipt, and stores the record. The
/// secret is read from --secret-file, from standard input, or from a prompt; never from the command
/// line. No request goes to the API itself. Prints the connection's handle on stdout.
///
/// Example: an API that takes a bearer token, of which notes may be read by the owner and by one
/// MCP server:
///
///   dauth connect notes --base-url https://api.example.com/v1 --bearer \
///     --allow 'GET /notes/**' --server https://mcp.example.com/mcp < token
#[derive(Args)]
#[command(verbatim_doc_comment)]
#[command(group = ArgGroup::new("injection").required(true))]
pub(crate) struct Connect {
    /// What to call the connection; MCP servers ask for it by this name.
    name: String,
    /// Where calls go: an https URL. Paths that callers name are appended to its path.
    #[arg(long, value_name = "URL")]
    base_url: BaseUrl,
    /// Send the secret as `Authorization: Bearer <secret>`.
    #[arg(long, group = "injection")]
    bearer: bool,
    /// Send the secret as the password of this user, by HTTP Basic.
    #[arg(long, group = "injection", value_name = "USER")]
    basic: Option<BasicUser>,
    /// Send the secret in a header of this form, as in 'X-Api-Key: {secret}'.
    #[arg(long, group = "injection", value_name = "'NAME: TEMPLATE'")]
    header: Option<HeaderTemplate>,
    /// Send the secret as this query parameter.
    #[arg(long, group = "injection", value_name = "NAME")]
    query: Option<QueryName>,
    /// Allow calls: 'METHOD[,METHOD] /path/pattern [scope]'. The pattern matches the path below
    /// the base URL's; * is one segment, ** zero or more. May be repeated. Without it, nothing is
    /// allowed.
    #[arg(long, value_name = "RULE")]
    allow: Vec<Rule>,
    /// Let an MCP server use the connection, named by its resource identifier. The keys that it
    /// publishes now are pinned. May be repeated.
    #[arg(long = "server", value_name = "RESOURCE")]
    servers: Vec<String>,
    /// Do not pin the servers' keys: whoever controls the control plane can then act as them.
    #[arg(long, requires = "servers")]
    unpinned: bool,
    /// Let a request header pass that is not among the usual ones. May be repeated.
    #[arg(long = "pass-header", value_name = "NAME")]
    pass_headers: Vec<String>,
    /// How long the connection stays usable.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    expires: Option<Duration>,
    /// The longest an upstream may take to begin its reply.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Read the secret from this file; one newline at its end is not part of it.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Connect {
    pub(crate) async fn run(self, profile: Option<&Path>) -> Result<(), Failure> {
        let owner = crate::profile::owner(profile, None)?;
        let secret = read_secret(self.secret_file.as_deref())?;
        if self.allow.is_empty() {
            anstream::eprintln!(
                "dauth: nothing is allowed on this connection: add --allow 'GET /path' to let it be used"
            );
        }
        let json = self.json;
        let handle = owner
            .connect(&self.into_connection(), &secret)
            .await
            .map_err(|e| Failure::refused(sentence(&e)))?;
        match Output::from_flag(json) {
            Output::Json => output::json(&json!({ "handle": handle })),
            Output::Text => anstream::println!("{handle}"),
        }
        Ok(())
    }
}

impl Connect {
    fn into_connection(self) -> NewConnection {
        let limits = match self.timeout {
            Some(timeout) => Limits {
                timeout_ms: millis(timeout),
                ..Limits::default()
            },
            None => Limits::default(),
        };
        let injection = match (self.basic, self.header, self.query) {
            (Some(user), ..) => Injection::Basic { user },
            (_, Some(template), _) => Injection::Header { template },
            (.., Some(name)) => Injection::Query { name },
            // The group makes sure that one of the four is there.
            _ => Injection::Bearer {},
        };
        let policy = PolicyParts {
            base_url: self.base_url,
            injection,
            rules: self.allow,
            request_headers: self
                .pass_headers
                .iter()
                .map(|h| h.to_ascii_lowercase())
                .collect(),
            limits,
            servers: self.servers,
            pinning: if self.unpinned {
                Pinning::Unpinned
            } else {
                Pinning::Pinned
            },
        };
        let life = self.expires.unwrap_or(NewConnection::DEFAULT_LIFE);
        NewConnection {
            name: self.name,
            policy,
            life,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The secret of `--secret-file`, of standard input, or of a prompt without echo.
pub(crate) fn read_secret(file: Option<&Path>) -> Result<Secret, Failure> {
    let bytes = match file {
        Some(file) => fs::File::open(file)
            .and_then(read_bounded)
            .map_err(|e| Failure::refused(format!("cannot read {}: {e}", file.display())))?,
        None if io::stdin().is_terminal() => {
            let typed = rpassword::prompt_password("Secret: ")
                .map_err(|e| Failure::refused(format!("cannot read the secret: {e}")))?;
            Zeroizing::new(typed.into_bytes())
        }
        None => read_bounded(io::stdin())
            .map_err(|e| Failure::refused(format!("cannot read the secret from stdin: {e}")))?,
    };
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    Secret::new(bytes.to_vec()).map_err(|e| Failure::refused(sentence(&e)))
}

fn read_bounded(source: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // Room for one byte more than allowed, and never reallocated.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SECRET_BYTES + 3));
    source
        .take(MAX_SECRET_BYTES as u64 + 3)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

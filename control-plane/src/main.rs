//! `dauth-control-plane --config FILE`.
mod systemd;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use dauth_control_plane::{Configuration, Server};
use systemd::ServiceManager;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The control plane of DAuth: an OAuth 2.1 authorization server with DPoP, and the vault of sealed
/// records. It stores ciphertext and issues tokens; it cannot open a credential.
#[derive(Parser)]
#[command(version, after_help = EXAMPLE)]
struct Arguments {
    /// The configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

const EXAMPLE: &str = "\
Example configuration:

    issuer = \"https://auth.example.com\"          # iss of the tokens; origin of every URL
    listen = \"127.0.0.1:8080\"                    # http, for clients and the parent
    listen_tls = \"0.0.0.0:8443\"                  # https, where the enclave gets the key set
    state_dir = \"/var/lib/dauth\"                 # keys (0600), database, tls-spki-sha256
    store = \"sqlite:/var/lib/dauth/control-plane.db\"
    enclave = \"https://enclave.example.com\"      # audience of the enclave
    ingress = \"enclave.example.com:443\"         # where clients reach it; published to them
    host_credential_sha256 = \"<64 hex digits>\"   # of the credential that the parent uses
    access_token_life_s = 300

    [receipts]                                    # of calls; these are the defaults
    keep_days = 90
    max_mib = 10240                               # of the database; beyond it none is taken
    max_owner_mib = 2048                          # of one owner; beyond it digests alone

    [[clients]]
    id = \"mcp-notes\"
    secret_sha256 = \"<64 hex digits>\"            # of a random secret
    resource = \"https://notes.example.com/mcp\"   # for an MCP server; leave out for others
    org = \"acme\"
    scopes = [\"notes:read\", \"notes:write\"]

A hash is made with:  printf %s \"$SECRET\" | sha256sum
RUST_LOG sets what is logged (default: info).";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match start(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without a standard error there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "dauth-control-plane: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn start(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(&arguments.config)
        .map_err(|error| format!("cannot read {}: {error}", arguments.config.display()))?;
    let configuration: Configuration =
        toml::from_str(&text).map_err(|error| malformed(&arguments.config, &text, &error))?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let manager = ServiceManager::from_environment()
        .map_err(|error| format!("NOTIFY_SOCKET cannot be used: {error}"))?;
    let server = Server::bind(&configuration).await?;
    server.serve(manager.tell_until(shutdown)).await;
    Ok(())
}

/// One line: the error's own rendering draws the place over several.
fn malformed(file: &Path, text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let line = 1 + text.get(..start).unwrap_or_default().matches('\n').count();
    let message = error.message().replace('\n', ", ");
    format!("{}:{line}: {message}", file.display())
}

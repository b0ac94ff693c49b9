//! `dauth connections`: list, show, revoke, rotate.
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use dauth_client::{Connection, NewConnection, OwnerError, PolicyChange, Rotation};
use dauth_protocol::Handle;
use serde_json::json;

use crate::{
    connect::read_secret,
    duration,
    failure::{Failure, sentence},
    output::{self, Output, shown, utc},
};

/// Commands on connections.
#[derive(Subcommand)]
pub(crate) enum Connections {
    /// List every connection of the profile's owner.
    List(Printing),
    /// Show one connection.
    Show {
        /// Which.
        handle: Handle,
        #[command(flatten)]
        printing: Printing,
    },
    /// Revoke a connection for good; calls through it fail from now on.
    Revoke {
        /// Which.
        handle: Handle,
        #[command(flatten)]
        printing: Printing,
    },
    /// Replace the secret of a connection, under the same handle and policy.
    Rotate {
        /// Which.
        handle: Handle,
        /// Read the new secret from this file.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        /// How long the connection stays usable from now.
        #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
        expires: Option<std::time::Duration>,
        #[command(flatten)]
        printing: Printing,
    },
}

/// How to print.
#[derive(Args, Clone, Copy)]
pub(crate) struct Printing {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Printing {
    fn output(self) -> Output {
        Output::from_flag(self.json)
    }
}

impl Connections {
    pub(crate) async fn run(self, profile: Option<&Path>) -> Result<(), Failure> {
        let owner = crate::profile::owner(profile, None)?;
        match self {
            Connections::List(printing) => {
                print_list(
                    &owner.list().await.map_err(|e| refused(&e))?,
                    printing.output(),
                );
            }
            Connections::Show { handle, printing } => {
                print_one(
                    &owner.show(&handle).await.map_err(|e| refused(&e))?,
                    printing.output(),
                );
            }
            Connections::Revoke { handle, printing } => {
                owner.revoke(&handle).await.map_err(|e| refused(&e))?;
                match printing.output() {
                    Output::Json => output::json(&json!({ "handle": handle, "revoked": true })),
                    Output::Text => anstream::println!("{handle} is revoked"),
                }
            }
            Connections::Rotate {
                handle,
                secret_file,
                expires,
                printing,
            } => {
                let secret = read_secret(secret_file.as_deref())?;
                let life = expires.unwrap_or(NewConnection::DEFAULT_LIFE);
                let rotation = Rotation {
                    policy: PolicyChange::Keep,
                    life,
                };
                let version = owner
                    .rotate(&handle, &rotation, &secret)
                    .await
                    .map_err(|e| refused(&e))?;
                match printing.output() {
                    Output::Json => output::json(&json!({ "handle": handle, "version": version })),
                    Output::Text => {
                        anstream::println!("{handle} has a new secret, version {version}");
                    }
                }
            }
        }
        Ok(())
    }
}

fn refused(error: &OwnerError) -> Failure {
    Failure::refused(sentence(error))
}

fn print_list(connections: &[Connection], output: Output) {
    if output == Output::Json {
        return output::json(&json!({ "connections": connections }));
    }
    if connections.is_empty() {
        anstream::println!("no connections yet: make one with `dauth connect`");
    }
    for connection in connections {
        let state = match connection.revoked {
            Some(at) => format!("revoked {}", utc(at)),
            None => format!("until {}", utc(connection.expires)),
        };
        anstream::println!(
            "{}  {:<16} {:<40} {state}",
            connection.handle,
            shown(&connection.name),
            shown(&connection.base_url)
        );
    }
}

fn print_one(connection: &Connection, output: Output) {
    if output == Output::Json {
        return output::json(connection);
    }
    let field = |name: &str, value: &str| anstream::println!("{name:<12} {value}");
    field("handle", connection.handle.as_str());
    field("name", &shown(&connection.name));
    field("base URL", &shown(&connection.base_url));
    for server in &connection.servers {
        field("server", &shown(server));
    }
    field("version", &connection.version.to_string());
    field("fingerprint", &connection.fingerprint.to_string());
    field("created", &utc(connection.created));
    field("expires", &utc(connection.expires));
    if let Some(at) = connection.revoked {
        field("revoked", &utc(at));
    }
}

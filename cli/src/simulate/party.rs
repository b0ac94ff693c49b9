//! The parties of the simulation, one process each.
use std::path::{Path, PathBuf};

/// A party.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Party {
    /// Simulated AWS KMS.
    Kms,
    /// Authorization server and vault of records.
    ControlPlane,
    /// Untrusted host process.
    Parent,
    /// Simulated enclave.
    Enclave,
    /// Demo API over TLS.
    Upstream,
    /// Gateway for MCP servers in other languages.
    Gateway,
    /// Demo MCP server.
    Mcp,
}

impl Party {
    /// Every party, in the order in which they start.
    pub(crate) const ALL: [Party; 7] = [
        Party::Kms,
        Party::ControlPlane,
        Party::Parent,
        Party::Enclave,
        Party::Upstream,
        Party::Gateway,
        Party::Mcp,
    ];

    /// The party's name: of its log, its configuration and its hidden command.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Party::Kms => "kms",
            Party::ControlPlane => "control-plane",
            Party::Parent => "parent",
            Party::Enclave => "enclave",
            Party::Upstream => "upstream",
            Party::Gateway => "gateway",
            Party::Mcp => "mcp",
        }
    }

    /// The binary that operators run for this party; demo parties have none.
    fn shipped_binary(self) -> Option<&'static str> {
        match self {
            Party::Kms => Some("dauth-kms-sim"),
            Party::ControlPlane => Some("dauth-control-plane"),
            Party::Parent => Some("dauth-parent"),
            Party::Enclave => Some("dauth-enclave-sim"),
            Party::Gateway | Party::Upstream | Party::Mcp => None,
        }
    }
}

/// Where the programs of the parties come from.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// This program: under a hidden command it is any party, so that `cargo run` builds nothing else.
    pub(crate) this: PathBuf,
    /// The folder of the shipped binaries, which are run instead; this program for the demo parties.
    pub(crate) shipped: Option<PathBuf>,
    /// What boots the simulated enclave in a virtual machine.
    pub(crate) enclave_vm: Option<PathBuf>,
}

impl Programs {
    /// The program of a party and its arguments.
    pub(crate) fn of(&self, party: Party, configuration: &Path) -> (PathBuf, Vec<PathBuf>) {
        let flagged = [PathBuf::from("--config"), configuration.to_owned()];
        if let (Party::Enclave, Some(program)) = (party, &self.enclave_vm) {
            return (program.clone(), flagged.to_vec());
        }
        match (&self.shipped, party.shipped_binary()) {
            (Some(folder), Some(binary)) => (folder.join(binary), flagged.to_vec()),
            _ => {
                let hidden = [PathBuf::from("party"), PathBuf::from(party.name())];
                (self.this.clone(), [hidden, flagged].concat())
            }
        }
    }
}

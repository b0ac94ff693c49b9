//! `[process]` and `[log]`: who the process is, and what it says.
use serde::{Deserialize, Serialize};

/// `[process]`: who the process is once it has bound its listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Process {
    /// The user to become, with its groups. A process that is started as root must name one, or
    /// say that it stays root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// What is thought of running on as root.
    pub as_root: AsRoot,
}

/// What is thought of running on as root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AsRoot {
    /// The parent does not serve.
    #[default]
    Refused,
    /// It serves: in a container, for instance, that has no other user.
    Permitted,
}

/// `[log]`: what is logged; `RUST_LOG` comes before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A level, or directives as in `RUST_LOG`: `info,dauth_parent=debug`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
        }
    }
}

//! What a person sees: who did what, and who could see what.
#![allow(clippy::print_stdout, reason = "this is the command's result")]

use std::path::Path;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::json;

use super::{
    party::Party,
    supervisor::{Death, Pids},
};
use crate::{
    failure::Failure,
    output::{self, Output},
};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// One step of the flow, once it is known how it went.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    /// Who acted.
    pub(crate) who: &'static str,
    /// What was done.
    pub(crate) what: String,
    /// Who could see what.
    pub(crate) seen: &'static str,
}

#[derive(Debug, Serialize)]
struct Step {
    #[serde(flatten)]
    told: Told,
    held: bool,
}

/// Prints steps as they happen, or all of them as JSON at the end.
pub(crate) struct Narrator {
    output: Output,
    steps: Vec<Step>,
    parties: Pids,
}

impl Narrator {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output,
            steps: Vec::new(),
            parties: Pids::new(),
        }
    }

    pub(crate) fn starting(&self, dir: &Path) {
        if self.output == Output::Text {
            anstream::println!("{BOLD}DAuth, simulated on this machine{BOLD:#}");
            anstream::println!(
                "{DIM}state in {}; starting seven processes …{DIM:#}",
                dir.display()
            );
        }
    }

    pub(crate) fn started(&mut self, pids: &Pids) {
        self.parties.clone_from(pids);
        if self.output == Output::Json {
            return;
        }
        anstream::println!();
        for party in Party::ALL {
            let pid = pids.get(&party).map(u32::to_string).unwrap_or_default();
            anstream::println!(
                "  {GOOD}●{GOOD:#} {:<14} {DIM}pid {pid:<8}{DIM:#} {}",
                party.name(),
                role(party)
            );
        }
        anstream::println!();
    }

    /// A step that held.
    pub(crate) fn held(&mut self, told: Told) {
        self.step(told, true);
    }

    /// A step that did not hold.
    pub(crate) fn failed(&mut self, told: Told) {
        self.step(told, false);
    }

    fn step(&mut self, told: Told, held: bool) {
        if self.output == Output::Text {
            let number = self.steps.len() + 1;
            let (style, mark) = if held { (GOOD, "✓") } else { (BAD, "✗") };
            anstream::println!(
                "{style}{mark}{style:#} {BOLD}{number}. {:<11}{BOLD:#} {}",
                told.who,
                told.what
            );
            anstream::println!("     {DIM}seen: {}{DIM:#}", told.seen);
        }
        self.steps.push(Step { told, held });
    }

    pub(crate) fn finish(&self, dir: &Path, held: &Result<(), Failure>) {
        if self.output == Output::Json {
            let parties: serde_json::Map<_, _> = self
                .parties
                .iter()
                .map(|(party, pid)| (party.name().to_owned(), json!(pid)))
                .collect();
            return output::json(&json!({
                "held": held.is_ok(),
                "state_dir": dir,
                "profile": dir.join("profile.toml"),
                "parties": parties,
                "steps": self.steps,
            }));
        }
        anstream::println!();
        match held {
            Ok(()) => anstream::println!(
                "{GOOD}Every step held.{GOOD:#} The credential was in plaintext at its owner, in the \
                 enclave and at the API."
            ),
            Err(failure) => anstream::println!("{BAD}A step did not hold:{BAD:#} {failure}"),
        }
    }

    /// How to use the simulation while it stays up.
    pub(crate) fn invite(&self, dir: &Path) {
        if self.output == Output::Json {
            return;
        }
        anstream::println!();
        anstream::println!("To connect a credential of your own while this runs:");
        anstream::println!(
            "  export DAUTH_PROFILE='{}'",
            dir.join("profile.toml").display()
        );
        let this = std::env::current_exe().unwrap_or_else(|_| "dauth".into());
        anstream::println!(
            "  {} connect NAME --base-url https://… --bearer --allow 'GET /**' --secret-file FILE",
            this.display()
        );
        anstream::println!(
            "{DIM}Addresses are in {}{DIM:#}",
            dir.join("stack.json").display()
        );
    }

    pub(crate) fn died(&self, death: &Death) {
        if self.output == Output::Text {
            anstream::println!(
                "{DIM}{} ended ({}); it is started again{DIM:#}",
                death.party.name(),
                death.status
            );
        }
    }
}

fn role(party: Party) -> &'static str {
    match party {
        Party::Kms => "releases the keyset's key to the measured image alone",
        Party::ControlPlane => "issues tokens, stores ciphertext",
        Party::Parent => "relays bytes in and out of the enclave; trusted with nothing",
        Party::Enclave => "the one place that opens a credential",
        Party::Upstream => "a demo API over TLS",
        Party::Gateway => "dispatches for MCP servers in other languages",
        Party::Mcp => "a demo MCP server; it never holds a credential",
    }
}

//! What an audit says, for a person or a program.
#![allow(clippy::print_stdout, reason = "results go to stdout")]

use dauth_client::audit::{Audit, BootReport, ConnectionReport, Extent};
use serde_json::{Value, json};

use crate::output::{self, Output, shown, utc};

pub(super) fn audit(audit: &Audit, extent: Extent, output: Output) {
    match output {
        Output::Json => output::json(&as_json(audit)),
        Output::Text => as_text(audit, extent),
    }
}

fn as_json(audit: &Audit) -> Value {
    let mut shown = json!({ "holds": audit.holds() });
    if let (Value::Object(shown), Ok(Value::Object(mut fields))) =
        (&mut shown, serde_json::to_value(audit))
    {
        // Each finding as a sentence beside its parts.
        if let Some(Value::Array(findings)) = fields.get_mut("findings") {
            for (shown, finding) in findings.iter_mut().zip(&audit.findings) {
                shown["sentence"] = finding.to_string().into();
            }
        }
        shown.extend(fields);
    }
    shown
}

fn as_text(audit: &Audit, extent: Extent) {
    for boot in &audit.boots {
        print_boot(boot);
    }
    for connection in &audit.connections {
        print_connection(connection);
    }
    if !audit.holds() {
        anstream::println!();
        for finding in &audit.findings {
            anstream::println!("found: {}", shown(&finding.to_string()));
        }
        return;
    }
    let count = audit.receipts;
    anstream::println!();
    anstream::println!(
        "{} signed for by the attested enclave, unchanged and in place; {}.",
        counted(count, "receipt is", "receipts are"),
        match extent {
            Extent::Whole => "no call of these connections is missing up to the last one shown",
            Extent::Part => "none is missing between the first and the last of this part",
        }
    );
    anstream::println!(
        "This shows integrity, not completeness: later receipts may have been held back."
    );
}

fn print_boot(boot: &BootReport) {
    anstream::println!("boot {}", boot.boot);
    anstream::println!(
        "  {} in {}, places {} to {}",
        counted(boot.receipts, "receipt", "receipts"),
        counted(boot.batches, "batch", "batches"),
        boot.first,
        boot.last
    );
    if boot.others > 0 {
        let places = counted(boot.others, "place", "places");
        anstream::println!("  {places} in them with receipts of others");
    }
    if boot.not_shown > 0 {
        let places = counted(boot.not_shown, "place", "places");
        anstream::println!("  {places} between them, of others or not shown");
    }
    if boot.former_key_batches > 0 {
        let batches = counted(boot.former_key_batches, "batch", "batches");
        anstream::println!("  {batches} signed by a former receipt key of the enclave");
    }
}

fn print_connection(connection: &ConnectionReport) {
    anstream::println!("{}", connection.handle);
    let (first, last) = (connection.first_ms / 1000, connection.last_ms / 1000);
    anstream::println!(
        "  {}, {} to {}",
        counted(connection.receipts, "call", "calls"),
        utc(first),
        utc(last)
    );
    let parts = [
        (connection.answered, "answered"),
        (connection.refused, "refused"),
        (connection.unanswered, "unanswered"),
        (connection.broken, "broken off"),
        (connection.abandoned, "left by the caller"),
        (
            connection.reflected,
            "with the credential in the reply, redacted",
        ),
    ];
    let told = parts.iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    anstream::println!("  {}", told.join(", "));
    for server in &connection.servers {
        anstream::println!("  called by {}", shown(server));
    }
    for fingerprint in &connection.fingerprints {
        anstream::println!("  record {fingerprint}");
    }
    if connection.restarts > 0 {
        let times = counted(connection.restarts, "time", "times");
        anstream::println!("  numbered anew by the enclave {times}");
    }
    if connection.suspended {
        anstream::println!(
            "  SUSPENDED: its upstream's replies held the credential too often; rotate it with \
             `dauth connections rotate`, once you know why"
        );
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

//! What an audit says, for a person or a program.
use std::fmt::{self, Write};

use dauth_client::audit::{Audit, BootReport, ConnectionReport, Extent};
use serde_json::{Value, json};

use crate::output::{Output, shown, utc};

/// All of it, as one text.
pub(super) fn audit(audit: &Audit, extent: Extent, output: Output) -> String {
    let mut text = String::new();
    let written = match output {
        Output::Json => writeln!(text, "{:#}", as_json(audit)),
        Output::Text => as_text(audit, extent, &mut text),
    };
    debug_assert!(written.is_ok(), "a String takes everything");
    text
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

fn as_text(audit: &Audit, extent: Extent, to: &mut String) -> fmt::Result {
    for boot in &audit.boots {
        write_boot(boot, to)?;
    }
    for connection in &audit.connections {
        write_connection(connection, to)?;
    }
    if !audit.holds() {
        writeln!(to)?;
        for finding in &audit.findings {
            writeln!(to, "found: {}", shown(&finding.to_string()))?;
        }
        return Ok(());
    }
    let count = audit.receipts;
    writeln!(to)?;
    writeln!(
        to,
        "{} signed for by the attested enclave, unchanged and in place; {}.",
        counted(count, "receipt is", "receipts are"),
        match extent {
            Extent::Whole => "no call of these connections is missing up to the last one shown",
            Extent::Part => "none is missing between the first and the last of this part",
        }
    )?;
    writeln!(
        to,
        "This shows integrity, not completeness: later receipts may have been held back."
    )?;
    Ok(())
}

fn write_boot(boot: &BootReport, to: &mut String) -> fmt::Result {
    writeln!(to, "boot {}", boot.boot)?;
    writeln!(
        to,
        "  {} in {}, places {} to {}",
        counted(boot.receipts, "receipt", "receipts"),
        counted(boot.batches, "batch", "batches"),
        boot.first,
        boot.last
    )?;
    if boot.others > 0 {
        let places = counted(boot.others, "place", "places");
        writeln!(to, "  {places} in them with receipts of others")?;
    }
    if boot.not_shown > 0 {
        let places = counted(boot.not_shown, "place", "places");
        writeln!(to, "  {places} between them, of others or not shown")?;
    }
    if boot.former_key_batches > 0 {
        let batches = counted(boot.former_key_batches, "batch", "batches");
        writeln!(
            to,
            "  {batches} signed by a former receipt key of the enclave"
        )?;
    }
    Ok(())
}

fn write_connection(connection: &ConnectionReport, to: &mut String) -> fmt::Result {
    writeln!(to, "{}", connection.handle)?;
    let (first, last) = (connection.first_ms / 1000, connection.last_ms / 1000);
    writeln!(
        to,
        "  {}, {} to {}",
        counted(connection.receipts, "call", "calls"),
        utc(first),
        utc(last)
    )?;
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
    writeln!(to, "  {}", told.join(", "))?;
    for server in &connection.servers {
        writeln!(to, "  called by {}", shown(server))?;
    }
    for fingerprint in &connection.fingerprints {
        writeln!(to, "  record {fingerprint}")?;
    }
    if connection.restarts > 0 {
        let times = counted(connection.restarts, "time", "times");
        writeln!(to, "  numbered anew by the enclave {times}")?;
    }
    if connection.suspended {
        writeln!(
            to,
            "  SUSPENDED: its upstream's replies held the credential too often; rotate it with \
             `dauth connections rotate`, once you know why"
        )?;
    }
    Ok(())
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

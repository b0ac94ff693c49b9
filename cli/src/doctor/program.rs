//! Programs of the host.
use std::{path::PathBuf, process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt as _, process::Command, time};

use super::host::Host;

/// How long a program may take to say its version.
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_OUTPUT_BYTES: u64 = 4096;

/// Where a program is.
pub(super) fn find(host: &Host, name: &str) -> Option<PathBuf> {
    host.search
        .iter()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// What a program prints first when it is asked for its version.
pub(super) async fn version(program: &PathBuf) -> Option<String> {
    let mut child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut output = Vec::new();
    let stdout = child.stdout.take()?;
    let read = async {
        stdout
            .take(MAX_OUTPUT_BYTES)
            .read_to_end(&mut output)
            .await?;
        child.wait().await
    };
    let status = time::timeout(TIMEOUT, read).await.ok()?.ok()?;
    let text = String::from_utf8(output).ok()?;
    let line = text.lines().next()?.trim();
    (status.success() && !line.is_empty()).then(|| line.to_owned())
}

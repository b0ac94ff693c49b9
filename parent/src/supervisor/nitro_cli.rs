//! nitro-cli: the program that starts, lists and ends enclaves. What it says is parsed with bounds;
//! it is asked for one thing per process, and a process that takes too long is killed.
use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    task::JoinHandle,
    time::timeout,
};

use crate::configuration::{DebugMode, Enclave, Supervisor};

/// The longest answer; a description of four enclaves has some 3 kB.
const MAX_ANSWER_BYTES: u64 = 256 * 1024;
/// How much of a complaint is kept.
const MAX_COMPLAINT_CHARS: usize = 300;
/// How long an answer may take once the process has ended: what nitro-cli leaves running may hold
/// its standard output open.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// The program, and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NitroCli {
    program: PathBuf,
    timeout: Duration,
    debug_mode: DebugMode,
}

/// Why nitro-cli did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum NitroCliError {
    /// The program is not there, or not for us.
    #[error("cannot run {}: {source}", program.display())]
    Spawn {
        /// What was to be run.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It failed, and said this.
    #[error("nitro-cli {command} failed: {complaint}")]
    Failed {
        /// What was asked.
        command: &'static str,
        /// Its standard error, cut.
        complaint: String,
    },
    /// It took too long and was killed.
    #[error("nitro-cli {0} took too long")]
    TimedOut(&'static str),
    /// Its answer is not the one that nitro-cli 1.x gives.
    #[error("the answer of nitro-cli {0} is not understood")]
    Answer(&'static str),
}

/// An enclave that was started.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Started {
    #[serde(rename = "EnclaveID")]
    pub(super) enclave_id: String,
    #[serde(rename = "EnclaveCID")]
    pub(super) cid: u32,
}

/// An enclave that runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Described {
    #[serde(rename = "EnclaveID")]
    pub(super) enclave_id: String,
    #[serde(rename = "EnclaveCID")]
    pub(super) cid: u32,
    /// Older versions have no names.
    #[serde(rename = "EnclaveName", default)]
    pub(super) name: String,
    /// `RUNNING`, or `TERMINATING`.
    pub(super) state: String,
    /// `NONE` or `DEBUG_MODE`.
    #[serde(default)]
    pub(super) flags: String,
    #[serde(default)]
    measurements: Option<Measurements>,
}

impl Described {
    pub(super) fn is_running(&self) -> bool {
        self.state == "RUNNING"
    }

    /// Whatever is not said to be without it, also where nothing is said.
    pub(super) fn is_in_debug_mode(&self) -> bool {
        self.flags != "NONE"
    }

    /// The image, by its measurement.
    pub(super) fn image(&self) -> Option<ImageId> {
        self.measurements.as_ref().and_then(Measurements::image)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Measurements {
    #[serde(rename = "PCR0", default)]
    pcr0: Option<ImageId>,
}

impl Measurements {
    fn image(&self) -> Option<ImageId> {
        self.pcr0.clone().filter(|pcr0| !pcr0.0.is_empty())
    }
}

/// An image, by its PCR0. It tells one image from another and is trusted with nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct ImageId(String);

#[derive(Deserialize)]
struct DescribedImage {
    #[serde(rename = "Measurements")]
    measurements: Measurements,
}

impl NitroCli {
    pub(super) fn new(configuration: &Supervisor) -> Self {
        Self {
            program: configuration.nitro_cli.clone(),
            timeout: Duration::from_secs(configuration.command_timeout_s),
            debug_mode: configuration.debug_mode,
        }
    }

    /// `run-enclave`: returns once the enclave was given its memory and boots.
    pub(super) async fn run(
        &self,
        enclave: &Enclave,
        cid: u32,
        name: &str,
    ) -> Result<Started, NitroCliError> {
        let (cpus, memory, cid_text) = (
            enclave.cpus.to_string(),
            enclave.memory_mib.to_string(),
            cid.to_string(),
        );
        let mut arguments: Vec<&OsStr> = [
            "--cpu-count",
            &cpus,
            "--memory",
            &memory,
            "--enclave-cid",
            &cid_text,
            "--enclave-name",
            name,
            "--eif-path",
        ]
        .map(OsStr::new)
        .into();
        arguments.push(enclave.eif.as_os_str());
        if self.debug_mode == DebugMode::Used {
            arguments.push(OsStr::new("--debug-mode"));
        }
        let started: Started = self.ask("run-enclave", &arguments).await?;
        match started.cid == cid {
            true => Ok(started),
            false => {
                let _ = self.terminate(&started.enclave_id).await;
                Err(NitroCliError::Answer("run-enclave"))
            }
        }
    }

    /// `describe-enclaves`: all that run on this instance.
    pub(super) async fn describe(&self) -> Result<Vec<Described>, NitroCliError> {
        self.ask("describe-enclaves", &[]).await
    }

    /// `terminate-enclave`.
    pub(super) async fn terminate(&self, enclave_id: &str) -> Result<(), NitroCliError> {
        let arguments = ["--enclave-id", enclave_id].map(OsStr::new);
        self.answer("terminate-enclave", &arguments).await.map(drop)
    }

    /// `describe-eif`: the measurement of an image in a file.
    pub(super) async fn measure(&self, eif: &Path) -> Result<ImageId, NitroCliError> {
        let arguments = [OsStr::new("--eif-path"), eif.as_os_str()];
        let described: DescribedImage = self.ask("describe-eif", &arguments).await?;
        let image = described.measurements.image();
        image.ok_or(NitroCliError::Answer("describe-eif"))
    }

    async fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        command: &'static str,
        arguments: &[&OsStr],
    ) -> Result<T, NitroCliError> {
        let answer = self.answer(command, arguments).await?;
        serde_json::from_slice(&answer).map_err(|_| NitroCliError::Answer(command))
    }

    /// Its standard output, when it succeeds.
    async fn answer(
        &self,
        command: &'static str,
        arguments: &[&OsStr],
    ) -> Result<Vec<u8>, NitroCliError> {
        timeout(self.timeout, self.process(command, arguments))
            .await
            .map_err(|_| NitroCliError::TimedOut(command))?
    }

    async fn process(
        &self,
        command: &'static str,
        arguments: &[&OsStr],
    ) -> Result<Vec<u8>, NitroCliError> {
        let failed = |source| NitroCliError::Spawn {
            program: self.program.clone(),
            source,
        };
        let mut child = Command::new(&self.program)
            .arg(command)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A terminal's Ctrl-C is for the parent.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let answer = Heard::of(child.stdout.take());
        let complaint = Heard::of(child.stderr.take());
        let status = child.wait().await.map_err(failed)?;
        if status.success() {
            return Ok(answer.end().await);
        }
        Err(NitroCliError::Failed {
            command,
            complaint: one_line(&complaint.end().await),
        })
    }
}

/// What a process says, as far as it fits.
struct Heard {
    bytes: Arc<Mutex<Vec<u8>>>,
    listening: JoinHandle<()>,
}

impl Heard {
    fn of(stream: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&bytes);
        let listening = tokio::spawn(async move {
            let Some(stream) = stream else { return };
            let mut stream = stream.take(MAX_ANSWER_BYTES);
            let mut part = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut part).await {
                let part = part.get(..read).unwrap_or_default();
                locked(&heard).extend_from_slice(part);
            }
        });
        Self { bytes, listening }
    }

    /// All of it; or what came, when something else holds the stream open.
    async fn end(mut self) -> Vec<u8> {
        if timeout(ANSWER_TIMEOUT, &mut self.listening).await.is_err() {
            self.listening.abort();
        }
        std::mem::take(&mut *locked(&self.bytes))
    }
}

fn locked(bytes: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For the log: no line breaks, no control characters, not endless.
fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> = text.split_whitespace().collect();
    let plain = |c: char| if c.is_control() { '?' } else { c };
    words
        .join(" ")
        .chars()
        .map(plain)
        .take(MAX_COMPLAINT_CHARS)
        .collect()
}

#[cfg(test)]
mod tests;

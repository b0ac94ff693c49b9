//! `dauth simulate` as a child process, and `dauth` against it.
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::StackFile;

/// How long a stack may take to be ready on a busy machine, where its enclave may have to boot.
const READY_TIMEOUT: Duration = Duration::from_secs(240);
/// How often a condition of another process is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A running simulation in a state directory of its own. It is stopped on drop.
pub struct Stack {
    simulate: Child,
    dir: PathBuf,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    _temporary: Option<TempDir>,
}

/// What `dauth` printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// The exit status.
    pub code: i32,
}

impl Stack {
    /// Starts a stack in a new directory and waits until it is ready.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a stack with more options for `dauth simulate`.
    pub fn start_with(options: &[&str]) -> Self {
        Self::start_in_environment(options, &[])
    }

    /// Starts a stack with more options and environment variables for `dauth simulate`.
    pub fn start_in_environment(options: &[&str], environment: &[(&str, &str)]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("state");
        let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
        let environment: Vec<_> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let simulate = spawn(&dir, &options, &environment);
        let mut stack = Self {
            simulate,
            dir,
            options,
            environment,
            _temporary: Some(temporary),
        };
        stack.wait_until_ready();
        stack
    }

    /// Stops every party and starts the stack again on the same directory.
    pub fn restart(&mut self) {
        self.stop();
        self.simulate = spawn(&self.dir, &self.options, &self.environment);
        self.wait_until_ready();
    }

    /// Stops every party with SIGTERM, as an operator would.
    pub fn stop(&mut self) {
        let pid = self.simulate.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        self.simulate.wait().unwrap();
    }

    /// Runs `dauth simulate --once` on this stack's directory, to its end. Stop the stack before.
    pub fn simulate_once(&self, options: &[&str]) -> Ran {
        simulate_once(&self.dir, options)
    }

    /// The pid of `dauth simulate` itself, which supervises the parties.
    pub fn supervisor(&self) -> u32 {
        self.simulate.id()
    }

    /// What `dauth simulate` has printed.
    pub fn output(&self) -> String {
        fs::read_to_string(self.dir.with_extension("log")).unwrap_or_default()
    }

    /// The state directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `stack.json` as it is now.
    pub fn file(&self) -> StackFile {
        let text = fs::read_to_string(self.dir.join("stack.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// `dauth` with this stack's profile.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("dauth"));
        command
            .args(arguments)
            .env("DAUTH_PROFILE", self.file().profile);
        command
    }

    /// Runs `dauth` to its end.
    pub fn dauth(&self, arguments: &[&str]) -> Ran {
        self.dauth_with_input(arguments, b"")
    }

    /// Runs `dauth` to its end with something on standard input.
    pub fn dauth_with_input(&self, arguments: &[&str], input: &[u8]) -> Ran {
        run(self.command(arguments), input)
    }

    /// Connects a secret and returns its handle.
    pub fn connect(&self, name: &str, base_url: &str, secret: &str, options: &[&str]) -> String {
        let arguments = [&["connect", name, "--base-url", base_url][..], options].concat();
        let ran = self.dauth_with_input(&arguments, secret.as_bytes());
        assert_eq!(ran.code, 0, "connect: {}", ran.stderr);
        ran.stdout.trim_end().to_owned()
    }

    fn wait_until_ready(&mut self) {
        let file = self.dir.join("stack.json");
        let pid = self.simulate.id();
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            // The file of an earlier run names pids that are gone.
            let ready = fs::read_to_string(&file)
                .ok()
                .and_then(|text| serde_json::from_str::<StackFile>(&text).ok())
                .is_some_and(|stack| stack.pids().values().all(|party| is_child(*party, pid)));
            if ready {
                return;
            }
            if let Some(status) = self.simulate.try_wait().unwrap() {
                panic!(
                    "dauth simulate (pid {pid}) ended: {status}; logs: {}",
                    self.logs()
                );
            }
            assert!(
                Instant::now() < deadline,
                "dauth simulate is not ready; logs: {}",
                self.logs()
            );
            thread::sleep(POLL);
        }
    }

    /// The logs of every party.
    pub fn logs(&self) -> String {
        let Ok(entries) = fs::read_dir(self.dir.join("logs")) else {
            return String::new();
        };
        entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                Some(format!(
                    "\n== {}\n{}",
                    path.display(),
                    fs::read_to_string(&path).ok()?
                ))
            })
            .collect()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Ok(None) = self.simulate.try_wait() {
            self.stop();
        }
    }
}

/// Whether `pid` runs and was started by `parent`: the pid alone may by now be another's.
fn is_child(pid: u32, parent: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| {
        status
            .lines()
            .filter_map(|line| line.strip_prefix("PPid:"))
            .any(|found| found.trim() == parent.to_string())
    })
}

/// Waits for something that another process does; the sentence says what did not happen.
pub fn wait_until(sentence: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + READY_TIMEOUT;
    while !holds() {
        assert!(Instant::now() < deadline, "did not happen: {sentence}");
        thread::sleep(POLL);
    }
}

fn spawn(dir: &Path, options: &[String], environment: &[(String, String)]) -> Child {
    let log = dir.with_extension("log");
    let output = fs::File::create(&log).unwrap();
    Command::new(binary("dauth"))
        .arg("simulate")
        .arg("--state-dir")
        .arg(dir)
        .args(options)
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap()
}

/// Runs `dauth simulate --once` to its end.
pub fn simulate_once(dir: &Path, options: &[&str]) -> Ran {
    let mut command = Command::new(binary("dauth"));
    command
        .args(["simulate", "--once", "--state-dir"])
        .arg(dir)
        .args(options);
    run(command, b"")
}

/// Runs a command to its end with something on standard input.
fn run(mut command: Command, input: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that ends without reading is not this function's failure.
    let _ = child.stdin.take().unwrap().write_all(input);
    Ran::from(child.wait_with_output().unwrap())
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code().unwrap_or(-1),
        }
    }
}

/// A binary of this workspace, built for this test's profile.
pub fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let this = std::env::current_exe().unwrap();
        let folder = this.parent().unwrap();
        // A test's own program lies in `target/<profile>/deps`, a binary one folder above.
        let is_test = folder.ends_with("deps");
        let folder = if is_test {
            folder.parent().unwrap()
        } else {
            folder
        }
        .to_owned();
        let mut build = Command::new(env!("CARGO"));
        build
            .args(["build", "--workspace", "--bins", "--locked", "--quiet"])
            // The folder that this test was built in, however it was chosen.
            .arg("--target-dir")
            .arg(folder.parent().unwrap());
        if folder.ends_with("release") {
            build.arg("--release");
        }
        let status = build
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(status.success(), "the binaries do not build");
        folder
    });
    folder.join(name)
}

//! One virtual machine and the process that gives it vsock.
use std::{
    fs,
    io::{self, Read, Write},
    os::unix::{
        net::{UnixListener, UnixStream},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::Tools;

/// How long a machine may take to start, or to end, on a busy host under emulation.
const TIMEOUT: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(20);
/// Where `dauth-init` sends its heartbeat, and what it sends.
const HEARTBEAT_PORT: u32 = 9000;
const HEARTBEAT: u8 = 0xb7;
/// The guest's. Each machine has a vsock device of its own, so that none is shared.
const GUEST_CID: u32 = 16;
/// The guest's writes are of 16 KiB at most; in the default buffer, larger ones stall.
const VSOCK_BUFFER_BYTES: u32 = 16 * 1024;

/// A running machine. It ends with the test, and with the test's process.
pub struct Machine {
    qemu: Child,
    vsock_device: Child,
    folder: PathBuf,
    heartbeats: Arc<AtomicUsize>,
}

impl Machine {
    /// The hybrid vsock of a machine that is to be booted in `folder`.
    pub fn vsock_in(folder: &Path) -> PathBuf {
        folder.join("vsock")
    }

    /// Boots `image`. What listens for the guest is started before, at [`Machine::vsock_in`] with
    /// `_PORT` appended.
    pub fn boot(tools: &Tools, image: &[u8], folder: &Path) -> Self {
        let heartbeats = Arc::default();
        answer_heartbeats(folder, Arc::clone(&heartbeats));
        let vsock_device = start_vsock_device(tools, &Self::vsock_in(folder));
        fs::write(folder.join("image.eif"), image).unwrap();
        let console = fs::File::create(folder.join("console.log")).unwrap();
        let qemu = ended_with_this_process(&qemu(tools, folder))
            .stdin(Stdio::null())
            .stdout(console.try_clone().unwrap())
            .stderr(console)
            .spawn()
            .unwrap();
        Self {
            qemu,
            vsock_device,
            folder: folder.to_owned(),
            heartbeats,
        }
    }

    /// What the guest's kernel and programs have printed.
    pub fn console(&self) -> String {
        let bytes = fs::read(self.folder.join("console.log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How often the guest has said that it is up.
    pub fn heartbeats(&self) -> usize {
        self.heartbeats.load(Ordering::SeqCst)
    }

    /// Waits for words on the console.
    pub fn wait_for(&mut self, words: &str) {
        self.wait(words, |machine| {
            machine.console().contains(words).then_some(())
        });
    }

    /// Waits until the guest has ended by itself.
    pub fn wait_until_ended(&mut self) -> ExitStatus {
        self.wait("the machine ends", |machine| {
            machine.qemu.try_wait().unwrap()
        })
    }

    /// A stream to a port of the guest; an error when nothing listens there.
    pub fn connect(&self, port: u32) -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(Self::vsock_in(&self.folder))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        // In one piece: the device reads once.
        stream.write_all(format!("CONNECT {port}\n").as_bytes())?;
        let mut answer = Vec::new();
        while answer.last() != Some(&b'\n') {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"OK "), "{answer:?}");
        Ok(stream)
    }

    fn wait<T>(&mut self, what: &str, mut found: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let had_ended = self.qemu.try_wait().unwrap().is_some();
            if let Some(found) = found(self) {
                return found;
            }
            let console = || self.console();
            assert!(!had_ended, "ended before '{what}':\n{}", console());
            let is_late = Instant::now() > deadline;
            assert!(!is_late, "did not happen: '{what}':\n{}", console());
            thread::sleep(POLL);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for child in [&mut self.qemu, &mut self.vsock_device] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Boots the image that lies in `folder` in the place of this process, behind the hybrid vsock
/// `vsock`: for a supervisor that started this process as the enclave. Returns when it cannot.
pub fn become_machine(tools: &Tools, folder: &Path, vsock: &Path) -> io::Error {
    let mut device = start_vsock_device(tools, vsock);
    let mut qemu = qemu_with(tools, folder, &control_of(vsock));
    let error = qemu.stdin(Stdio::null()).exec();
    let _ = device.kill();
    let _ = device.wait();
    error
}

/// The socket over which QEMU speaks to the vsock device.
fn control_of(vsock: &Path) -> PathBuf {
    vsock.with_extension("control")
}

fn start_vsock_device(tools: &Tools, vsock: &Path) -> Child {
    let control = control_of(vsock);
    // Of a machine that was here before.
    for socket in [vsock, &control] {
        let _ = fs::remove_file(socket);
    }
    let mut device = Command::new(&tools.vsock_device);
    device.arg("--vm").arg(format!(
        "guest-cid={GUEST_CID},socket={},uds-path={},tx-buffer-size={VSOCK_BUFFER_BYTES}",
        control.display(),
        vsock.display(),
    ));
    let mut device = ended_with_this_process(&device)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + TIMEOUT;
    while !control.exists() {
        assert_eq!(device.try_wait().unwrap(), None, "vhost-device-vsock ended");
        assert!(
            Instant::now() < deadline,
            "vhost-device-vsock does not start"
        );
        thread::sleep(POLL);
    }
    device
}

fn qemu(tools: &Tools, folder: &Path) -> Command {
    qemu_with(tools, folder, &control_of(&Machine::vsock_in(folder)))
}

fn qemu_with(tools: &Tools, folder: &Path, control: &Path) -> Command {
    let mut command = Command::new(&tools.qemu);
    command
        .arg("-L")
        .arg(&tools.firmware)
        .args(["-machine", MACHINE])
        .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-m", "512"])
        .arg("-kernel")
        .arg(folder.join("image.eif"))
        .arg("-chardev")
        .arg(format!("socket,id=vsock,path={}", control.display()))
        .args(["-display", "none", "-monitor", "none", "-serial", "stdio"])
        .arg("-no-reboot")
        .args(["-append", &unmeasured_cmdline()]);
    command
}

/// `acpi=on`: without it, virtio devices are told on the command line, which Debian's kernel does
/// not read.
const MACHINE: &str = "nitro-enclave,vsock=vsock,acpi=on,id=vm-test,\
                       parent-role=arn:aws:iam::000000000000:role/dauth-parent,\
                       parent-id=i-0123456789abcdef0";

/// On a busy host, a kernel that measures its clock under emulation may do so for ever: it is told.
/// So is that the clock can be relied on: compared with ticks that come late, it would be given up for
/// them, and the guest's time would be wrong by seconds.
fn unmeasured_cmdline() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let khz = cpus
        .lines()
        .find_map(|line| line.strip_prefix("cpu MHz")?.split_once(':'))
        .and_then(|(_, mhz)| mhz.trim().replace('.', "").parse::<u64>().ok());
    let khz = khz.unwrap_or(2_500_000);
    format!("tsc_early_khz={khz} tsc=reliable reboot=t")
}

/// The same command; its process is killed when the thread ends that starts it.
fn ended_with_this_process(command: &Command) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped
        .args(["--pdeathsig", "KILL"])
        .arg(command.get_program())
        .args(command.get_args());
    wrapped
}

/// What nitro-cli does once per boot.
fn answer_heartbeats(folder: &Path, count: Arc<AtomicUsize>) {
    let socket = format!("{}_{HEARTBEAT_PORT}", Machine::vsock_in(folder).display());
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut beat = [0];
            if stream.read_exact(&mut beat).is_ok() && beat == [HEARTBEAT] {
                let _ = stream.write_all(&beat);
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
}

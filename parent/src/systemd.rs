//! What the service manager is told (sd_notify(3)): datagrams to the socket in `$NOTIFY_SOCKET`.
use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

/// The service manager; without one, everything is said to nobody.
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It serves, and this many of so many enclaves do.
    Ready {
        /// Enclaves that take connections.
        ready: usize,
        /// Enclaves that there are.
        all: usize,
    },
    /// It reads its configuration again: [`State::Ready`] follows.
    Reloading,
    /// It ends.
    Stopping {
        /// Later than the service manager expects, since enclaves have to end first.
        within: Option<Duration>,
    },
    /// It is alive.
    Watchdog,
}

impl ServiceManager {
    /// As the environment says. A socket that cannot be used is an error: the service manager would
    /// wait for what never comes.
    pub fn from_environment() -> io::Result<Self> {
        let socket = match env::var_os("NOTIFY_SOCKET") {
            Some(name) if !name.is_empty() => Some(connect(&name)?),
            _ => None,
        };
        let is_ours =
            env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let watchdog = env::var("WATCHDOG_USEC")
            .ok()
            .filter(|_| is_ours)
            .and_then(|text| text.parse().ok())
            .filter(|micros| *micros > 0)
            .map(Duration::from_micros);
        Ok(Self { socket, watchdog })
    }

    /// How often [`State::Watchdog`] must be told at least; a third of it is a good measure.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Tells it. A service manager that does not listen is none of ours to wait for.
    pub fn tell(&self, state: &State) {
        let Some(socket) = &self.socket else {
            return;
        };
        let text = match state {
            State::Ready { ready, all } => {
                format!("READY=1\nSTATUS={ready} of {all} enclaves serve\n")
            }
            State::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}\n", monotonic_micros()),
            State::Stopping { within: None } => "STOPPING=1\n".to_owned(),
            State::Stopping {
                within: Some(within),
            } => format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}\n", within.as_micros()),
            State::Watchdog => "WATCHDOG=1\n".to_owned(),
        };
        if let Err(error) = socket.send(text.as_bytes()) {
            tracing::debug!(%error, "sd_notify");
        }
    }
}

/// `$NOTIFY_SOCKET` is a path, or a name in the abstract namespace after `@`.
fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// `CLOCK_MONOTONIC`, as systemd compares it (Type=notify-reload).
fn monotonic_micros() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec
        .saturating_mul(1_000_000)
        .saturating_add(now.tv_nsec / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(socket: UnixDatagram) -> ServiceManager {
        ServiceManager {
            socket: Some(socket),
            watchdog: None,
        }
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut text = [0; 256];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    }

    #[test]
    fn each_state_is_told_at_a_path_and_at_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let abstract_name = format!("dauth-parent-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(abstract_name.as_bytes()).unwrap();
        for (listener, name) in [
            (
                UnixDatagram::bind(&path).unwrap(),
                path.display().to_string(),
            ),
            (
                UnixDatagram::bind_addr(&address).unwrap(),
                format!("@{abstract_name}"),
            ),
        ] {
            let manager = manager(connect(OsStr::new(&name)).unwrap());
            manager.tell(&State::Ready { ready: 1, all: 2 });
            assert_eq!(heard(&listener), "READY=1\nSTATUS=1 of 2 enclaves serve\n");
            manager.tell(&State::Reloading);
            let reloading = heard(&listener);
            let micros = reloading
                .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
                .unwrap();
            assert!(micros.trim_end().parse::<u64>().unwrap() > 0);
            manager.tell(&State::Stopping { within: None });
            assert_eq!(heard(&listener), "STOPPING=1\n");
            let within = Some(Duration::from_secs(5));
            manager.tell(&State::Stopping { within });
            let extended = "STOPPING=1\nEXTEND_TIMEOUT_USEC=5000000\n";
            assert_eq!(heard(&listener), extended);
            manager.tell(&State::Watchdog);
            assert_eq!(heard(&listener), "WATCHDOG=1\n");
        }
    }

    #[test]
    fn a_socket_that_is_not_there_is_an_error_and_no_other_form_is_taken() {
        for name in ["/nowhere/notify", "notify", "vsock:2:1"] {
            assert!(connect(OsStr::new(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _listener = UnixDatagram::bind(&path).unwrap();
        let manager = manager(connect(path.as_os_str()).unwrap());
        for _ in 0..10_000 {
            manager.tell(&State::Watchdog);
        }
    }
}

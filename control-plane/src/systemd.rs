//! What the service manager is told (sd_notify(3)): datagrams to the socket in `$NOTIFY_SOCKET`.
use std::{
    env,
    ffi::OsStr,
    future::Future,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use tokio::time::interval;

/// The service manager; without one, everything is said to nobody.
pub(crate) struct ServiceManager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// As the environment says. A socket that cannot be used is an error: the service manager would
    /// wait for what never comes.
    pub(crate) fn from_environment() -> io::Result<Self> {
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

    /// Says that this process serves, that it is alive for as long as it does, and that it stops when
    /// `shutdown` ends.
    pub(crate) async fn tell_until(self, shutdown: impl Future<Output = ()>) {
        self.tell("READY=1\n");
        tokio::select! {
            () = shutdown => {}
            () = self.tell_alive() => {}
        }
        self.tell("STOPPING=1\n");
    }

    /// From the tasks' own runtime: one that hangs tells nothing.
    async fn tell_alive(&self) {
        let Some(watchdog) = self.watchdog else {
            return std::future::pending().await;
        };
        let mut alive = interval((watchdog / 3).max(Duration::from_millis(1)));
        loop {
            alive.tick().await;
            self.tell("WATCHDOG=1\n");
        }
    }

    /// A service manager that does not listen is none of ours to wait for.
    fn tell(&self, state: &str) {
        let told = self
            .socket
            .as_ref()
            .map(|socket| socket.send(state.as_bytes()));
        if let Some(Err(error)) = told {
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

//! The clock: certificates, tokens and requests to KMS are judged by it.
use super::{finding::Finding, host::Host};

/// The enclave has its time from the hypervisor; the host's serves tokens and the AWS clients.
pub(super) fn synchronized(host: &Host) -> Finding {
    const NAME: &str = "clock";
    // systemd-timesyncd(8) makes the first when the clock was set; chronyd(8) the second as it runs.
    if host.has("/run/systemd/timesync/synchronized") {
        return Finding::ok(NAME, "systemd-timesyncd has set the clock");
    }
    if host.has("/run/chrony/chronyd.pid") {
        return Finding::ok(NAME, "chronyd runs");
    }
    Finding::missing(
        NAME,
        "neither chronyd nor systemd-timesyncd keeps the clock",
        "dnf install -y chrony && systemctl enable --now chronyd",
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::{finding::State, host::tests::Folder},
        *,
    };

    #[test]
    fn somebody_keeps_the_clock() {
        let folder = Folder::new();
        assert_eq!(synchronized(&folder.host).state, State::Missing);
        folder.write("/run/chrony/chronyd.pid", "1\n");
        assert_eq!(synchronized(&folder.host).state, State::Ok);
        let folder = Folder::new();
        folder.write("/run/systemd/timesync/synchronized", "");
        assert_eq!(synchronized(&folder.host).state, State::Ok);
    }
}

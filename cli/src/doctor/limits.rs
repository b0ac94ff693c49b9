//! Limits of processes.
use super::{finding::Finding, host::Host};

const LIMITS: &str = "/proc/self/limits";
/// Two for each of the connections that the parent allows by default, and room for its own.
const MIN_FILES: u64 = 2 * (1024 + 4096) + 64;
/// What the simulated enclave locks into memory.
const MIN_LOCKED_BYTES: u64 = 64 * 1024 * 1024;

pub(super) fn examine(host: &Host) -> [Finding; 2] {
    let limits = host.read(LIMITS).unwrap_or_default();
    [
        open_files(hard(&limits, "Max open files")),
        locked_memory(hard(&limits, "Max locked memory")),
    ]
}

fn open_files(limit: Option<u64>) -> Finding {
    const NAME: &str = "open-files";
    match limit {
        None => Finding::not_checked(NAME, format!("{LIMITS} does not tell")),
        Some(limit) if limit >= MIN_FILES => {
            Finding::ok(NAME, format!("{} may be open", counted(limit)))
        }
        Some(limit) => Finding::missing(
            NAME,
            format!(
                "{} may be open, the parent's defaults need {MIN_FILES}",
                counted(limit)
            ),
            "under systemd: LimitNOFILE=65536, as in deploy/systemd; in a shell: ulimit -n 65536",
        ),
    }
}

/// On Nitro the enclave's memory is its own. A simulated one is a process of the host.
fn locked_memory(limit: Option<u64>) -> Finding {
    const NAME: &str = "locked-memory";
    match limit {
        None => Finding::not_checked(NAME, format!("{LIMITS} does not tell")),
        Some(limit) if limit >= MIN_LOCKED_BYTES => {
            Finding::ok(NAME, format!("{} bytes may be locked", counted(limit)))
        }
        Some(limit) => Finding::advice(
            NAME,
            format!("{} bytes may be locked", counted(limit)),
            "a simulated enclave would be swapped to disk: ulimit -l unlimited; enclaves on Nitro \
             do not need it",
        ),
    }
}

fn counted(limit: u64) -> String {
    match limit {
        u64::MAX => "any number".to_owned(),
        limit => limit.to_string(),
    }
}

/// The hard limit, which the parent raises its own to (`proc_pid_limits(5)`).
fn hard(limits: &str, name: &str) -> Option<u64> {
    let values = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match values.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        value => value.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{finding::State, host::tests::Folder},
        *,
    };

    #[test]
    fn enough_files_and_memory() {
        let folder = Folder::new();
        let states = || examine(&folder.host).map(|finding| finding.state);
        assert_eq!(states(), [State::NotChecked, State::NotChecked]);
        let limits = |files: &str, locked: &str| {
            folder.write(
                LIMITS,
                &format!(
                    "Limit                     Soft Limit           Hard Limit           Units     \n\
                     Max open files            1024                 {files}              files     \n\
                     Max locked memory         65536                {locked}            bytes     \n"
                ),
            )
        };
        limits("4096", "65536");
        assert_eq!(states(), [State::Missing, State::Advice]);
        limits("524288", "unlimited");
        assert_eq!(states(), [State::Ok, State::Ok]);
    }
}

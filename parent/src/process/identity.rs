//! Who the threads of this process are, as the kernel tells it (proc_pid_status(5)).
use std::{collections::BTreeSet, fs};

/// `CAP_NET_BIND_SERVICE`: a service manager may give it, and it is no way to other rights.
pub(super) const BIND_LOW_PORTS: u64 = 1 << 10;

/// A user and its group.
#[derive(Clone, Copy)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// What each thread is to be.
pub(super) struct Identity {
    /// The real, effective, saved and file system user and group.
    pub(super) user: User,
    /// All supplementary groups: no more and no fewer.
    pub(super) groups: BTreeSet<u32>,
    /// The capabilities that it may have, permitted or effective. `CAP_SETUID` alone, kept through
    /// the change of the user (capabilities(7), securebits), makes any process root again.
    pub(super) capabilities: u64,
}

impl Identity {
    pub(super) fn is_of_all_threads(&self) -> bool {
        let Ok(threads) = fs::read_dir("/proc/self/task") else {
            return false;
        };
        threads.into_iter().all(|thread| {
            let status = thread.and_then(|thread| fs::read_to_string(thread.path().join("status")));
            status.is_ok_and(|status| self.is_of(&status))
        })
    }

    fn is_of(&self, status: &str) -> bool {
        let ids = |name, id| numbers(status, name).is_some_and(|found| found == [id; 4]);
        let has_groups = numbers(status, "Groups:")
            .is_some_and(|groups| BTreeSet::from_iter(groups) == self.groups);
        let may_have = |name| {
            let set = field(status, name).and_then(|set| u64::from_str_radix(set, 16).ok());
            set.is_some_and(|set| set & !self.capabilities == 0)
        };
        ids("Uid:", self.user.uid)
            && ids("Gid:", self.user.gid)
            && has_groups
            && may_have("CapPrm:")
            && may_have("CapEff:")
    }
}

fn numbers(status: &str, name: &str) -> Option<Vec<u32>> {
    let words = field(status, name)?.split_whitespace();
    words.map(|word| word.parse().ok()).collect()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tx\nUid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\nGroups:\t8 9 \n\
                          CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
                          CapEff:\t0000000000000000\n";

    fn identity(capabilities: u64) -> Identity {
        Identity {
            user: User { uid: 7, gid: 8 },
            groups: [8, 9].into(),
            capabilities,
        }
    }

    #[test]
    fn each_id_group_and_capability_counts() {
        let expected = identity(0);
        assert!(expected.is_of(STATUS));
        for (is, other) in [
            ("7\t7\t7\t7", "7\t7\t0\t7"),
            ("7\t7\t7\t7", "0\t7\t7\t7"),
            ("7\t7\t7\t7", "7\t7\t7"),
            ("8\t8\t8\t8", "8\t8\t8\t0"),
            ("8 9 ", "0 8 9 "),
            ("8 9 ", "8 "),
            ("8 9 ", ""),
            ("Groups:\t8 9 \n", ""),
            // CAP_SETUID.
            ("CapPrm:\t0000000000000000", "CapPrm:\t0000000000000080"),
            ("CapEff:\t0000000000000000", "CapEff:\t0000000000000080"),
            ("CapEff:\t0000000000000000", "CapEff:\t"),
            ("CapPrm:\t0000000000000000\n", ""),
        ] {
            let status = STATUS.replace(is, other);
            assert_ne!(status, STATUS);
            assert!(!expected.is_of(&status), "{status}");
        }
        assert!(!expected.is_of(""));
    }

    #[test]
    fn of_what_a_service_manager_gives_low_ports_alone_stay() {
        let status =
            |set| STATUS.replace("CapPrm:\t0000000000000000", &format!("CapPrm:\t{set:016x}"));
        assert!(identity(BIND_LOW_PORTS).is_of(&status(BIND_LOW_PORTS)));
        assert!(!identity(BIND_LOW_PORTS).is_of(&status(BIND_LOW_PORTS | 1 << 7)));
    }
}

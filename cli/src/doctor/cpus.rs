//! CPUs: those of the instance, and those that the allocator set aside.
use super::{finding::Finding, host::Host};

/// With hyper-threading an enclave gets whole cores, and the host keeps one. Graviton has none.
const MIN_CPUS: usize = if cfg!(target_arch = "aarch64") { 2 } else { 4 };
const MIN_POOL: usize = MIN_CPUS / 2;
const ONLINE: &str = "/sys/devices/system/cpu/online";
/// The driver's parameter, as the allocator sets it.
const POOL: &str = "/sys/module/nitro_enclaves/parameters/ne_cpus";

pub(super) fn examine(host: &Host) -> [Finding; 2] {
    [instance(host), pool(host)]
}

fn instance(host: &Host) -> Finding {
    const NAME: &str = "cpus";
    // What is set aside is offline to the host.
    let online = host.read(ONLINE).map_or(0, |list| count(&list));
    let aside = set_aside(host);
    let total = online + aside;
    if total >= MIN_CPUS {
        Finding::ok(NAME, format!("{total} CPUs"))
    } else {
        Finding::missing(
            NAME,
            format!("{total} CPUs"),
            format!(
                "take an instance with at least {MIN_CPUS} vCPUs: m6i.xlarge, or c6g.large with Graviton"
            ),
        )
    }
}

fn pool(host: &Host) -> Finding {
    const NAME: &str = "enclave-cpus";
    let aside = set_aside(host);
    if aside >= MIN_POOL {
        Finding::ok(NAME, format!("{aside} CPUs are set aside"))
    } else {
        Finding::missing(
            NAME,
            format!("{aside} CPUs are set aside for enclaves"),
            format!(
                "write cpu_count: {MIN_POOL} into /etc/nitro_enclaves/allocator.yaml (see \
                 deploy/allocator.yaml), and: systemctl enable --now nitro-enclaves-allocator"
            ),
        )
    }
}

/// How many are set aside for enclaves.
pub(super) fn set_aside(host: &Host) -> usize {
    host.read(POOL).map_or(0, |list| count(&list))
}

/// How many CPUs a list names, as in `1,5-7` (cpuset(7), "List format").
fn count(list: &str) -> usize {
    let range = |part: &str| -> Option<usize> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.trim()
        .split(',')
        .filter_map(range)
        .fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{finding::State, host::tests::Folder},
        *,
    };

    #[test]
    fn lists_are_counted() {
        for (list, cpus) in [
            ("", 0),
            ("0\n", 1),
            ("1,5\n", 2),
            ("0-3,7", 5),
            ("3-1", 0),
            ("x", 0),
            ("0-18446744073709551615", 0),
        ] {
            assert_eq!(count(list), cpus, "{list:?}");
        }
    }

    #[test]
    fn the_instance_has_enough_and_some_are_set_aside() {
        let folder = Folder::new();
        let states = |host: &Host| examine(host).map(|finding| finding.state);
        assert_eq!(states(&folder.host), [State::Missing, State::Missing]);
        folder.write(ONLINE, "0\n");
        folder.write(POOL, "\n");
        assert_eq!(states(&folder.host), [State::Missing, State::Missing]);
        folder.write(ONLINE, "0-1\n");
        folder.write(POOL, "2-3\n");
        assert_eq!(states(&folder.host), [State::Ok, State::Ok]);
    }
}

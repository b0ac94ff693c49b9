//! Memory for enclaves: what the allocator sets aside in huge pages.
use std::{fs, path::Path};

use super::{finding::Finding, host::Host};

const MIB: u64 = 1024 * 1024;
/// `nitro-cli` wants four times the image, and starts nothing with less than this.
const IMAGE_FACTOR: u64 = 4;
const MIN_BYTES: u64 = 64 * MIB;
const ALLOCATOR: &str = "/etc/nitro_enclaves/allocator.yaml";
const HUGE_PAGES: &str = "/sys/kernel/mm/hugepages";
const RESTART: &str = "systemctl restart nitro-enclaves-allocator";

/// The allocator's file says how much is set aside.
pub(super) fn allocator(host: &Host) -> Finding {
    const NAME: &str = "allocator";
    let remedy = format!(
        "put deploy/allocator.yaml at {ALLOCATOR}, and: systemctl enable --now \
         nitro-enclaves-allocator"
    );
    let Ok(text) = host.read(ALLOCATOR) else {
        return Finding::missing(NAME, format!("there is no {ALLOCATOR}"), remedy);
    };
    match (sum(&text, "memory_mib"), sum(&text, "cpu_count")) {
        (Some(memory), Some(cpus)) => {
            Finding::ok(NAME, format!("{memory} MiB and {cpus} CPUs are asked for"))
        }
        _ => Finding::missing(
            NAME,
            format!("{ALLOCATOR} names no memory_mib or no cpu_count"),
            remedy,
        ),
    }
}

/// Whether an image could be started now.
pub(super) fn huge_pages(host: &Host, eif: Option<&Path>) -> Finding {
    const NAME: &str = "huge-pages";
    let image = match eif.map(fs::metadata).transpose() {
        Ok(image) => image.map(|image| image.len()),
        Err(error) => {
            return Finding::missing(
                NAME,
                format!("the image of --eif cannot be read: {error}"),
                "build one with `dauth eif build`",
            );
        }
    };
    let needed_mib = image.map_or(MIN_BYTES / MIB, needed_mib);
    let free = free_bytes(host);
    let found = format!(
        "{} MiB are free in huge pages, {} are needed{}",
        free / MIB,
        needed_mib,
        if image.is_none() {
            " at least (--eif says how many)"
        } else {
            ""
        }
    );
    if free / MIB >= needed_mib {
        return Finding::ok(NAME, found);
    }
    Finding::missing(
        NAME,
        found,
        format!(
            "set memory_mib in {ALLOCATOR} to {} or more, and: {RESTART}\n\
             an enclave that runs has its share; memory that is fragmented is had by a reboot",
            needed_mib
        ),
    )
}

/// What an enclave of an image needs, in MiB.
pub(super) fn needed_mib(image_bytes: u64) -> u64 {
    let bytes = image_bytes.saturating_mul(IMAGE_FACTOR).max(MIN_BYTES);
    bytes.div_ceil(MIB)
}

/// What the allocator sets aside, in MiB.
pub(super) fn allocated_mib(host: &Host) -> u64 {
    let text = host.read(ALLOCATOR).unwrap_or_default();
    sum(&text, "memory_mib").unwrap_or(0)
}

/// Free huge pages of every size (Documentation/admin-guide/mm/hugetlbpage.rst).
fn free_bytes(host: &Host) -> u64 {
    let Ok(sizes) = fs::read_dir(host.at(HUGE_PAGES)) else {
        return 0;
    };
    sizes
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let kib: u64 = name
                .strip_prefix("hugepages-")?
                .strip_suffix("kB")?
                .parse()
                .ok()?;
            let free = host
                .read(&format!("{HUGE_PAGES}/{name}/free_hugepages"))
                .ok()?;
            let free: u64 = free.trim().parse().ok()?;
            kib.checked_mul(1024)?.checked_mul(free)
        })
        .fold(0, u64::saturating_add)
}

/// The sum of a key's values: newer allocators take a list, an entry for each NUMA node.
fn sum(yaml: &str, key: &str) -> Option<u64> {
    let values: Vec<u64> = yaml
        .lines()
        .filter_map(|line| {
            let line = line.trim_start().trim_start_matches("- ");
            let value = line.strip_prefix(key)?.trim_start().strip_prefix(':')?;
            value.split('#').next()?.trim().parse().ok()
        })
        .collect();
    (!values.is_empty()).then(|| values.into_iter().fold(0, u64::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{finding::State, host::tests::Folder},
        *,
    };

    #[test]
    fn the_allocator_is_configured() {
        let folder = Folder::new();
        assert_eq!(allocator(&folder.host).state, State::Missing);
        folder.write(ALLOCATOR, "---\n# memory_mib: 512\ncpu_count: 2\n");
        assert_eq!(allocator(&folder.host).state, State::Missing);
        folder.write(ALLOCATOR, "---\nmemory_mib: 512 # all\ncpu_count: 2\n");
        let found = allocator(&folder.host);
        assert_eq!(found.state, State::Ok);
        assert!(found.found.contains("512 MiB and 2 CPUs"));
        folder.write(
            ALLOCATOR,
            "- memory_mib: 512\n  cpu_count: 2\n- memory_mib: 256\n  cpu_count: 2\n",
        );
        assert!(allocator(&folder.host).found.contains("768 MiB and 4 CPUs"));
    }

    #[test]
    fn the_file_that_we_ship_is_one() {
        let shipped = include_str!("../../../deploy/allocator.yaml");
        assert!(sum(shipped, "memory_mib").is_some() && sum(shipped, "cpu_count").is_some());
    }

    #[test]
    fn four_times_the_image_must_be_free() {
        let folder = Folder::new();
        let image = folder.write("x.eif", "");
        let file = fs::File::create(&image).unwrap();
        // Sparse: 30 MiB of length.
        file.set_len(30 * MIB).unwrap();
        let state = |eif| huge_pages(&folder.host, eif).state;
        assert_eq!(state(None), State::Missing);
        let pages = |count: u64| {
            folder.write(
                &format!("{HUGE_PAGES}/hugepages-2048kB/free_hugepages"),
                &format!("{count}\n"),
            )
        };
        pages(32);
        assert_eq!(state(None), State::Ok);
        assert_eq!(state(Some(&image)), State::Missing);
        pages(59);
        let short = huge_pages(&folder.host, Some(&image));
        assert_eq!(short.state, State::Missing);
        assert!(short.remedy.unwrap().contains("120"));
        pages(60);
        assert_eq!(state(Some(&image)), State::Ok);
        folder.write(
            &format!("{HUGE_PAGES}/hugepages-1048576kB/free_hugepages"),
            "1\n",
        );
        pages(0);
        assert_eq!(state(Some(&image)), State::Ok);
        assert_eq!(state(Some(Path::new("no-such.eif"))), State::Missing);
    }
}

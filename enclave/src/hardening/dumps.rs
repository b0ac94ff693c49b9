//! What a core dump of this process would hold: nothing.
//!
//! There is none: the process is not dumpable and the limit is zero. Should a kernel make one all
//! the same, its filter leaves out every kind of mapping, and each mapping that can hold data is
//! marked as not to be dumped (core(5), madvise(2)).
#![allow(unsafe_code)]

use std::{fs, io, ops::Range, time::Duration};

use tokio::time::interval;

/// How soon a mapping that was made later is marked as well: an arena, the stack of a thread.
const MARK_EVERY: Duration = Duration::from_secs(5);

/// Leaves every kind of mapping out of dumps. While the process is dumpable: the file is root's
/// afterwards.
pub(super) fn leave_out_every_kind() -> io::Result<()> {
    fs::write("/proc/self/coredump_filter", "0")
}

/// Marks every mapping that there is, and that is or may become writable.
pub(super) fn mark_mappings() -> io::Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    for range in maps.lines().filter_map(data_mapping) {
        mark(range)?;
    }
    Ok(())
}

/// Marks, again and again, what was mapped since.
pub(crate) async fn keep_marking() {
    let mut ticks = interval(MARK_EVERY);
    loop {
        ticks.tick().await;
        // It held at boot. What is not marked for once is left out by its kind.
        let _ = mark_mappings();
    }
}

/// The range of a private mapping that is writable, or reserved to be so later, as in
/// `7f0000000000-7f0000021000 rw-p 00000000 00:00 0 [heap]`.
fn data_mapping(line: &str) -> Option<Range<usize>> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let permissions = fields.next()?;
    let is_data = permissions.contains('w') || permissions.starts_with("---");
    if !is_data || !permissions.ends_with('p') {
        return None;
    }
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?)
}

fn mark(range: Range<usize>) -> io::Result<()> {
    let start = std::ptr::without_provenance_mut(range.start);
    // SAFETY: the advice changes what a dump holds and nothing else, whatever is at these addresses.
    let marked = unsafe { libc::madvise(start, range.len(), libc::MADV_DONTDUMP) };
    match super::check(marked) {
        // It was unmapped meanwhile, in part or whole.
        Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => Ok(()),
        marked => marked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_hold_data_is_marked() {
        let line = "7f0000000000-7f0000021000 rw-p 00000000 00:00 0 ";
        assert_eq!(data_mapping(line), Some(0x7f00_0000_0000..0x7f00_0002_1000));
        let reserved = "10000-20000 ---p 00000000 00:00 0";
        assert_eq!(data_mapping(reserved), Some(0x10000..0x20000));
        for other in [
            "10000-20000 r-xp 00000000 00:00 0 /program",
            "10000-20000 r--p 00000000 00:00 0 [vvar]",
            "10000-20000 rw-s 00000000 00:00 0 /dev/shm/x",
            "",
        ] {
            assert_eq!(data_mapping(other), None, "{other}");
        }
    }

    #[test]
    fn a_mapping_is_marked_when_it_is_there() {
        let block = vec![1_u8; 8 << 20];
        mark_mappings().unwrap();
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let at = block.as_ptr().addr();
        let mut is_within = false;
        let flags = smaps.lines().find_map(|line| {
            if let Some(range) = data_mapping(line) {
                is_within = range.contains(&at);
            }
            line.strip_prefix("VmFlags:").filter(|_| is_within)
        });
        assert!(
            flags.unwrap().split(' ').any(|flag| flag == "dd"),
            "{flags:?}"
        );
    }
}

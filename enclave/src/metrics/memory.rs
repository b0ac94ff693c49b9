//! The memory that this process has.
use std::fs;

/// What is resident now; zero where the kernel does not say.
pub(super) fn resident_bytes() -> u64 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| resident_in(&status))
        .unwrap_or_default()
}

/// The line of proc_pid_status(5), as in `VmRSS:   123456 kB`.
fn resident_in(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_kernel_is_read() {
        let status = "Name:\tdauth\nVmHWM:\t    9 kB\nVmRSS:\t   123 kB\nRssAnon:\t 7 kB\n";
        assert_eq!(resident_in(status), Some(123 * 1024));
        for other in ["", "VmRSS:\t123 MB\n", "VmRSS:\t-1 kB\n", "VmHWM:\t9 kB\n"] {
            assert_eq!(resident_in(other), None, "{other:?}");
        }
    }

    #[test]
    fn what_a_process_takes_is_counted() {
        let before = resident_bytes();
        // An optimizing compiler would leave out what nobody reads.
        let block = core::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(resident_bytes() >= before + (32 << 20), "{before}");
        drop(block);
    }
}

//! Which pages of a process there are (`/proc/PID/pagemap`).
use std::{
    fs::{self, File},
    io,
    ops::Range,
    os::unix::fs::FileExt,
};

/// Entries read at one time, 8 bytes each.
const WINDOW_PAGES: u64 = 64 << 10;
/// The page is in memory, or was written to swap (Documentation/admin-guide/mm/pagemap.rst).
const PRESENT_OR_SWAPPED: u64 = 0b11 << 62;
/// The key of the page size in the auxiliary vector (getauxval(3)).
const AT_PAGESZ: u64 = 6;

/// The page map of a process.
pub(super) struct Pages {
    map: File,
    page_bytes: u64,
}

impl Pages {
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let map = File::open(format!("/proc/{pid}/pagemap"))?;
        Ok(Self {
            map,
            page_bytes: page_bytes()?,
        })
    }

    /// The parts of a range that are in memory or in swap, neighbours joined.
    pub(super) fn touched(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut page = range.start / self.page_bytes;
        let end = range.end.div_ceil(self.page_bytes);
        while page < end {
            let count = (end - page).min(WINDOW_PAGES);
            let length = usize::try_from(count * 8).map_err(io::Error::other)?;
            let mut entries = vec![0; length];
            self.map.read_exact_at(&mut entries, page * 8)?;
            for entry in entries.as_chunks::<8>().0 {
                if u64::from_ne_bytes(*entry) & PRESENT_OR_SWAPPED != 0 {
                    let this = page * self.page_bytes..(page + 1) * self.page_bytes;
                    match ranges.last_mut() {
                        Some(last) if last.end == this.start => last.end = this.end,
                        _ => ranges.push(this),
                    }
                }
                page += 1;
            }
        }
        Ok(ranges)
    }
}

fn page_bytes() -> io::Result<u64> {
    let vector = fs::read("/proc/self/auxv")?;
    vector
        .as_chunks::<8>()
        .0
        .as_chunks::<2>()
        .0
        .iter()
        .find(|[key, _]| u64::from_ne_bytes(*key) == AT_PAGESZ)
        .map(|[_, value]| u64::from_ne_bytes(*value))
        .ok_or_else(|| io::Error::other("the auxiliary vector names no page size"))
}

//! What a process holds in memory, seen from outside (`/proc/PID/mem`).
use std::{
    fs::{self, File},
    io,
    ops::Range,
    os::unix::fs::FileExt,
};

/// Bytes read at one time, with an overlap as long as the needle.
const WINDOW_BYTES: usize = 4 << 20;
/// Entries of `/proc/PID/pagemap` read at one time, 8 bytes each.
const WINDOW_PAGES: u64 = 64 << 10;
/// The page is in memory, or was written to swap (Documentation/admin-guide/mm/pagemap.rst).
const PRESENT_OR_SWAPPED: u64 = 0b11 << 62;
/// The key of the page size in the auxiliary vector (getauxval(3)).
const AT_PAGESZ: u64 = 6;

/// A place where a form of the secret was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The mapping, as `/proc/PID/maps` names it.
    pub mapping: String,
    /// Which form.
    pub form: &'static str,
    /// Where.
    pub address: u64,
}

/// Every place where a process holds one of `forms`. Another user's process needs root.
///
/// Pages that the process never touched are not read: allocators reserve gigabytes of them, and to
/// read them would give them to the process.
pub fn scan(pid: u32, forms: &[(&'static str, Vec<u8>)]) -> io::Result<Vec<Found>> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let pages = Pages::of(pid)?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut found = Vec::new();
    for mapping in maps.lines().filter_map(Mapping::readable) {
        let ranges = match mapping.sharing {
            Sharing::Private => pages.touched(mapping.range.clone())?,
            // Another process may have filled a page that this one has not touched.
            Sharing::Shared => vec![mapping.range.clone()],
        };
        for range in ranges {
            scan_range(&memory, &mapping, range, forms, &mut found);
        }
    }
    Ok(found)
}

fn scan_range(
    memory: &File,
    mapping: &Mapping<'_>,
    range: Range<u64>,
    forms: &[(&'static str, Vec<u8>)],
    found: &mut Vec<Found>,
) {
    let longest = forms
        .iter()
        .map(|(_, needle)| needle.len())
        .max()
        .unwrap_or(0);
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from(range.end - at)
            .unwrap_or(usize::MAX)
            .min(WINDOW_BYTES);
        let mut window = vec![0; length];
        // A page that went away, or a device's, cannot be read: nothing of ours is there.
        let Ok(read) = memory.read_at(&mut window, at) else {
            return;
        };
        let window = &window[..read];
        for (form, needle) in forms {
            for offset in memchr::memmem::find_iter(window, needle) {
                let address = at + offset as u64;
                let place = Found {
                    mapping: mapping.line.to_owned(),
                    form,
                    address,
                };
                if !found.contains(&place) {
                    found.push(place);
                }
            }
        }
        if read < longest || at + read as u64 >= range.end {
            return;
        }
        at += (read - longest + 1) as u64;
    }
}

/// A line of `/proc/PID/maps`.
struct Mapping<'a> {
    line: &'a str,
    range: Range<u64>,
    sharing: Sharing,
}

/// Whether other processes can write the mapping's pages.
#[derive(Clone, Copy)]
enum Sharing {
    Private,
    Shared,
}

impl<'a> Mapping<'a> {
    /// The mapping, when it is readable memory of the process's own.
    fn readable(line: &'a str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let permissions = fields.next()?;
        let is_special = line.ends_with("[vvar]") || line.ends_with("[vsyscall]");
        if !permissions.starts_with('r') || is_special {
            return None;
        }
        let address = |text| u64::from_str_radix(text, 16).ok();
        let sharing = if permissions.ends_with('s') {
            Sharing::Shared
        } else {
            Sharing::Private
        };
        Some(Self {
            line,
            range: address(start)?..address(end)?,
            sharing,
        })
    }
}

/// Which pages of a process there are (`/proc/PID/pagemap`).
struct Pages {
    map: File,
    page_bytes: u64,
}

impl Pages {
    fn of(pid: u32) -> io::Result<Self> {
        let map = File::open(format!("/proc/{pid}/pagemap"))?;
        Ok(Self {
            map,
            page_bytes: page_bytes()?,
        })
    }

    /// The parts of a range that are in memory or in swap, neighbours joined.
    fn touched(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there_and_touches_nothing_else() {
        // Spelt backwards, so that the program's own text does not hold it.
        let needle: Vec<u8> = b"ereh si eldeen siht".iter().rev().copied().collect();
        let mut untouched: Vec<u8> = Vec::with_capacity(1 << 30);
        let across_pages = [vec![0; 8190], needle.clone(), vec![0; 8190]].concat();
        let forms = [("needle", needle)];
        let found = scan(std::process::id(), &forms).unwrap();
        let place = across_pages.as_ptr() as u64 + 8190;
        assert!(
            found
                .iter()
                .any(|found| found.form == "needle" && found.address == place)
        );
        let start = untouched.spare_capacity_mut().as_ptr() as u64;
        let pages = Pages::of(std::process::id()).unwrap();
        let touched: u64 = pages
            .touched(start..start + (1 << 30))
            .unwrap()
            .iter()
            .map(|r| r.end - r.start)
            .sum();
        assert!(touched < 1 << 22, "{touched} bytes were read into being");
    }
}

//! What a process holds in memory, seen from outside (`/proc/PID/mem`).
mod forms;
mod pages;

use std::{
    fs::{self, File},
    io,
    ops::Range,
    os::unix::fs::FileExt,
};

use aho_corasick::{AhoCorasick, MatchKind};

pub use self::forms::{FORMS, forms_of};
use self::pages::Pages;

/// Bytes read at one time, with an overlap as long as the longest needle.
const WINDOW_BYTES: usize = 4 << 20;

/// A place where a needle was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<L = &'static str> {
    /// The mapping, as `/proc/PID/maps` names it.
    pub mapping: String,
    /// Which needle: a form of a secret, say.
    pub form: L,
    /// Where.
    pub address: u64,
}

/// What is looked for, each with a label. All of it is found in one pass over a memory; ASCII
/// letters are found in either case.
pub struct Needles<L> {
    automaton: AhoCorasick,
    labels: Vec<L>,
    longest: usize,
}

/// Every place where a process holds one of `forms`. Another user's process needs root.
///
/// Pages that the process never touched are not read: allocators reserve gigabytes of them, and to
/// read them would give them to the process.
pub fn scan<L: Clone>(pid: u32, forms: &[(L, Vec<u8>)]) -> io::Result<Vec<Found<L>>> {
    Needles::new(forms.iter().cloned())?.scan(pid)
}

impl<L: Clone> Needles<L> {
    /// Needles; none may be empty.
    pub fn new(needles: impl IntoIterator<Item = (L, Vec<u8>)>) -> io::Result<Self> {
        let (labels, needles): (Vec<L>, Vec<Vec<u8>>) = needles.into_iter().unzip();
        let longest = needles.iter().map(Vec::len).max().unwrap_or(0);
        if needles.iter().any(Vec::is_empty) {
            return Err(io::Error::other("an empty needle is everywhere"));
        }
        let automaton = AhoCorasick::builder()
            // Also those within others.
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .build(needles)
            .map_err(io::Error::other)?;
        Ok(Self {
            automaton,
            labels,
            longest,
        })
    }

    /// The labels and offsets of those that are in `bytes`.
    pub fn find_in(&self, bytes: &[u8]) -> Vec<(L, usize)> {
        self.automaton
            .find_overlapping_iter(bytes)
            .filter_map(|found| {
                let label = self.labels.get(found.pattern().as_usize())?;
                Some((label.clone(), found.start()))
            })
            .collect()
    }

    /// Every place where a process holds one of them; see [`scan`].
    pub fn scan(&self, pid: u32) -> io::Result<Vec<Found<L>>> {
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
                self.scan_range(&memory, &mapping, range, &mut found);
            }
        }
        Ok(found)
    }

    fn scan_range(
        &self,
        memory: &File,
        mapping: &Mapping<'_>,
        range: Range<u64>,
        found: &mut Vec<Found<L>>,
    ) {
        // What lies across two windows is whole in the second; what is whole in the first as well
        // ends before its overlap does, and counts there.
        let overlap = self.longest.saturating_sub(1);
        let mut window = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let length = usize::try_from(range.end - at)
                .unwrap_or(usize::MAX)
                .min(WINDOW_BYTES);
            window.resize(length, 0);
            // A page that went away, or a device's, cannot be read: nothing of ours is there.
            let Ok(read) = memory.read_at(&mut window, at) else {
                return;
            };
            let is_last = read <= overlap || at + read as u64 >= range.end;
            let next = if is_last { read } else { read - overlap };
            for (form, offset) in self.find_in(&window[..read]) {
                if offset < next {
                    found.push(Found {
                        mapping: mapping.line.to_owned(),
                        form,
                        address: at + offset as u64,
                    });
                }
            }
            if is_last {
                return;
            }
            at += next as u64;
        }
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

#[cfg(test)]
mod tests;

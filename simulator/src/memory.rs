//! What a process holds in memory, seen from outside (`/proc/PID/mem`).
use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
};

/// Bytes read at one time, with an overlap as long as the needle.
const WINDOW_BYTES: usize = 4 << 20;

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
pub fn scan(pid: u32, forms: &[(&'static str, Vec<u8>)]) -> io::Result<Vec<Found>> {
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let longest = forms.iter().map(|(_, needle)| needle.len()).max().unwrap_or(0);
    let mut found = Vec::new();
    for line in maps.lines() {
        let Some((start, end)) = readable_range(line) else { continue };
        let mut at = start;
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            let mut window = vec![0; length];
            // A page that went away, or a device's, cannot be read: nothing of ours is there.
            let Ok(read) = memory.read_at(&mut window, at) else { break };
            let window = &window[..read];
            for (form, needle) in forms {
                for offset in memchr::memmem::find_iter(window, needle) {
                    let address = at + offset as u64;
                    let place = Found { mapping: line.to_owned(), form, address };
                    if !found.contains(&place) {
                        found.push(place);
                    }
                }
            }
            if read < longest || at + read as u64 >= end {
                break;
            }
            at += (read - longest + 1) as u64;
        }
    }
    Ok(found)
}

/// The range of a line of `/proc/PID/maps`, when it is readable memory of the process's own.
fn readable_range(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let is_readable = fields.next()?.starts_with('r');
    let is_special = line.ends_with("[vvar]") || line.ends_with("[vsyscall]");
    if !is_readable || is_special {
        return None;
    }
    Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
}

//! Watches bytes that nobody is given for a form of the secret.
use std::sync::Arc;

use super::form::Forms;
use crate::wipe::WipedBuffer;

/// Fewer bytes than this wait for others.
const MIN_SEARCHED_BYTES: usize = 4096;

/// Tells whether a form of the secret was among the bytes of a connection.
///
/// It looks at the bytes as they came: not under escapes, and not across a line break. What
/// reaches the caller goes through a [`Scrubber`](super::Scrubber); this is for what the HTTP
/// library reads and keeps for itself. It holds the secret: it has to go when the reply has ended.
pub struct Watch {
    forms: Arc<Forms>,
    /// What was not searched yet, after bytes that were, in which a form may begin.
    recent: WipedBuffer,
    saw: bool,
}

impl Watch {
    pub(super) fn new(forms: Arc<Forms>) -> Self {
        Self {
            forms,
            recent: WipedBuffer::with_capacity(0),
            saw: false,
        }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.saw {
            return;
        }
        let kept = self.forms.longest();
        // Twice what is kept, so that the work is linear whatever the pushes are.
        let enough = MIN_SEARCHED_BYTES.max(2 * kept);
        if let Some(last) = bytes
            .len()
            .checked_sub(kept)
            .filter(|_| bytes.len() >= enough)
        {
            // Where they are; copied is what a form lies in that began before.
            self.recent.append(bytes.get(..kept).unwrap_or_default());
            self.saw = self.is_in_recent() || self.is_in(bytes);
            self.recent.clear();
            self.recent.append(bytes.get(last..).unwrap_or_default());
            return;
        }
        self.recent.append(bytes);
        if self.recent.len() < enough {
            return;
        }
        self.saw = self.is_in_recent();
        let from = self.recent.len() - kept;
        self.recent.as_mut_slice().copy_within(from.., 0);
        self.recent.truncate(kept);
    }

    /// Whether a form was among the bytes so far.
    pub fn saw(&self) -> bool {
        self.saw || self.is_in_recent()
    }

    fn is_in_recent(&self) -> bool {
        self.is_in(&self.recent)
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        let mut is_in = false;
        self.forms.find(bytes, |_, _| is_in = true);
        is_in
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrub::{Delivery, Scrubber, work};

    const SECRET: &[u8] = b"sk-Live-0123456789";

    fn watch() -> Watch {
        Scrubber::new(&[SECRET], Delivery::FixedTail).watch()
    }

    #[test]
    fn sees_a_form_over_any_split() {
        for form in [
            SECRET.to_vec(),
            SECRET.to_ascii_lowercase(),
            hex::encode(SECRET).into_bytes(),
        ] {
            let bytes = [&vec![b'.'; 5000][..], &form, &vec![b'.'; 5000]].concat();
            for (before, split) in (4990..5060).flat_map(|at| [(0, at), (4980, at), (4995, at)]) {
                let mut watch = watch();
                let (first, second) = bytes.split_at(split);
                watch.push(&first[..before.min(split)]);
                watch.push(&first[before.min(split)..]);
                assert_eq!(watch.saw(), split >= 5000 + form.len(), "{split}");
                watch.push(second);
                assert!(watch.saw(), "{split}");
            }
            let mut watch = watch();
            for byte in &bytes {
                watch.push(&[*byte]);
            }
            assert!(watch.saw());
        }
    }

    #[test]
    fn sees_nothing_in_other_bytes() {
        let mut watch = watch();
        for _ in 0..1000 {
            watch.push(b"sk-Live-012345678");
            watch.push(b"\r\n");
        }
        assert!(!watch.saw());
    }

    #[test]
    fn single_bytes_cost_no_more_than_many() {
        let mut watch = watch();
        let done = work::counted(|| {
            for _ in 0..100_000 {
                watch.push(b".");
            }
        });
        assert!(done <= 2 * 100_000, "{done}");
    }
}

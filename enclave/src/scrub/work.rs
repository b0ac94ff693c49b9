//! Counts the bytes that a search looks at, so that tests can tell what it costs.

/// So many bytes were looked at.
#[cfg(not(test))]
pub(super) fn done(_bytes: usize) {}

#[cfg(test)]
pub(super) use self::counted::{counted, done};

#[cfg(test)]
mod counted {
    use std::cell::Cell;

    thread_local! {
        static DONE: Cell<usize> = const { Cell::new(0) };
    }

    /// So many bytes were looked at.
    pub(in crate::scrub) fn done(bytes: usize) {
        DONE.set(DONE.get() + bytes);
    }

    /// How many bytes are looked at in `what`.
    pub(in crate::scrub) fn counted(what: impl FnOnce()) -> usize {
        let before = DONE.get();
        what();
        DONE.get() - before
    }
}

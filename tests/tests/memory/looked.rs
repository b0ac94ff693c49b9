//! What of the credentials of a matrix is in memory and on disk.
use std::{
    fs,
    path::{Path, PathBuf},
};

use dauth_simulator::memory::{Found, Needles, forms_of};
use dauth_tests::Stack;

use crate::ending::Ending;

/// Which credential a needle is of, by how its call ends, and in which form.
pub(crate) type Label = (Ending, &'static str);

/// What was found where.
pub(crate) type Held = Vec<(&'static str, Found<Label>)>;

/// What the calls of a matrix left.
pub(crate) struct Looked {
    /// While every call that can be held was under way.
    pub(crate) during: Held,
    /// Ten seconds after the last one ended.
    pub(crate) after: Held,
    /// Connections to the upstream that are open then.
    pub(crate) pooled: usize,
}

/// Every form of the credentials.
pub(crate) fn needles(credentials: &[(Ending, String)]) -> Needles<Label> {
    let needles = credentials.iter().flat_map(|(ending, secret)| {
        let forms = forms_of(secret.as_bytes()).into_iter();
        forms.map(move |(form, needle)| ((*ending, form), needle))
    });
    Needles::new(needles).unwrap()
}

/// Where the needles are, by process.
pub(crate) fn look(stack: &Stack, needles: &Needles<Label>) -> Held {
    let mut held = Held::new();
    for (party, pid) in stack.file().pids() {
        let found = tokio::task::block_in_place(|| needles.scan(pid));
        let found = found.unwrap_or_else(|error| panic!("{party}: {error}"));
        held.extend(found.into_iter().map(|found| (party, found)));
    }
    held
}

/// No file of the stack's holds a credential.
pub(crate) fn assert_nowhere_on_disk(stack: &Stack, needles: &Needles<Label>) {
    for file in files_below(stack.dir()) {
        let found = needles.find_in(&fs::read(&file).unwrap_or_default());
        assert!(found.is_empty(), "{} holds {found:?}", file.display());
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.is_file())
        .collect()
}

impl Looked {
    /// The positive control: the enclave held each credential whose call was held, as it is or as
    /// it is sent, and no other process held any.
    pub(crate) fn assert_seen_during(&self, endings: &[Ending]) {
        for ending in endings.iter().filter(|ending| ending.is_held()) {
            let is_seen = self
                .during
                .iter()
                .any(|(party, found)| *party == "enclave" && found.form.0 == *ending);
            assert!(is_seen, "{ending:?}: the scan is blind");
        }
        let others = self.during.iter().filter(|(party, _)| *party != "enclave");
        let others: Vec<_> = others.collect();
        assert!(others.is_empty(), "during the calls: {others:#?}");
    }

    /// Nothing is left, in any process.
    pub(crate) fn assert_nothing_after(&self) {
        let after = &self.after;
        assert!(after.is_empty(), "ten seconds after: {after:#?}");
    }

    /// The enclave still has the credential of the call that ended so.
    pub(crate) fn assert_found_after(&self, ending: Ending) {
        let mut left = self
            .after
            .iter()
            .filter(|(_, found)| found.form.0 == ending);
        let Some((party, found)) = left.next() else {
            panic!("{ending:?}: the scan does not see what is left");
        };
        assert_eq!(*party, "enclave", "{found:?}");
        println!(
            "{ending:?}: {} places, the first {:?} at {:x} in {}",
            1 + left.count(),
            found.form.1,
            found.address,
            found.mapping
        );
    }

    /// Nothing is left but of the call that ended so.
    pub(crate) fn assert_nothing_after_but(&self, ending: Ending) {
        let after = self.after.iter();
        let others: Vec<_> = after.filter(|(_, found)| found.form.0 != ending).collect();
        assert!(others.is_empty(), "ten seconds after: {others:#?}");
    }
}

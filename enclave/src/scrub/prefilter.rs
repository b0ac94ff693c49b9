//! A quick look at bytes that tells which forms cannot be in them: most often, all.
//!
//! Wherever a form of at least 15 bytes stands, it covers eight bytes whose offset in the text is a
//! multiple of eight, and they begin at one of its own first eight offsets. So it is enough to know
//! the eight blocks at those offsets of each form, and to look at every eighth offset of the text.
use zeroize::Zeroize;

use super::work;

/// How much is compared at once.
const BLOCK_BYTES: usize = size_of::<u64>();

/// A shorter form may stand without covering a whole block.
const MIN_FORM_BYTES: usize = 2 * BLOCK_BYTES - 1;

/// 32,768 bits: of a text without a form, about one block in three hundred has a bit that is set by
/// the hundred blocks of a usual secret.
const WORDS: usize = 512;

/// Makes capitals small and other bytes of a block few, all at once.
const FOLD: u64 = 0x2020_2020_2020_2020;

/// What is known of some forms: enough to say of a text that none is in it.
pub(super) struct Prefilter {
    /// A bit for each hash of a block.
    bits: Box<[u64; WORDS]>,
    /// Sorted.
    blocks: Vec<Block>,
    /// Forms that are too short to be excluded.
    short: Vec<usize>,
    forms: usize,
}

/// Eight bytes of a form, folded.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Block {
    bytes: u64,
    form: usize,
}

/// The forms that may be in a text, each by its number.
pub(super) struct Candidates(Vec<bool>);

impl Prefilter {
    /// Of `forms`, which are numbered in their order.
    pub(super) fn new<'f>(forms: impl ExactSizeIterator<Item = &'f [u8]>) -> Self {
        let count = forms.len();
        let mut prefilter = Self {
            bits: Box::new([0; WORDS]),
            // With room for all: growing would leave blocks behind.
            blocks: Vec::with_capacity(count * BLOCK_BYTES),
            short: Vec::new(),
            forms: count,
        };
        for (number, form) in forms.enumerate() {
            if form.len() < MIN_FORM_BYTES {
                prefilter.short.push(number);
            } else {
                prefilter.add(number, form);
            }
        }
        prefilter.blocks.sort_unstable();
        prefilter
    }

    fn add(&mut self, form: usize, bytes: &[u8]) {
        for block in bytes.windows(BLOCK_BYTES).take(BLOCK_BYTES) {
            let bytes = folded(block);
            let (word, bit) = place(bytes);
            if let Some(word) = self.bits.get_mut(word) {
                *word |= bit;
            }
            self.blocks.push(Block { bytes, form });
        }
    }

    /// The forms that may be in `text`; whichever is not among them is not in it, in any case of
    /// its letters.
    pub(super) fn candidates(&self, text: &[u8]) -> Candidates {
        work::done(text.len());
        let mut candidates = Candidates(Vec::new());
        for form in &self.short {
            candidates.mark(*form, self.forms);
        }
        for block in text.chunks_exact(BLOCK_BYTES) {
            let bytes = folded(block);
            let (word, bit) = place(bytes);
            if self.bits.get(word).is_some_and(|word| word & bit != 0) {
                self.mark(bytes, &mut candidates);
            }
        }
        candidates
    }

    /// Marks the forms that have this very block.
    #[cold]
    fn mark(&self, bytes: u64, candidates: &mut Candidates) {
        let first = self.blocks.partition_point(|block| block.bytes < bytes);
        let from = self.blocks.get(first..).unwrap_or_default();
        for block in from.iter().take_while(|block| block.bytes == bytes) {
            candidates.mark(block.form, self.forms);
        }
    }
}

impl Drop for Prefilter {
    fn drop(&mut self) {
        self.bits.zeroize();
        for block in &mut self.blocks {
            block.bytes.zeroize();
        }
    }
}

impl Candidates {
    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the form of this number is one.
    pub(super) fn has(&self, form: usize) -> bool {
        self.0.get(form).is_some_and(|is_candidate| *is_candidate)
    }

    fn mark(&mut self, form: usize, forms: usize) {
        if self.0.is_empty() {
            self.0 = vec![false; forms];
        }
        if let Some(is_candidate) = self.0.get_mut(form) {
            *is_candidate = true;
        }
    }
}

fn folded(block: &[u8]) -> u64 {
    let bytes = block.try_into().unwrap_or_default();
    u64::from_le_bytes(bytes) | FOLD
}

/// Where the bit of a block is. The factor is 2^64 divided by the golden ratio.
fn place(block: u64) -> (usize, u64) {
    let hash = block.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - 15);
    let word = usize::try_from(hash >> 6).unwrap_or_default();
    (word, 1 << (hash & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(forms: &[&[u8]], text: &[u8]) -> Vec<usize> {
        let prefilter = Prefilter::new(forms.iter().copied());
        let candidates = prefilter.candidates(text);
        let marked: Vec<usize> = (0..forms.len())
            .filter(|form| candidates.has(*form))
            .collect();
        assert_eq!(candidates.is_empty(), marked.is_empty());
        marked
    }

    #[test]
    fn marks_a_form_wherever_it_stands_in_either_case() {
        let form = b"abcdefghij-klmn";
        assert_eq!(form.len(), MIN_FORM_BYTES);
        for before in 0..24 {
            for text in [form.to_vec(), form.to_ascii_uppercase()] {
                let text = [&vec![b'.'; before][..], &text].concat();
                assert_eq!(marked(&[b"another form entirely", form], &text), [1]);
            }
        }
    }

    #[test]
    fn marks_nothing_where_no_block_of_a_form_is() {
        let text: Vec<u8> = (0..=255).cycle().take(16 * 1024).collect();
        assert_eq!(marked(&[b"sk-live-0123456789"], &text), [0; 0]);
        assert_eq!(marked(&[b"sk-live-0123456789"], b"sk-live"), [0; 0]);
    }

    #[test]
    fn marks_every_form_that_has_the_block() {
        let forms: [&[u8]; 3] = [
            b"0123456789abcdefgh",
            b"0123456789abcdefgh!",
            b"x0123456789abcdefgh",
        ];
        assert_eq!(marked(&forms, b"01234567"), [0, 1, 2]);
        assert_eq!(marked(&forms, b"x0123456"), [2]);
    }

    #[test]
    fn a_short_form_is_never_excluded() {
        assert_eq!(marked(&[b"0123456789abcd", b"0123456789abcde"], b""), [0]);
    }
}

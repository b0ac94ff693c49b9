//! A quick look at bytes that tells which forms cannot be in them: most often, all.
//!
//! Wherever a form of at least 15 bytes stands, it covers eight bytes whose offset in the text is a
//! multiple of eight, and they begin at one of its own first eight offsets. So it is enough to know
//! the eight blocks at those offsets of each form, and to look at every eighth offset of the text.
//! Where all forms have at least 23 bytes, sixteen blocks and every sixteenth offset are enough.
use zeroize::Zeroize;

use super::work;

/// How much is compared at once.
const BLOCK_BYTES: usize = size_of::<u64>();

/// How far apart the offsets are that are looked at: the less often, the more has to be known.
const STRIDES: [usize; 2] = [16, 8];

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
    /// One of [`STRIDES`].
    stride: usize,
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
    pub(super) fn new<'f>(forms: impl ExactSizeIterator<Item = &'f [u8]> + Clone) -> Self {
        let count = forms.len();
        let stride = stride(forms.clone());
        let mut prefilter = Self {
            bits: Box::new([0; WORDS]),
            // With room for all: growing would leave blocks behind.
            blocks: Vec::with_capacity(count * stride),
            short: Vec::new(),
            forms: count,
            stride,
        };
        for (number, form) in forms.enumerate() {
            if covers_a_block(form, stride) {
                prefilter.add(number, form);
            } else {
                prefilter.short.push(number);
            }
        }
        prefilter.blocks.sort_unstable();
        prefilter
    }

    fn add(&mut self, form: usize, bytes: &[u8]) {
        let blocks = bytes.windows(BLOCK_BYTES).map_while(<[u8]>::first_chunk);
        for block in blocks.take(self.stride) {
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
        let blocks = text.chunks(self.stride).map_while(<[u8]>::first_chunk);
        for block in blocks {
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

/// The largest with which no more forms are too short than with any other.
fn stride<'f>(forms: impl Iterator<Item = &'f [u8]> + Clone) -> usize {
    let [large, small] = STRIDES;
    let mut not_too_short = forms.filter(|form| covers_a_block(form, small));
    if not_too_short.all(|form| covers_a_block(form, large)) {
        large
    } else {
        small
    }
}

/// Whether a form has a block at a multiple of `stride`, wherever it stands.
fn covers_a_block(form: &[u8], stride: usize) -> bool {
    form.len() >= stride + BLOCK_BYTES - 1
}

fn folded(block: &[u8; BLOCK_BYTES]) -> u64 {
    u64::from_le_bytes(*block) | FOLD
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
        for form in [&b"abcdefghij-klmn"[..], b"abcdefghij-klmnopqrstuv"] {
            for before in 0..48 {
                for text in [form.to_vec(), form.to_ascii_uppercase()] {
                    let text = [&vec![b'.'; before][..], &text].concat();
                    assert_eq!(marked(&[b"another form, entirely so", form], &text), [1]);
                }
            }
        }
    }

    #[test]
    fn looks_less_often_where_no_form_is_missed_by_it() {
        let stride = |forms: &[&[u8]]| Prefilter::new(forms.iter().copied()).stride;
        let (long, less, too_short) = (&[b'x'; 23][..], &[b'x'; 22][..], &[b'x'; 14][..]);
        assert_eq!(stride(&[long, long]), 16);
        assert_eq!(stride(&[long, less]), 8);
        assert_eq!(stride(&[long, too_short]), 16);
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

//! Memory for secrets that is wiped when it is let go.
#[cfg(test)]
mod secrecy;

use core::ops::Deref;

/// Bytes that are wiped when they are cleared, moved to a larger buffer, or dropped.
///
/// There is no Debug, Clone or Serialize, as in no other type that holds a secret
/// (`wipe/secrecy.rs`, which does not compile otherwise):
///
/// ```compile_fail,E0277
/// println!("{:?}", dauth_enclave::wipe::WipedBuffer::copy_of(b"secret"));
/// ```
/// ```compile_fail,E0599
/// let copy = dauth_enclave::wipe::WipedBuffer::copy_of(b"secret").clone();
/// ```
/// ```
/// assert_eq!(*dauth_enclave::wipe::WipedBuffer::copy_of(b"secret"), *b"secret");
/// ```
pub struct WipedBuffer {
    bytes: Vec<u8>,
}

/// The buffer has no room for what was to be put into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the buffer is full")]
pub struct Full;

impl WipedBuffer {
    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
        }
    }

    /// A copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Self::with_capacity(bytes.len());
        buffer.append(bytes);
        buffer
    }

    /// Appends `more` if it fits within the capacity.
    pub fn try_append(&mut self, more: &[u8]) -> Result<(), Full> {
        if more.len() > self.bytes.capacity() - self.bytes.len() {
            return Err(Full);
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    /// Appends `more`. Where it does not fit, all moves to a larger buffer and the old is wiped:
    /// `Vec` would leave the bytes behind.
    pub fn append(&mut self, more: &[u8]) {
        let needed = self.bytes.len() + more.len();
        if needed > self.bytes.capacity() {
            let mut larger = Vec::with_capacity(needed.max(2 * self.bytes.capacity()));
            larger.extend_from_slice(&self.bytes);
            self.wipe();
            self.bytes = larger;
        }
        self.bytes.extend_from_slice(more);
    }

    /// The bytes, to be altered in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Wipes the bytes; the buffer is empty then and keeps its capacity.
    pub fn clear(&mut self) {
        self.wipe();
        self.bytes.clear();
    }

    /// Keeps the first `length` bytes and wipes the others.
    pub fn truncate(&mut self, length: usize) {
        if let Some(rest) = self.bytes.get_mut(length..) {
            wipe(rest);
        }
        self.bytes.truncate(length);
    }

    /// Memory beyond the length was never written, or is wiped.
    fn wipe(&mut self) {
        wipe(&mut self.bytes);
    }
}

/// More than any call that handles a key in the clear takes of its thread's stack.
const STACK_BYTES: usize = 128 * 1024;

/// Overwrites the stack below the caller's frame: what calls that have returned left there. A value
/// that was moved leaves a copy in the frame it came from, and a cipher its key schedule.
///
/// For keys, which are handled seldom and stay on the stack of a thread that has nothing else to
/// do. What a call leaves there is looked for by the memory-scan test.
#[inline(never)]
pub fn wipe_stack_below() {
    #[cfg(mutations)]
    if crate::mutation::Mutation::NoWiping.is_chosen() {
        return;
    }
    let mut below = [0; STACK_BYTES];
    wipe(core::hint::black_box(&mut below));
}

fn wipe(bytes: &mut [u8]) {
    #[cfg(mutations)]
    if crate::mutation::Mutation::NoWiping.is_chosen() {
        return;
    }
    bytes.fill(0);
    // The store must not be optimized away because the memory is freed next.
    zeroize::optimization_barrier(bytes);
}

impl Deref for WipedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for WipedBuffer {
    fn drop(&mut self) {
        self.wipe();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_buffer_refuses_more_and_keeps_what_it_has() {
        let mut buffer = WipedBuffer::with_capacity(4);
        let capacity = buffer.bytes.capacity();
        buffer.try_append(&vec![7; capacity]).unwrap();
        assert_eq!(buffer.try_append(b"x"), Err(Full));
        assert_eq!(*buffer, *vec![7; capacity]);
    }

    #[test]
    fn growing_keeps_the_bytes() {
        let mut buffer = WipedBuffer::copy_of(b"abc");
        buffer.append(&[b'd'; 100]);
        assert_eq!(buffer.len(), 103);
        assert!(buffer.starts_with(b"abcd"));
    }

    #[test]
    fn clearing_wipes_in_place() {
        let mut buffer = WipedBuffer::copy_of(b"secret");
        buffer.wipe();
        assert_eq!(*buffer, [0; 6]);
        buffer.truncate(2);
        assert_eq!(*buffer, [0; 2]);
        buffer.clear();
        assert!(buffer.is_empty());
    }

    #[test]
    fn what_a_call_leaves_on_the_stack_is_overwritten() {
        let mut inverted = vec![0; 32];
        aws_lc_rs::rand::fill(&mut inverted).unwrap();
        leave_on_stack(&inverted);
        assert!(stack_holds_inverse_of(&inverted), "the search is blind");
        leave_on_stack(&inverted);
        wipe_stack_below();
        assert!(!stack_holds_inverse_of(&inverted));
    }

    /// Leaves the inverse in a frame deep enough not to be overwritten by the search.
    #[inline(never)]
    fn leave_on_stack(inverted: &[u8]) {
        let mut frame = [0; STACK_BYTES / 2];
        for (byte, inverted) in frame.iter_mut().zip(inverted) {
            *byte = !inverted;
        }
        core::hint::black_box(&mut frame);
    }

    /// Looks at what lies below this frame, from outside the language.
    #[inline(never)]
    fn stack_holds_inverse_of(inverted: &[u8]) -> bool {
        use std::os::unix::fs::FileExt;
        let here = 0_u8;
        let top = (&raw const here).addr();
        let mut below = vec![0; STACK_BYTES];
        std::fs::File::open("/proc/self/mem")
            .unwrap()
            .read_exact_at(&mut below, (top - STACK_BYTES) as u64)
            .unwrap();
        below
            .windows(inverted.len())
            .any(|window| window.iter().zip(inverted).all(|(a, b)| *a == !b))
    }
}

//! What a document makes the verifier allocate: as much as it is long, not as much as it claims.
#![allow(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; this one counts and passes on"
)]

use core::cell::Cell;
use std::alloc::{GlobalAlloc, Layout, System};

use dauth_attestation::{Appraisal, AttestationResult, Error, MAX_DOCUMENT_BYTES, appraise};

use crate::forge::{Forge, NOW_MS, anything, bytes};

/// The allocator of the system, counting the bytes of each thread.
pub(crate) struct Counting;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` with the arguments that came in.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.get().saturating_add(layout.size());
        NOW.set(now);
        PEAK.set(PEAK.get().max(now));
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.set(NOW.get().saturating_sub(layout.size()));
        // SAFETY: `pointer` came from `alloc` above, that is from `System`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The most that this thread had allocated at once during `appraise`.
fn peak(forge: &Forge, document: &[u8]) -> (Result<AttestationResult, Error>, usize) {
    let policy = anything();
    let appraisal = Appraisal {
        anchors: &forge.anchors,
        policy: &policy,
        now_ms: NOW_MS,
    };
    let before = NOW.get();
    PEAK.set(before);
    let verdict = appraise(document, &appraisal);
    (verdict, PEAK.get() - before)
}

/// A small amount, whatever the document: certificates by reference, names, the path.
const FIXED: usize = 6 * 1024;

#[test]
fn an_accepted_document_costs_its_own_length() {
    let mut forge = Forge::new();
    for field in ["user_data", "public_key", "nonce"] {
        forge.set(field, bytes(&[1; 1024]));
    }
    let document = forge.document();
    let (verdict, peak) = peak(&forge, &document);
    assert!(verdict.is_ok());
    // What is signed is put together once, and the result holds its own copies.
    assert!(peak > document.len() / 2, "{peak}: is this counted at all?");
    assert!(peak <= document.len() + FIXED, "{peak}");
}

#[test]
fn what_a_document_claims_is_not_reserved() {
    let forge = Forge::new();
    let long = [0xff; 8];
    let payload = |start: &[u8]| [start, &long[..]].concat();
    for claims in [
        // The envelope: protected header, payload, signature.
        [&b"\x84\x5b"[..], &long].concat(),
        [&b"\x84\x44\xa1\x01\x38\x22\xa0\x5b"[..], &long].concat(),
        [&b"\x84\x44\xa1\x01\x38\x22\xa0\x41\xa0\x5b"[..], &long].concat(),
        // Its array and maps.
        [&b"\x9b"[..], &long].concat(),
        [&b"\x84\x49\xbb"[..], &long].concat(),
        [&b"\x84\x44\xa1\x01\x38\x22\xbb"[..], &long].concat(),
        // The payload: its map, a key, and each kind of value.
        forge.sign(payload(b"\xbb")),
        forge.sign(payload(b"\xa1\x7b")),
        forge.sign(payload(b"\xa1\x69module_id\x7b")),
        forge.sign(payload(b"\xa1\x64pcrs\xbb")),
        forge.sign(payload(b"\xa1\x68cabundle\x9b")),
        forge.sign(payload(b"\xa1\x68cabundle\x81\x5b")),
        forge.sign(payload(b"\xa1\x65nonce\x5b")),
        // Deep nesting where none belongs.
        forge.sign([&b"\xa1\x65nonce"[..], &[0x81; 10_000]].concat()),
        vec![0x84; MAX_DOCUMENT_BYTES],
        vec![0x84; 1 << 20],
    ] {
        let (verdict, peak) = peak(&forge, &claims);
        assert!(verdict.is_err());
        assert!(peak <= FIXED, "{peak} bytes for {:02x?}", &claims[..9]);
    }
}

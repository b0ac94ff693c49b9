//! Sixteen bytes at once, as every x86-64 can.
#![allow(unsafe_code)]

use core::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
    _mm_set1_epi8, _mm_setzero_si128,
};

use super::{BLOCK_BYTES, Found, LANE_BYTES, STOPS};

/// Where the lanes of a block are in its mask.
const LANES: [u32; BLOCK_BYTES / LANE_BYTES] = [0, 16, 32, 48];

#[inline]
pub(super) fn found(block: &[u8; BLOCK_BYTES], stops: &[[u8; LANE_BYTES]; STOPS]) -> Found {
    // SAFETY: SSE2 is part of x86-64, for which alone this module is compiled.
    unsafe { found_by_sse2(block, stops) }
}

#[inline]
pub(super) fn colons(block: &[u8; BLOCK_BYTES]) -> u64 {
    // SAFETY: as above.
    unsafe { colons_by_sse2(block) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn found_by_sse2(block: &[u8; BLOCK_BYTES], stops: &[[u8; LANE_BYTES]; STOPS]) -> Found {
    let mut found = Found::default();
    let (lanes, _) = block.as_chunks();
    for (lane, shift) in lanes.iter().zip(LANES) {
        let lane = loaded(lane);
        let stops = stops.iter().fold(_mm_setzero_si128(), |any, stop| {
            _mm_or_si128(any, _mm_cmpeq_epi8(lane, loaded(stop)))
        });
        let json_or_percent = _mm_or_si128(is(lane, b'\\'), is(lane, b'%'));
        // What is not ASCII is negative.
        let below_space = _mm_cmplt_epi8(lane, all(b' '));
        let not_ascii = mask(lane);
        found.stops |= mask(stops) << shift;
        found.not_ascii |= not_ascii << shift;
        found.spaces |= mask(is(lane, b' ')) << shift;
        found.controls |= (mask(below_space) & !not_ascii) << shift;
        found.introducers |= mask(_mm_or_si128(json_or_percent, is(lane, b'&'))) << shift;
    }
    found
}

#[inline]
#[target_feature(enable = "sse2")]
fn colons_by_sse2(block: &[u8; BLOCK_BYTES]) -> u64 {
    let (lanes, _) = block.as_chunks();
    let lanes = lanes.iter().zip(LANES);
    lanes.fold(0, |found, (lane, shift)| {
        found | mask(is(loaded(lane), b':')) << shift
    })
}

#[inline]
#[target_feature(enable = "sse2")]
fn loaded(lane: &[u8; LANE_BYTES]) -> __m128i {
    let value = u128::from_le_bytes(*lane);
    let half = |value: u128| i64::from_ne_bytes(super::super::low(value).to_ne_bytes());
    _mm_set_epi64x(half(value >> u64::BITS), half(value))
}

#[inline]
#[target_feature(enable = "sse2")]
fn is(lane: __m128i, byte: u8) -> __m128i {
    _mm_cmpeq_epi8(lane, all(byte))
}

#[inline]
#[target_feature(enable = "sse2")]
fn all(byte: u8) -> __m128i {
    _mm_set1_epi8(byte.cast_signed())
}

/// The highest bit of each byte.
#[inline]
#[target_feature(enable = "sse2")]
fn mask(lane: __m128i) -> u64 {
    u64::from(_mm_movemask_epi8(lane).cast_unsigned())
}

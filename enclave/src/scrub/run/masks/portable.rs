//! Eight bytes at once, without instructions of a processor's own.
use super::{BLOCK_BYTES, Found, LANE_BYTES, STOPS};

#[inline]
pub(super) fn found(block: &[u8; BLOCK_BYTES], stops: &[[u8; LANE_BYTES]; STOPS]) -> Found {
    Found {
        stops: mask(block, |byte| {
            stops
                .iter()
                .fold(false, |any, [stop, ..]| any | (byte == *stop))
        }),
        not_ascii: mask(block, |byte| !byte.is_ascii()),
        spaces: mask(block, |byte| byte == b' '),
        controls: mask(block, |byte| byte < b' '),
        introducers: mask(block, |byte| {
            (byte == b'\\') | (byte == b'%') | (byte == b'&')
        }),
    }
}

#[inline]
pub(super) fn colons(block: &[u8; BLOCK_BYTES]) -> u64 {
    mask(block, |byte| byte == b':')
}

/// A bit for each byte of which `is` holds. Without branches, so that it is vectorized.
#[inline]
fn mask(block: &[u8; BLOCK_BYTES], is: impl Fn(u8) -> bool) -> u64 {
    /// Moves the lowest bit of each byte to the highest byte, side by side.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let flags = block.map(|byte| u8::from(is(byte)));
    let (eights, _) = flags.as_chunks();
    let mut bytes = [0; size_of::<u64>()];
    for (byte, eight) in bytes.iter_mut().zip(eights) {
        let [.., highest] = u64::from_le_bytes(*eight)
            .wrapping_mul(GATHER)
            .to_le_bytes();
        *byte = highest;
    }
    u64::from_le_bytes(bytes)
}

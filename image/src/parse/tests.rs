use proptest::prelude::*;

use super::*;
use crate::{Image, Metadata};

fn eif() -> Vec<u8> {
    let ramdisks = [b"boot".to_vec(), b"application".to_vec()];
    let image = Image {
        architecture: Architecture::X86_64,
        kernel: b"kernel",
        cmdline: "console=ttyS0",
        ramdisks: &ramdisks,
        metadata: Metadata {
            name: "dauth",
            version: "1",
            build_time_s: 0,
        },
    };
    image.write().unwrap()
}

/// An image of any sections, with a right header and CRC.
fn of_sections(sections: &[(SectionType, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut places = Vec::new();
    for (section_type, contents) in sections {
        let size = contents.len() as u64;
        places.push(((HEADER_BYTES + body.len()) as u64, size));
        let section_type = *section_type;
        body.extend(SectionHeader { section_type, size }.to_bytes());
        body.extend_from_slice(contents);
    }
    let header = Header {
        version: 4,
        architecture: Architecture::X86_64,
        default_memory: 0,
        default_cpus: 0,
        sections: places,
        crc: 0,
    };
    resealed([header.to_bytes(), body].concat())
}

/// With the CRC of what it is now: whoever changes an image can do that.
fn resealed(mut eif: Vec<u8>) -> Vec<u8> {
    let crc = crc_of(&eif).unwrap();
    eif[CRC_OFFSET..HEADER_BYTES].copy_from_slice(&crc.to_be_bytes());
    eif
}

const KERNEL: (SectionType, &[u8]) = (SectionType::Kernel, b"kernel");
const CMDLINE: (SectionType, &[u8]) = (SectionType::Cmdline, b"quiet");
const RAMDISK: (SectionType, &[u8]) = (SectionType::Ramdisk, b"ramdisk");
const METADATA: (SectionType, &[u8]) = (SectionType::Metadata, b"{}");
const SIGNATURE: (SectionType, &[u8]) = (SectionType::Signature, b"");

/// A loader that goes by the header's offsets would boot other bytes than were measured.
#[test]
fn header_and_sections_must_agree() {
    let good = eif();
    const OFFSETS: usize = 28;
    const SIZES: usize = OFFSETS + 32 * 8;
    for index in 0..5 {
        for column in [OFFSETS, SIZES] {
            let mut moved = good.clone();
            moved[column + index * 8 + 7] ^= 1;
            assert_eq!(
                Eif::parse(&resealed(moved)),
                Err(EifError::SectionMismatch(index))
            );
        }
    }
}

/// A reader that takes sections until the file ends would measure one more.
#[test]
fn a_section_that_the_header_does_not_count_is_refused() {
    let good = eif();
    let hidden = SectionHeader {
        section_type: SectionType::Ramdisk,
        size: 3,
    };
    let longer = [&good[..], &hidden.to_bytes(), b"evl"].concat();
    assert_eq!(
        Eif::parse(&resealed(longer)),
        Err(EifError::TrailingBytes(15))
    );
}

#[test]
fn parts_out_of_order_or_missing_are_refused() {
    for sections in [
        &[][..],
        &[KERNEL],
        &[KERNEL, CMDLINE],
        &[CMDLINE, KERNEL, RAMDISK],
        &[KERNEL, RAMDISK, CMDLINE],
        &[KERNEL, KERNEL, CMDLINE, RAMDISK],
        &[KERNEL, CMDLINE, CMDLINE, RAMDISK],
        &[KERNEL, CMDLINE, RAMDISK, KERNEL],
        &[RAMDISK, KERNEL, CMDLINE, RAMDISK],
    ] {
        assert_eq!(Eif::parse(&of_sections(sections)), Err(EifError::Order));
    }
    for twice in [METADATA, SIGNATURE] {
        let sections = [KERNEL, CMDLINE, RAMDISK, twice, twice];
        assert_eq!(Eif::parse(&of_sections(&sections)), Err(EifError::Repeated));
    }
    let sections = [METADATA, KERNEL, CMDLINE, SIGNATURE, RAMDISK, RAMDISK];
    assert!(Eif::parse(&of_sections(&sections)).is_ok());
    let not_text: (SectionType, &[u8]) = (SectionType::Cmdline, &[0xff]);
    assert_eq!(
        Eif::parse(&of_sections(&[KERNEL, not_text, RAMDISK])),
        Err(EifError::Cmdline)
    );
}

/// 2^64 - 1 bytes are neither allocated nor waited for.
#[test]
fn a_claimed_length_takes_nothing() {
    let mut eif = eif();
    eif[HEADER_BYTES + 4..HEADER_BYTES + 12].copy_from_slice(&[0xff; 8]);
    assert_eq!(Eif::parse(&resealed(eif)), Err(EifError::Truncated));
}

#[test]
fn every_cut_is_refused() {
    let good = eif();
    for end in 0..good.len() {
        assert_eq!(Eif::parse(&good[..end]), Err(EifError::Truncated), "{end}");
    }
}

proptest! {
    #[test]
    fn noise_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert!(Eif::parse(&bytes).is_err());
    }

    #[test]
    fn a_changed_byte_is_noticed(at in any::<prop::sample::Index>(), change in 1_u8..) {
        let mut eif = eif();
        let at = at.index(eif.len());
        eif[at] ^= change;
        prop_assert!(Eif::parse(&eif).is_err());
    }

    /// Somebody who also writes a CRC: refused, or read as what it is now.
    #[test]
    fn a_change_with_its_crc_is_refused_or_measured(
        at in any::<prop::sample::Index>(),
        change in 1_u8..,
    ) {
        let good = eif();
        let mut eif = good.clone();
        let at = at.index(eif.len());
        eif[at] ^= change;
        let eif = resealed(eif);
        if let Ok(read) = Eif::parse(&eif) {
            let was = Eif::parse(&good).unwrap();
            let is_measured = read.kernel() != was.kernel()
                || read.cmdline() != was.cmdline()
                || read.ramdisks() != was.ramdisks();
            let differs = read.measure() != was.measure();
            prop_assert_eq!(is_measured, differs);
        }
    }
}

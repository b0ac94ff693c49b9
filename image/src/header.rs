//! The header of an EIF and of its sections, byte for byte. All integers are big-endian.
//!
//! Layout: magic (4), version (2), flags (2), default memory (8), default CPUs (8), reserved (2),
//! number of sections (2), 32 offsets (8 each), 32 sizes (8 each), unused (4), CRC-32 (4).
use crate::error::EifError;

/// How many sections a header has room for.
pub const MAX_SECTIONS: usize = 32;
/// The bytes of the header.
pub(crate) const HEADER_BYTES: usize = 548;
/// The bytes of the header that the CRC covers: all but the CRC itself, which is last.
pub(crate) const CRC_OFFSET: usize = HEADER_BYTES - 4;
/// The bytes before each section: type (2), flags (2), size (8).
pub(crate) const SECTION_HEADER_BYTES: usize = 12;
/// The version that is written: the one that has a metadata section.
pub(crate) const VERSION: u16 = 4;

const MAGIC: [u8; 4] = *b".eif";
/// Version 1 has no CRC.
const OLDEST_VERSION: u16 = 2;
const FLAG_ARM64: u16 = 1;

/// What the kernel of an image runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// x86_64.
    X86_64,
    /// aarch64.
    Aarch64,
}

/// The header of an EIF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: u16,
    pub(crate) architecture: Architecture,
    pub(crate) default_memory: u64,
    pub(crate) default_cpus: u64,
    /// Where each section's header begins, and how many bytes follow that header.
    pub(crate) sections: Vec<(u64, u64)>,
    pub(crate) crc: u32,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, EifError> {
        let mut fields = Fields(bytes.get(..HEADER_BYTES).ok_or(EifError::Truncated)?);
        if fields.take::<4>()? != MAGIC {
            return Err(EifError::NotAnEif);
        }
        let version = fields.u16()?;
        if !(OLDEST_VERSION..=VERSION).contains(&version) {
            return Err(EifError::UnknownVersion(version));
        }
        let architecture = match fields.u16()? {
            0 => Architecture::X86_64,
            FLAG_ARM64 => Architecture::Aarch64,
            flags => return Err(EifError::UnknownFlags(flags)),
        };
        let (default_memory, default_cpus) = (fields.u64()?, fields.u64()?);
        let _reserved = fields.u16()?;
        let count = usize::from(fields.u16()?);
        if count > MAX_SECTIONS {
            return Err(EifError::TooManySections(count));
        }
        let mut columns = [[0; MAX_SECTIONS]; 2];
        for value in columns.iter_mut().flatten() {
            *value = fields.u64()?;
        }
        let _unused = fields.take::<4>()?;
        let crc = u32::from_be_bytes(fields.take()?);
        let [offsets, sizes] = columns;
        Ok(Self {
            version,
            architecture,
            default_memory,
            default_cpus,
            sections: offsets.into_iter().zip(sizes).take(count).collect(),
            crc,
        })
    }

    /// The bytes of the header; sections beyond [`MAX_SECTIONS`] are the caller's to refuse.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(self.version.to_be_bytes());
        let flags = match self.architecture {
            Architecture::X86_64 => 0,
            Architecture::Aarch64 => FLAG_ARM64,
        };
        bytes.extend(flags.to_be_bytes());
        bytes.extend(self.default_memory.to_be_bytes());
        bytes.extend(self.default_cpus.to_be_bytes());
        bytes.extend(0_u16.to_be_bytes());
        let count = u16::try_from(self.sections.len()).unwrap_or(u16::MAX);
        bytes.extend(count.to_be_bytes());
        let offsets = self.sections.iter().map(|(offset, _)| *offset);
        let sizes = self.sections.iter().map(|(_, size)| *size);
        for column in [padded(offsets), padded(sizes)] {
            bytes.extend(column.iter().flat_map(|value| value.to_be_bytes()));
        }
        bytes.extend([0; 4]);
        bytes.extend(self.crc.to_be_bytes());
        bytes
    }
}

fn padded(values: impl Iterator<Item = u64>) -> [u64; MAX_SECTIONS] {
    let mut column = [0; MAX_SECTIONS];
    for (slot, value) in column.iter_mut().zip(values) {
        *slot = value;
    }
    column
}

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SectionType {
    Kernel,
    Cmdline,
    Ramdisk,
    Signature,
    Metadata,
}

/// What stands before the contents of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectionHeader {
    pub(crate) section_type: SectionType,
    pub(crate) size: u64,
}

impl SectionHeader {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, EifError> {
        let mut fields = Fields(bytes);
        let section_type = match fields.u16()? {
            1 => SectionType::Kernel,
            2 => SectionType::Cmdline,
            3 => SectionType::Ramdisk,
            4 => SectionType::Signature,
            5 => SectionType::Metadata,
            other => return Err(EifError::UnknownSection(other)),
        };
        let _flags = fields.u16()?;
        let size = fields.u64()?;
        Ok(Self { section_type, size })
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let number: u16 = match self.section_type {
            SectionType::Kernel => 1,
            SectionType::Cmdline => 2,
            SectionType::Ramdisk => 3,
            SectionType::Signature => 4,
            SectionType::Metadata => 5,
        };
        let mut bytes = Vec::with_capacity(SECTION_HEADER_BYTES);
        bytes.extend(number.to_be_bytes());
        bytes.extend(0_u16.to_be_bytes());
        bytes.extend(self.size.to_be_bytes());
        bytes
    }
}

/// Fields that follow each other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], EifError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(EifError::Truncated)?;
        self.0 = rest;
        Ok(*field)
    }

    fn u16(&mut self) -> Result<u16, EifError> {
        self.take().map(u16::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, EifError> {
        self.take().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            version: VERSION,
            architecture: Architecture::Aarch64,
            default_memory: 5,
            default_cpus: 6,
            sections: vec![(548, 7), (567, 9)],
            crc: 0x0102_0304,
        }
    }

    #[test]
    fn a_header_has_548_bytes_and_reads_back() {
        let bytes = header().to_bytes();
        assert_eq!(bytes.len(), HEADER_BYTES);
        assert_eq!(Header::parse(&bytes), Ok(header()));
        assert_eq!(bytes[CRC_OFFSET..], [1, 2, 3, 4]);
    }

    #[test]
    fn a_section_header_has_12_bytes_and_reads_back() {
        for section_type in [
            SectionType::Kernel,
            SectionType::Cmdline,
            SectionType::Ramdisk,
            SectionType::Signature,
            SectionType::Metadata,
        ] {
            let header = SectionHeader {
                section_type,
                size: 1 << 40,
            };
            assert_eq!(header.to_bytes().len(), SECTION_HEADER_BYTES);
            assert_eq!(SectionHeader::parse(&header.to_bytes()), Ok(header));
        }
    }

    #[test]
    fn what_is_no_header_is_refused_by_name() {
        let good = header().to_bytes();
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            Header::parse(&bytes).unwrap_err()
        };
        assert_eq!(Header::parse(&good[..547]), Err(EifError::Truncated));
        assert_eq!(Header::parse(b""), Err(EifError::Truncated));
        assert_eq!(with(0, b'x'), EifError::NotAnEif);
        assert_eq!(with(5, 1), EifError::UnknownVersion(1));
        assert_eq!(with(5, 5), EifError::UnknownVersion(5));
        assert_eq!(with(7, 3), EifError::UnknownFlags(3));
        assert_eq!(with(27, 33), EifError::TooManySections(33));
        assert_eq!(
            SectionHeader::parse(&[0; 12]),
            Err(EifError::UnknownSection(0))
        );
        assert_eq!(
            SectionHeader::parse(&[0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            Err(EifError::UnknownSection(6))
        );
    }
}

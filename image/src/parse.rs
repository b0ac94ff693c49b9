//! Reading an image that somebody else made.
use crate::{
    error::EifError,
    header::{
        Architecture, CRC_OFFSET, HEADER_BYTES, Header, SECTION_HEADER_BYTES, SectionHeader,
        SectionType,
    },
};

/// An enclave image: its parts, in the bytes that it was read from.
///
/// What it boots is unambiguous: header and sections agree, nothing lies between or behind them, and
/// the CRC is right. Whether a signature is, [`Eif::measure`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eif<'a> {
    architecture: Architecture,
    kernel: &'a [u8],
    cmdline: &'a str,
    ramdisks: Vec<&'a [u8]>,
    metadata: Option<&'a [u8]>,
    signature: Option<&'a [u8]>,
}

impl<'a> Eif<'a> {
    /// Reads an image. Nothing is allocated that the bytes do not have.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EifError> {
        let header = Header::parse(bytes)?;
        let mut sections = Vec::with_capacity(header.sections.len());
        let mut position = HEADER_BYTES;
        for (index, &(offset, size)) in header.sections.iter().enumerate() {
            let (section, end) = section_at(bytes, position)?;
            let agrees = usize::try_from(offset) == Ok(position)
                && usize::try_from(size) == Ok(section.1.len());
            if !agrees {
                return Err(EifError::SectionMismatch(index));
            }
            sections.push(section);
            position = end;
        }
        let trailing = bytes.len().saturating_sub(position);
        if trailing != 0 {
            return Err(EifError::TrailingBytes(trailing));
        }
        if crc_of(bytes) != Some(header.crc) {
            return Err(EifError::Crc);
        }
        Self::of_sections(header.architecture, &sections)
    }

    fn of_sections(
        architecture: Architecture,
        sections: &[(SectionType, &'a [u8])],
    ) -> Result<Self, EifError> {
        let all = |wanted: SectionType| {
            sections
                .iter()
                .filter(move |(section_type, _)| *section_type == wanted)
                .map(|(_, contents)| *contents)
        };
        // PCRs are hashes of the sections one after another: another order would measure the same
        // where it is read by type, and differently where it is read as it comes.
        let measured: Vec<_> = sections
            .iter()
            .map(|(section_type, _)| *section_type)
            .filter(|t| !matches!(t, SectionType::Metadata | SectionType::Signature))
            .collect();
        let [SectionType::Kernel, SectionType::Cmdline, ramdisks @ ..] = measured.as_slice() else {
            return Err(EifError::Order);
        };
        if ramdisks.is_empty() || ramdisks.iter().any(|t| *t != SectionType::Ramdisk) {
            return Err(EifError::Order);
        }
        let at_most_one = |wanted: SectionType| {
            let mut found = all(wanted);
            match (found.next(), found.next()) {
                (first, None) => Ok(first),
                _ => Err(EifError::Repeated),
            }
        };
        let (Some(kernel), Some(cmdline)) = (
            all(SectionType::Kernel).next(),
            all(SectionType::Cmdline).next(),
        ) else {
            return Err(EifError::Order);
        };
        Ok(Self {
            architecture,
            kernel,
            cmdline: core::str::from_utf8(cmdline).map_err(|_| EifError::Cmdline)?,
            ramdisks: all(SectionType::Ramdisk).collect(),
            metadata: at_most_one(SectionType::Metadata)?,
            signature: at_most_one(SectionType::Signature)?,
        })
    }

    /// What its kernel runs on.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The kernel.
    pub fn kernel(&self) -> &'a [u8] {
        self.kernel
    }

    /// The kernel's command line.
    pub fn cmdline(&self) -> &'a str {
        self.cmdline
    }

    /// The ramdisks. The first boots, the others are the application.
    pub fn ramdisks(&self) -> &[&'a [u8]] {
        &self.ramdisks
    }

    /// The metadata (JSON). No PCR covers it: anybody may have written it.
    pub fn metadata(&self) -> Option<&'a [u8]> {
        self.metadata
    }

    pub(crate) fn signature(&self) -> Option<&'a [u8]> {
        self.signature
    }
}

type Section<'a> = (SectionType, &'a [u8]);

/// The section whose header begins at `position`, and where it ends.
fn section_at(bytes: &[u8], position: usize) -> Result<(Section<'_>, usize), EifError> {
    let start = position
        .checked_add(SECTION_HEADER_BYTES)
        .ok_or(EifError::Truncated)?;
    let header = bytes.get(position..start).ok_or(EifError::Truncated)?;
    let header = SectionHeader::parse(header)?;
    let end = usize::try_from(header.size)
        .ok()
        .and_then(|size| start.checked_add(size))
        .ok_or(EifError::Truncated)?;
    let contents = bytes.get(start..end).ok_or(EifError::Truncated)?;
    Ok(((header.section_type, contents), end))
}

/// The CRC-32 of everything but the CRC itself.
pub(crate) fn crc_of(eif: &[u8]) -> Option<u32> {
    let mut crc = crc32fast::Hasher::new();
    crc.update(eif.get(..CRC_OFFSET)?);
    crc.update(eif.get(HEADER_BYTES..)?);
    Some(crc.finalize())
}

#[cfg(test)]
mod tests;

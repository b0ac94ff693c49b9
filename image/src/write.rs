//! Writing an image: the same parts give the same bytes.
use crate::{
    header::{
        Architecture, CRC_OFFSET, HEADER_BYTES, Header, MAX_SECTIONS, SECTION_HEADER_BYTES,
        SectionHeader, SectionType, VERSION,
    },
    metadata::Metadata,
    parse::crc_of,
};

/// What `nitro-cli run-enclave` gives an image where its caller says nothing.
const DEFAULT_MEMORY_BYTES: u64 = 1024 * 1024 * 1024;
const DEFAULT_CPUS: u64 = 2;
/// The kernel's `COMMAND_LINE_SIZE` on x86_64; more would be cut off, and measured.
const MAX_CMDLINE_BYTES: usize = 2047;

/// The parts of an image.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    /// What the kernel runs on.
    pub architecture: Architecture,
    /// The kernel.
    pub kernel: &'a [u8],
    /// The kernel's command line.
    pub cmdline: &'a str,
    /// The first boots, the others are the application.
    pub ramdisks: &'a [Vec<u8>],
    /// What it says about itself, unmeasured.
    pub metadata: Metadata<'a>,
}

/// An image cannot be made of these parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// There is no kernel.
    #[error("the kernel is empty")]
    NoKernel,
    /// There is no ramdisk, or an empty one.
    #[error("an image has at least one ramdisk, and none that is empty")]
    NoRamdisk,
    /// More than the header has room for.
    #[error("{0} ramdisks are more than a header has room for")]
    TooManyRamdisks(usize),
    /// The kernel would not see all of it.
    #[error("the command line has a NUL or a line break, or more than {MAX_CMDLINE_BYTES} bytes")]
    Cmdline,
    /// Beyond what RFC 3339 can say.
    #[error("{0} s after 1970 is no time to build at")]
    BuildTime(u64),
}

impl Image<'_> {
    /// The image. Its order of sections is that of `eif_build`.
    pub fn write(&self) -> Result<Vec<u8>, WriteError> {
        self.check()?;
        let metadata = self.metadata.to_json()?;
        let mut sections: Vec<(SectionType, &[u8])> = vec![
            (SectionType::Kernel, self.kernel),
            (SectionType::Cmdline, self.cmdline.as_bytes()),
            (SectionType::Metadata, &metadata),
        ];
        sections.extend(
            self.ramdisks
                .iter()
                .map(|ramdisk| (SectionType::Ramdisk, ramdisk.as_slice())),
        );
        let mut eif = self.header(&sections).to_bytes();
        for (section_type, contents) in sections {
            let size = contents.len() as u64;
            eif.extend(SectionHeader { section_type, size }.to_bytes());
            eif.extend_from_slice(contents);
        }
        if let (Some(crc), Some(field)) = (crc_of(&eif), eif.get_mut(CRC_OFFSET..HEADER_BYTES)) {
            field.copy_from_slice(&crc.to_be_bytes());
        }
        Ok(eif)
    }

    fn check(&self) -> Result<(), WriteError> {
        if self.kernel.is_empty() {
            return Err(WriteError::NoKernel);
        }
        if self.ramdisks.is_empty() || self.ramdisks.iter().any(Vec::is_empty) {
            return Err(WriteError::NoRamdisk);
        }
        // Kernel, command line and metadata take three sections.
        if self.ramdisks.len() > MAX_SECTIONS - 3 {
            return Err(WriteError::TooManyRamdisks(self.ramdisks.len()));
        }
        let unseen = |c| matches!(c, '\0' | '\n' | '\r');
        if self.cmdline.len() > MAX_CMDLINE_BYTES || self.cmdline.contains(unseen) {
            return Err(WriteError::Cmdline);
        }
        Ok(())
    }

    fn header(&self, sections: &[(SectionType, &[u8])]) -> Header {
        let mut offset = HEADER_BYTES;
        let mut places = Vec::with_capacity(sections.len());
        for (_, contents) in sections {
            places.push((offset as u64, contents.len() as u64));
            offset += SECTION_HEADER_BYTES + contents.len();
        }
        Header {
            version: VERSION,
            architecture: self.architecture,
            default_memory: DEFAULT_MEMORY_BYTES,
            default_cpus: DEFAULT_CPUS,
            sections: places,
            crc: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Eif;

    fn image(ramdisks: &[Vec<u8>]) -> Image<'_> {
        Image {
            architecture: Architecture::X86_64,
            kernel: b"kernel",
            cmdline: "console=ttyS0",
            ramdisks,
            metadata: Metadata {
                name: "dauth",
                version: "1",
                build_time_s: 0,
            },
        }
    }

    #[test]
    fn what_is_written_reads_back_and_is_the_same_each_time() {
        let ramdisks = [b"boot".to_vec(), b"application".to_vec()];
        let bytes = image(&ramdisks).write().unwrap();
        assert_eq!(bytes, image(&ramdisks).write().unwrap());
        let eif = Eif::parse(&bytes).unwrap();
        assert_eq!(eif.kernel(), b"kernel");
        assert_eq!(eif.cmdline(), "console=ttyS0");
        assert_eq!(eif.ramdisks(), [&b"boot"[..], b"application"]);
        assert_eq!(eif.architecture(), Architecture::X86_64);
        assert!(eif.metadata().unwrap().starts_with(b"{"));
    }

    #[test]
    fn the_build_time_changes_the_file_and_no_measurement() {
        let ramdisks = [b"boot".to_vec()];
        let early = image(&ramdisks).write().unwrap();
        let mut later = image(&ramdisks);
        later.metadata.build_time_s = 1_700_000_000;
        let later = later.write().unwrap();
        assert_ne!(early, later);
        let measure = |bytes: &[u8]| Eif::parse(bytes).unwrap().measure().unwrap();
        assert_eq!(measure(&early), measure(&later));
    }

    #[test]
    fn parts_that_make_no_image_are_refused() {
        let ramdisks = [b"boot".to_vec()];
        let refused = |change: fn(&mut Image<'_>)| {
            let mut image = image(&ramdisks);
            change(&mut image);
            image.write().unwrap_err()
        };
        assert_eq!(refused(|i| i.kernel = b""), WriteError::NoKernel);
        assert_eq!(refused(|i| i.ramdisks = &[]), WriteError::NoRamdisk);
        assert_eq!(refused(|i| i.cmdline = "a\nb"), WriteError::Cmdline);
        assert_eq!(refused(|i| i.cmdline = "a\0b"), WriteError::Cmdline);
        assert_eq!(
            image(&vec![b"r".to_vec(); 30]).write(),
            Err(WriteError::TooManyRamdisks(30))
        );
        assert_eq!(image(&[Vec::new()]).write(), Err(WriteError::NoRamdisk));
        let long = "c".repeat(2048);
        let mut with_long = image(&ramdisks);
        with_long.cmdline = &long;
        assert_eq!(with_long.write(), Err(WriteError::Cmdline));
    }
}

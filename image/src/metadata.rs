//! What an image says about itself, for those who list images. No PCR covers it.
use serde_json::json;

use crate::write::WriteError;

/// Name, version and build time of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// The image's name.
    pub name: &'a str,
    /// The image's version.
    pub version: &'a str,
    /// Unix seconds: `SOURCE_DATE_EPOCH`, never the clock, or two builds would differ.
    pub build_time_s: u64,
}

impl Metadata<'_> {
    /// The JSON that `nitro-cli describe-eif` expects.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, WriteError> {
        let build_time = i64::try_from(self.build_time_s)
            .ok()
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
            .ok_or(WriteError::BuildTime(self.build_time_s))?;
        let json = json!({
            "ImageName": self.name,
            "ImageVersion": self.version,
            "BuildMetadata": {
                "BuildTime": build_time.to_string(),
                "BuildTool": env!("CARGO_PKG_NAME"),
                "BuildToolVersion": env!("CARGO_PKG_VERSION"),
                "OperatingSystem": "Linux",
                "KernelVersion": "Unknown",
            },
            "DockerInfo": {},
            "CustomMetadata": null,
        });
        Ok(json.to_string().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_the_one_that_was_given() {
        let metadata = |build_time_s| Metadata {
            name: "dauth",
            version: "1",
            build_time_s,
        };
        let json = String::from_utf8(metadata(0).to_json().unwrap()).unwrap();
        assert!(json.contains("\"1970-01-01T00:00:00Z\""), "{json}");
        assert_eq!(metadata(0).to_json(), metadata(0).to_json());
        assert_ne!(metadata(0).to_json(), metadata(1).to_json());
        assert_eq!(
            metadata(u64::MAX).to_json(),
            Err(WriteError::BuildTime(u64::MAX))
        );
    }
}

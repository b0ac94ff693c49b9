//! Two builds of one source, in different folders, at different times: are they the same?
use std::{env, fs, io, os::unix::fs::DirBuilderExt, path::Path};

use super::{Build, PROGRAMS};
use crate::{command::Failure, source::mirror};

/// Builds the committed and the changed files of the workspace twice, from nothing, and compares.
pub(crate) fn reproduce() -> Result<(), Failure> {
    let here = Build::here()?;
    let scratch = env::temp_dir().join(format!("dauth-reproduce-{}", std::process::id()));
    // Somebody else's would not do.
    let made = fs::DirBuilder::new().mode(0o700).create(&scratch);
    made.map_err(|error| Failure::new(format!("{}: {error}", scratch.display())))?;
    let outcome = compare(&here.source, &scratch);
    let _ = fs::remove_dir_all(&scratch);
    outcome
}

fn compare(source: &Path, scratch: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::new(format!("{}: {error}", scratch.display()));
    // Names of other lengths: a path that is not mapped moves everything behind it.
    let builds = ["first", "and/in/another/folder/the-second"].map(|name| Build {
        source: scratch.join(name),
        target: scratch.join(name).join("target"),
    });
    let outputs = ["first-output", "second-output"].map(|name| scratch.join(name));
    // Both now: somebody may edit the source while the first is built.
    for build in &builds {
        mirror(source, &build.source)?;
    }
    for (build, output) in builds.iter().zip(&outputs) {
        build.leave_in(output)?;
        fs::remove_dir_all(&build.source).map_err(failed)?;
    }
    for program in PROGRAMS {
        let [first, second] = outputs
            .each_ref()
            .map(|folder| fs::read(folder.join(program)));
        let (first, second) = (first.map_err(failed)?, second.map_err(failed)?);
        if first != second {
            return Err(Failure::new(format!("{program}: two builds differ")));
        }
        println!(
            "xtask: {program}: two builds are the same {} bytes",
            first.len()
        );
    }
    Ok(())
}

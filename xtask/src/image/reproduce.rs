//! Two builds of one source, in different folders, at different times: are they the same?
use std::{env, fs, io, path::Path, process::Command};

use super::{Build, PROGRAMS, output_of};
use crate::command::{Failure, run};

/// Builds the committed and the changed files of the workspace twice, from nothing, and compares.
pub(crate) fn reproduce() -> Result<(), Failure> {
    let here = Build::here()?;
    let scratch = env::temp_dir().join(format!("dauth-reproduce-{}", std::process::id()));
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
        copy(source, &build.source)?;
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

/// Copies what git knows of, and what it would add.
pub(super) fn copy(source: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir_all(to).map_err(|e| Failure::new(format!("{}: {e}", to.display())))?;
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let files = output_of(Command::new("git").args(list).current_dir(source))?;
    let files = files.lines().filter(|file| source.join(file).is_file());
    run(Command::new("cp")
        .args(["--parents", "--preserve=timestamps", "--target-directory"])
        .arg(to)
        .args(files.collect::<Vec<_>>())
        .current_dir(source))
}

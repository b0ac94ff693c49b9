//! The programs that run inside of the machine.
use std::{fmt::Write as _, path::PathBuf};

use super::workspace::Workspace;
use crate::command::Failure;

/// A folder of programs.
pub(crate) struct Guest(PathBuf);

impl Guest {
    /// For the file that the tests read.
    pub(crate) fn lines(&self) -> String {
        let mut lines = String::new();
        for (name, program) in [
            ("init", "dauth-init"),
            ("enclave", "dauth-enclave"),
            ("enclave_sim", "dauth-enclave-sim"),
            ("nsm_probe", "dauth-nsm-probe"),
        ] {
            let _ = writeln!(lines, "{name} = '{}'", self.0.join(program).display());
        }
        lines
    }
}

/// Builds them: the enclave and its init as they are released, and two that are not.
pub(crate) fn build(workspace: &Workspace) -> Result<Guest, Failure> {
    let folder = workspace.target().join("guest");
    let build = workspace.image_build();
    build.leave_in(&folder)?;
    let programs = ["dauth-enclave-sim", "dauth-nsm-probe"];
    build.leave_for_tests("dauth-simulator", &programs, &folder)?;
    Ok(Guest(folder))
}

//! `cargo xtask deny`: what comes from outside, against `deny.toml`. It looks at manifests alone, so it needs no network and takes seconds;
//! known vulnerabilities are left out, since their list is a repository elsewhere.

use std::process::Command;

use crate::failure::Failure;
use crate::workspace::Workspace;
use crate::{servers, step};

/// Which checks are made.
const CHECKS: [&str; 3] = ["licenses", "bans", "sources"];

pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let program = servers::cargo_deny(workspace)?;
    let mut deny = Command::new(program);
    deny.current_dir(workspace.root()).args(["--offline", "--locked", "check"]).args(CHECKS);
    step::run("deny", &mut deny).map(drop)
}

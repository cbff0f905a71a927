//! `cargo xtask bench`: the product, the same rows and the narrow row in one run, so that the ratios hold anywhere.

use crate::failure::Failure;
use crate::step;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, bench_args: Vec<String>) -> Result<(), Failure> {
    let mut cargo = workspace.cargo();
    cargo.args(["bench", "--package", "runtime", "--bench", "table", "--"]).args(bench_args);
    step::run("bench", &mut cargo).map(drop)
}

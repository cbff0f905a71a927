//! `cargo xtask bench`: the product beside its limits in one run, so that the ratios hold anywhere.

use crate::failure::Failure;
use crate::step;
use crate::workspace::Workspace;

/// What can be measured, each a bench of `runtime`: throughput and latency of tasks, calls of the admin API, and looks at a
/// million tasks.
pub(crate) const BENCHES: [&str; 3] = ["table", "control", "scale"];

pub(crate) fn run(workspace: &Workspace, bench: &str, bench_args: Vec<String>) -> Result<(), Failure> {
    let mut cargo = workspace.cargo();
    cargo.args(["bench", "--package", "runtime", "--bench", bench, "--"]).args(bench_args);
    step::run("bench", &mut cargo).map(drop)
}

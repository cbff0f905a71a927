//! `cargo xtask bench`: the product beside its limits in one run, so that the ratios hold anywhere.

use crate::failure::Failure;
use crate::step;
use crate::workspace::Workspace;

/// What can be measured, each a bench of `runtime`: throughput and latency of tasks, calls of the admin API, looks at a million tasks,
/// what watchers cost, and commands of `runtimectl`.
pub(crate) const BENCHES: [&str; 5] = ["table", "control", "scale", "watchers", CLI];

/// Runs the program as it is installed.
const CLI: &str = "cli";

pub(crate) fn run(workspace: &Workspace, bench: &str, bench_args: Vec<String>) -> Result<(), Failure> {
    if bench == CLI {
        let program = ["build", "--release", "--package", "runtime-admin", "--bin", "runtimectl"];
        step::run("runtimectl", workspace.cargo().args(program))?;
    }
    let mut cargo = workspace.cargo();
    cargo.args(["bench", "--package", "runtime", "--bench", bench, "--"]).args(bench_args);
    step::run("bench", &mut cargo).map(drop)
}

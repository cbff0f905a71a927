//! `cargo xtask ci`: what the gate runs, for a person who wants to know before pushing.
//!
//! `.ci/run` spells the same commands out, so that a log shows which one failed; a test below keeps the two alike.

use crate::failure::Failure;
use crate::workspace::Workspace;
use crate::{step, test};

/// Runs before the tests, in this order. Lints and documents see every feature, so that tests behind one are checked too.
const CHECKS: [Check; 4] = [
    Check { name: "formatting", args: "fmt --all --check", denied: None },
    Check {
        name: "lints",
        args: "clippy --workspace --all-targets --all-features --quiet -- -D warnings",
        denied: None,
    },
    Check {
        name: "documents",
        args: "doc --workspace --no-deps --all-features --quiet",
        denied: Some(("RUSTDOCFLAGS", "-D warnings")),
    },
    Check {
        name: "doc tests",
        args: "test --doc --workspace --features runtime-tests/servers",
        denied: None,
    },
];

struct Check {
    name: &'static str,
    args: &'static str,
    /// A variable that turns warnings into errors where no argument does.
    denied: Option<(&'static str, &'static str)>,
}

pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    for check in CHECKS {
        let mut cargo = workspace.cargo();
        cargo.args(check.args.split_whitespace()).envs(check.denied);
        step::run(check.name, &mut cargo)?;
    }
    test::run(workspace, true, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_runs_the_same_checks_and_then_the_test_command_of_the_readme() {
        let script = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../.ci/run"));
        let script = script.expect("the gate's script");
        let mut rest = script.as_str();
        for wanted in
            CHECKS.iter().map(|check| format!("cargo {}\n", check.args)).chain(["cargo xtask test\n".into()])
        {
            let at =
                rest.find(&wanted).unwrap_or_else(|| panic!(".ci/run lacks, or has out of order: {wanted}"));
            rest = &rest[at + wanted.len()..];
        }
    }
}

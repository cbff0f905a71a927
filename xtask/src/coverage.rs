//! `cargo xtask coverage`: which lines of the crates their tests reach, each also by the tests of the others.
//!
//! ```text
//! instrumented build ─▶ tests ─▶ a profile a process ─▶ llvm-profdata ─▶ llvm-cov ─▶ a table a crate
//! ```
//!
//! Files of tests are left out; test modules inside other files are counted with them. A process that a test kills leaves no profile.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::workspace::Workspace;
use crate::{servers, step};

/// What is measured: whose promises everything else stands on.
pub(crate) const CRATES: [&str; 3] = ["runtime-core", "runtime-stores", "runtime-actors"];

/// Files that hold tests alone.
const TESTS: &str = "/src/(tests|suite)[/.]";

pub(crate) fn run(workspace: &Workspace, crates: Vec<String>) -> Result<(), Failure> {
    let tools = servers::coverage_tools(workspace)?;
    // Apart from other builds, which would all begin anew after it.
    let target = workspace.root().join("target/coverage");
    let programs = build(workspace, &target, &crates)?;
    let profiles = target.join("profiles");
    if profiles.exists() {
        fs::remove_dir_all(&profiles).map_err(Failure::io("remove old profiles"))?;
    }
    step::run("tests", &mut cargo(workspace, &target, &crates, "profiles"))?;

    let merged = target.join("merged.profdata");
    let mut merge = Command::new(tools.join("llvm-profdata"));
    step::run("merge", merge.arg("merge").arg("--sparse").arg(&profiles).arg("-o").arg(&merged))?;
    for name in &crates {
        let mut export = Command::new(tools.join("llvm-cov"));
        export.args(["export", "--format=lcov", "--summary-only", "--ignore-filename-regex", TESTS]);
        export.arg("--instr-profile").arg(&merged);
        for program in &programs {
            export.arg("--object").arg(program);
        }
        let sources = workspace.root().join(name).join("src");
        print!("{}", table(name, &sources, &output(export.arg("--sources").arg(&sources))?));
    }
    Ok(())
}

/// Builds the tests; the answer is where each program lies.
fn build(workspace: &Workspace, target: &Path, crates: &[String]) -> Result<Vec<String>, Failure> {
    let mut cargo = cargo(workspace, target, crates, "profiles-of-the-build");
    let messages = output(cargo.args(["--no-run", "--message-format", "json"]))?;
    let after = |line: &str| Some(line.split_once(r#""executable":""#)?.1.split('"').next()?.to_owned());
    Ok(messages.lines().filter_map(after).collect())
}

/// `cargo test` of instrumented crates. Build scripts and macros are instrumented too: their profiles go to a folder of their own.
fn cargo(workspace: &Workspace, target: &Path, crates: &[String], profiles: &str) -> Command {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--tests", "--target-dir"]).arg(target);
    cargo.args(crates.iter().flat_map(|name| ["--package", name]));
    cargo.env("RUSTFLAGS", "-C instrument-coverage");
    cargo.env("LLVM_PROFILE_FILE", target.join(profiles).join("%p-%m.profraw"));
    cargo
}

fn output(command: &mut Command) -> Result<String, Failure> {
    let name = step::shown(command);
    let output = command.stderr(Stdio::inherit()).output().map_err(Failure::io(name.clone()))?;
    step::passed(&name, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a summary in lcov's format says, a line a file, and all of them together.
fn table(name: &str, sources: &Path, lcov: &str) -> String {
    let (mut rows, mut file, mut found) = (Vec::new(), "", 0);
    let (mut all, mut all_hit) = (0, 0);
    for line in lcov.lines() {
        match line.split_once(':') {
            Some(("SF", path)) => file = path,
            Some(("LF", lines)) => found = lines.parse().unwrap_or(0),
            Some(("LH", lines)) => {
                let hit = lines.parse().unwrap_or(0);
                let file = Path::new(file).strip_prefix(sources).unwrap_or(Path::new(file));
                rows.push(row(&file.display().to_string(), hit, found));
                (all, all_hit) = (all + found, all_hit + hit);
            }
            _ => {}
        }
    }
    rows.sort();
    rows.push(row(name, all_hit, all));
    format!("\n{:<40} {:>7} {:>7}\n{}", "FILE", "LINES", "REACHED", rows.concat())
}

fn row(name: &str, hit: u32, found: u32) -> String {
    let share = 100.0 * f64::from(hit) / f64::from(found.max(1));
    format!("{name:<40} {found:>7} {share:>6.1}%\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_a_file_and_their_sum() {
        let lcov = "SF:/x/core/src/c.rs\nLF:10\nLH:10\nend_of_record\nSF:/x/core/src/a/b.rs\nLF:30\nLH:15\n";
        let table = table("core", Path::new("/x/core/src"), lcov);
        let rows: Vec<Vec<&str>> =
            table.lines().skip(2).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows, [["a/b.rs", "30", "50.0%"], ["c.rs", "10", "100.0%"], ["core", "40", "62.5%"]]);
    }
}

//! `cargo xtask test` and `cargo xtask nightly`: servers first, then every test, then one line that sums up.
//!
//! A test that needs a server sits in a target with `required-features = ["servers"]`. Without servers it is not
//! compiled, so it can neither fail for the wrong reason nor look as if it had passed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::servers::{self, Place};
use crate::step::{self, seconds};
use crate::totals::{Totals, failed_test};
use crate::workspace::Workspace;

/// Cases of each test by chance over the whole store in the long run.
const NIGHTLY_CASES: &str = "10000";

pub(crate) fn run(workspace: &Workspace, with_servers: bool, cargo_args: Vec<String>) -> Result<(), Failure> {
    let mut args = vec!["--workspace".to_owned()];
    if with_servers {
        args.extend(["--features".to_owned(), "runtime-tests/servers".to_owned()]);
    } else {
        eprintln!("==> without servers: tests that need a real server are not compiled in this run");
    }
    args.extend(cargo_args);
    run_tests(workspace, with_servers, &args, &[])
}

pub(crate) fn run_nightly(workspace: &Workspace, cargo_args: Vec<String>) -> Result<(), Failure> {
    let features = "runtime-tests/servers,runtime-tests/nightly";
    let args =
        ["--release", "--package", "runtime-tests", "--package", "runtime-stores", "--features", features];
    let args: Vec<String> = args.into_iter().map(str::to_owned).chain(cargo_args).collect();
    run_tests(workspace, true, &args, &[("RUNTIME_CASES", NIGHTLY_CASES)])
}

fn run_tests(
    workspace: &Workspace,
    with_servers: bool,
    args: &[String],
    variables: &[(&str, &str)],
) -> Result<(), Failure> {
    let started = Instant::now();
    let places = if with_servers { servers::find_or_install(workspace)? } else { Vec::new() };
    let servers_took = started.elapsed();

    // What follows `--` is for the test programs; a build takes the rest.
    let build_args = args.iter().take_while(|arg| *arg != "--");
    let build_took = step::run("build", workspace.cargo().args(["test", "--no-run"]).args(build_args))?;

    let tests = run_counted(workspace, &places, args, variables)?;

    for name in &tests.failed {
        eprintln!("==> failed: {name}");
    }
    eprintln!(
        "==> summary: {}; servers {}, build {}, tests {}, together {}",
        tests.totals,
        if with_servers { seconds(servers_took) } else { "left out".to_owned() },
        seconds(build_took),
        seconds(tests.took),
        seconds(started.elapsed()),
    );
    tests.verdict
}

struct TestRun {
    totals: Totals,
    failed: Vec<String>,
    took: Duration,
    verdict: Result<(), Failure>,
}

/// Runs all tests, also after one has failed, and passes on what they print while it counts.
fn run_counted(
    workspace: &Workspace,
    places: &[Place],
    args: &[String],
    variables: &[(&str, &str)],
) -> Result<TestRun, Failure> {
    let mut command: Command = workspace.cargo();
    command
        .args(["test", "--no-fail-fast"])
        .args(args)
        .envs(variables.iter().copied())
        .stdout(Stdio::piped());
    for place in places {
        command.env(place.variable, &place.path);
    }
    eprintln!("==> tests: {}", step::shown(&command));

    let started = Instant::now();
    let mut child = command.spawn().map_err(Failure::io("cargo test"))?;
    let mut totals = Totals::default();
    let mut failed = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let mut shown = std::io::stdout().lock();
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(Failure::io("read what the tests print"))?;
            let line = String::from_utf8_lossy(&line);
            totals.read(&line);
            failed.extend(failed_test(&line).map(str::to_owned));
            writeln!(shown, "{line}").map_err(Failure::io("pass on what the tests print"))?;
        }
    }
    let status = child.wait().map_err(Failure::io("cargo test"))?;
    Ok(TestRun { totals, failed, took: started.elapsed(), verdict: step::passed("tests", status) })
}

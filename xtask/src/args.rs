//! The command line as a value.

use crate::bench::BENCHES;
use crate::coverage::CRATES;
use crate::failure::Failure;

pub(crate) const USAGE: &str = "\
usage: cargo xtask <task>

  test [--without-servers] [-- ARGS]  find or install the servers, then run every test; ARGS go to `cargo test`
  servers                             find or install the servers and print where each is, as shell exports
  data                                find or fetch the public data that tests read, and print where it is
  bench [table] [--quick]             the table of throughput and latency, in release mode
  bench control [--quick]             calls of the admin API beside an empty call, in release mode
  bench scale [--quick]               lists and counts over a million tasks, in release mode
  bench watchers [--quick]            what 200 watchers of events cost the work, in release mode
  bench cli [--quick]                 commands of runtimectl from start to end of the process, in release mode
  coverage [CRATE …]                  line coverage of core, stores and actors by their tests
  config                              write the schema and the example of each app's configuration anew
  deny                                licences, banned crates and sources of everything that comes from outside
  ci                                  formatting, lints, documents, doc tests, then `test`
  nightly [-- ARGS]                   the long runs, in release mode

`test` and `nightly` fail when a server is neither found nor installable. `test --without-servers` leaves out the
tests that need one: they are not compiled, and the command says so.";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Help,
    Servers,
    Data,
    Test { with_servers: bool, cargo_args: Vec<String> },
    Nightly { cargo_args: Vec<String> },
    Bench { bench: &'static str, bench_args: Vec<String> },
    Coverage { crates: Vec<String> },
    Config,
    Deny,
    Ci,
}

/// Reads the arguments that follow the program's name.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Task, Failure> {
    let mut args = args.into_iter();
    let Some(name) = args.next() else { return Ok(Task::Help) };
    let mut flags: Vec<String> = args.by_ref().take_while(|arg| arg != "--").collect();
    let handed_on: Vec<String> = args.collect();

    let task = match name.as_str() {
        "help" | "-h" | "--help" => Task::Help,
        "servers" => Task::Servers,
        "data" => Task::Data,
        "test" => Task::Test {
            with_servers: !take_flag(&mut flags, "--without-servers"),
            cargo_args: handed_on.clone(),
        },
        "nightly" => Task::Nightly { cargo_args: handed_on.clone() },
        "bench" => Task::Bench {
            bench: BENCHES.into_iter().find(|bench| take_flag(&mut flags, bench)).unwrap_or(BENCHES[0]),
            bench_args: take_flag(&mut flags, "--quick").then(|| "--quick".to_owned()).into_iter().collect(),
        },
        "coverage" if flags.iter().all(|name| CRATES.contains(&name.as_str())) => {
            let named = std::mem::take(&mut flags);
            let all = || CRATES.map(str::to_owned).to_vec();
            Task::Coverage { crates: if named.is_empty() { all() } else { named } }
        }
        "coverage" => {
            return Err(Failure::Usage(format!("`coverage` takes of {}", CRATES.join(", "))));
        }
        "config" => Task::Config,
        "deny" => Task::Deny,
        "ci" => Task::Ci,
        other => return Err(Failure::Usage(format!("there is no task `{other}`"))),
    };

    if let Some(unknown) = flags.first() {
        return Err(Failure::Usage(format!("`{name}` does not take `{unknown}`")));
    }
    if !handed_on.is_empty() && !matches!(task, Task::Test { .. } | Task::Nightly { .. }) {
        return Err(Failure::Usage(format!("`{name}` takes nothing after `--`")));
    }
    Ok(task)
}

fn take_flag(flags: &mut Vec<String>, flag: &str) -> bool {
    let before = flags.len();
    flags.retain(|given| given != flag);
    flags.len() < before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task, Failure> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn every_task_is_reached_by_its_name() {
        let strings = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
        for (line, task) in [
            ("", Task::Help),
            ("--help", Task::Help),
            ("servers", Task::Servers),
            ("data", Task::Data),
            ("config", Task::Config),
            ("deny", Task::Deny),
            ("ci", Task::Ci),
            ("test", Task::Test { with_servers: true, cargo_args: vec![] }),
            ("test --without-servers", Task::Test { with_servers: false, cargo_args: vec![] }),
            (
                "test -- --test imap",
                Task::Test { with_servers: true, cargo_args: strings(&["--test", "imap"]) },
            ),
            ("nightly -- kill", Task::Nightly { cargo_args: strings(&["kill"]) }),
            ("coverage runtime-core", Task::Coverage { crates: strings(&["runtime-core"]) }),
            ("coverage", Task::Coverage { crates: strings(&CRATES) }),
            ("bench", Task::Bench { bench: "table", bench_args: vec![] }),
            ("bench --quick", Task::Bench { bench: "table", bench_args: strings(&["--quick"]) }),
            ("bench control --quick", Task::Bench { bench: "control", bench_args: strings(&["--quick"]) }),
            ("bench cli", Task::Bench { bench: "cli", bench_args: vec![] }),
        ] {
            assert_eq!(parsed(line).ok(), Some(task), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (line, named) in [
            ("tset", "tset"),
            ("test --without-server", "--without-server"),
            ("bench quick", "quick"),
            ("bench table control", "control"),
            ("coverage xtask", "runtime-core"),
            ("ci -- --workspace", "--"),
        ] {
            let refusal = parsed(line).expect_err(line).to_string();
            assert!(refusal.contains(named), "{line}: {refusal}");
        }
    }
}

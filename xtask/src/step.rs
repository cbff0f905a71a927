//! One program run with a message before it and its time after it. All messages go to standard error: standard output
//! carries results only.

use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// Runs a program whose output the user wants to see as it comes.
pub(crate) fn run(name: &str, command: &mut Command) -> Result<Duration, Failure> {
    eprintln!("==> {name}: {}", shown(command));
    let started = Instant::now();
    let status = command.status().map_err(Failure::io(shown(command)))?;
    passed(name, status)?;
    let took = started.elapsed();
    eprintln!("==> {name}: {}", seconds(took));
    Ok(took)
}

/// Runs a program whose output matters only when it fails; the failure then carries the end of it.
pub(crate) fn run_quietly(command: &mut Command) -> Result<(), String> {
    let name = shown(command);
    let started = Instant::now();
    eprintln!("      {name}");
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        eprintln!("      done in {}", seconds(started.elapsed()));
        return Ok(());
    }
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{name}: {}\n{}", output.status, last_lines(&said, 8)))
}

pub(crate) fn passed(name: &str, status: ExitStatus) -> Result<(), Failure> {
    if status.success() {
        return Ok(());
    }
    Err(Failure::Step { name: name.to_owned(), status: status.to_string() })
}

/// The command as a person would type it; good for reading, not for a shell.
pub(crate) fn shown(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or_default().to_owned();
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ")
}

pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_without_the_place_of_its_program() {
        let mut command = Command::new("/usr/bin/apt-get");
        command.args(["install", "-y"]);
        assert_eq!(shown(&command), "apt-get install -y");
    }

    #[test]
    fn only_the_end_of_a_long_output_is_kept() {
        assert_eq!(last_lines("one\n\ntwo\nthree\n", 2), "two\nthree");
        assert_eq!(last_lines("one\n", 2), "one");
        assert_eq!(last_lines("", 2), "");
    }

    #[test]
    fn a_quiet_failure_carries_what_the_program_said() {
        let said = run_quietly(Command::new("sh").args(["-c", "echo no such package >&2; exit 100"]));
        let said = said.expect_err("the program failed");
        assert!(said.contains("100") && said.contains("no such package"), "{said}");
    }
}

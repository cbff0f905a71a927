//! What a shell wants: completion with the names that the server has, and manual pages.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::time::Duration;

use clap::{Arg, ArgAction, Command, Parser};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use runtime_core::error::ErrorCode;
use runtime_core::node::NodePath;

use super::args::Common;
use super::command;
use super::failure::Failure;
use super::output::Output;
use super::profiles::Profiles;
use super::target::Target;
use super::words::{node_name, short_name};
use crate::client::{AdminClient, Seen};

/// The variable by which a shell asks for completion.
const VARIABLE: &str = "COMPLETE";

/// Nobody waits longer for names.
const PATIENCE: Duration = Duration::from_millis(300);

/// Operations that are offered: the newest.
const OPERATIONS: usize = 20;

/// Something that goes by a name.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Node,
    Operation,
    Principal,
    Profile,
    Queue,
    Schedule,
    Worker,
    ErrorCode,
}

impl Kind {
    /// What an argument is the name of.
    fn of(argument: &Arg) -> Option<Self> {
        let shown = argument.get_value_names().and_then(|names| names.first()).map(|name| name.as_str());
        match (argument.get_id().as_str(), shown) {
            (_, Some("OPERATION")) => Some(Self::Operation),
            (_, Some("PROFILE")) | ("profile", _) => Some(Self::Profile),
            ("path", _) => Some(Self::Node),
            ("principal", _) => Some(Self::Principal),
            ("queue", _) => Some(Self::Queue),
            ("schedule", _) => Some(Self::Schedule),
            ("worker", _) => Some(Self::Worker),
            ("code", _) => Some(Self::ErrorCode),
            _ => None,
        }
    }
}

/// Answers a shell that asks for completion, and ends the process; does nothing when no shell asks.
pub(super) fn complete() {
    let command = || with_names(command().disable_version_flag(true).arg(version()));
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// The script that makes a shell ask.
pub(super) fn completion(shell: &str, output: &mut Output<'_>) -> Result<(), Failure> {
    let shells = Shells::builtins();
    let known = shells.completer(shell).ok_or_else(|| io::Error::other("no such shell"))?;
    Ok(known.write_registration(VARIABLE, "runtimectl", "runtimectl", "runtimectl", &mut output.stdout)?)
}

/// One manual page, or all of them into a folder.
pub(super) fn man(folder: Option<&Path>, output: &mut Output<'_>) -> Result<(), Failure> {
    match folder {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            clap_mangen::generate_to(command(), folder)?;
        }
        None => clap_mangen::Man::new(command()).render(&mut output.stdout)?,
    }
    Ok(())
}

fn version() -> Arg {
    Arg::new("version").short('V').long("version").action(ArgAction::Version).help("Print version")
}

/// The command line for a shell: with the names that there are. Options are offered to whoever has begun one, and where nothing else fits:
/// hidden ones are.
fn with_names(command: Command) -> Command {
    let help = Arg::new("help").short('h').long("help").action(ArgAction::Help).help("Print help");
    command
        .disable_help_flag(true)
        .arg(help)
        .mut_args(|argument| match Kind::of(&argument) {
            Some(kind) => argument.add(ArgValueCompleter::new(move |begun: &OsStr| candidates(kind, begun))),
            None => argument,
        })
        .mut_args(|argument| if argument.is_positional() { argument } else { argument.hide(true) })
        .mut_subcommands(with_names)
}

fn candidates(kind: Kind, begun: &OsStr) -> Vec<CompletionCandidate> {
    let begun = begun.to_string_lossy();
    let names = names(kind).unwrap_or_default();
    names.into_iter().filter(|name| name.starts_with(&*begun)).map(CompletionCandidate::new).collect()
}

/// What goes by a name, as the server of the command line has it. Nothing when it cannot be asked.
fn names(kind: Kind) -> Option<Vec<String>> {
    let variable = |name: &str| std::env::var(name).ok();
    let line = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let common = common(line.collect())?;
    match kind {
        Kind::ErrorCode => return Some(ErrorCode::ALL.iter().map(ToString::to_string).collect()),
        Kind::Profile => {
            let profiles = Profiles::of(common.config.as_deref(), &variable).ok()?;
            return Some(profiles.names().map(str::to_owned).collect());
        }
        _ => {}
    }
    let target = Target::of(&common, common.profile.as_deref(), &variable).ok()?;
    let token = target.token(&variable).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(async {
        let asked = async {
            let client = AdminClient::connect_with(&target.endpoint.value, &target.tls()).await.ok()?;
            let client = token.map_or(Some(client.clone()), |token| client.with_token(&token).ok())?;
            listed(kind, &client).await
        };
        tokio::time::timeout(PATIENCE, asked).await.ok()?
    })
}

async fn listed(kind: Kind, client: &AdminClient) -> Option<Vec<String>> {
    fn short<T>(all: Seen<Vec<T>>, name: impl Fn(&T) -> &str) -> Vec<String> {
        all.iter().map(|one| short_name(name(one)).to_owned()).collect()
    }
    Some(match kind {
        Kind::Node => {
            let all = client.tree(&NodePath::root()).await.ok()?;
            all.iter().map(|node| node_name(&node.name)).collect()
        }
        Kind::Operation => short(client.operations(OPERATIONS).await.ok()?, |one| &one.name),
        Kind::Principal => short(client.principals().await.ok()?, |one| &one.name),
        Kind::Queue => short(client.queues().await.ok()?, |one| &one.name),
        Kind::Schedule => short(client.schedules().await.ok()?, |one| &one.name),
        Kind::Worker => short(client.workers().await.ok()?, |one| &one.name),
        Kind::Profile | Kind::ErrorCode => Vec::new(),
    })
}

/// What a command line that is not finished says of its server.
fn common(line: Vec<OsString>) -> Option<Common> {
    #[derive(Debug, Parser)]
    #[command(disable_help_flag = true)]
    struct CommonAlone {
        #[command(flatten)]
        common: Common,
    }
    let known = <CommonAlone as clap::CommandFactory>::command();
    let is_known = |word: &str| known.get_arguments().any(|argument| argument.get_long() == Some(word));
    let mut said = vec![OsString::from("runtimectl")];
    let mut words = line.into_iter().peekable();
    while let Some(word) = words.next() {
        let Some(flag) = word.to_str().and_then(|word| word.strip_prefix("--")) else { continue };
        match flag.split_once('=') {
            Some((flag, _)) if is_known(flag) => said.push(word),
            None if is_known(flag) && words.peek().is_some() => {
                said.push(word);
                said.extend(words.next());
            }
            _ => {}
        }
    }
    CommonAlone::try_parse_from(said).ok().map(|alone| alone.common)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_finished_says_its_server() {
        let line = [
            "runtimectl",
            "queue",
            "--profile",
            "prod",
            "pause",
            "--endpoint=here:1",
            "--rate",
            "--reason",
            "ma",
        ];
        let common = common(line.iter().map(OsString::from).collect()).unwrap();
        assert_eq!((common.profile.as_deref(), common.endpoint.as_deref()), (Some("prod"), Some("here:1")));
    }

    #[test]
    fn what_goes_by_a_name_is_completed() {
        let at = |words: &[&str]| {
            words
                .iter()
                .fold(command(), |command, word| command.find_subcommand(word).expect("a command").clone())
        };
        let kind =
            |words: &[&str]| at(words).get_arguments().find_map(Kind::of).map(|kind| format!("{kind:?}"));
        for (words, expected) in [
            (&["queue", "pause"][..], "Queue"),
            (&["node", "restart"], "Node"),
            (&["tree"], "Node"),
            (&["worker", "run"], "Worker"),
            (&["schedule", "pause"], "Schedule"),
            (&["operation", "cancel"], "Operation"),
            (&["principal", "delete"], "Principal"),
            (&["errors"], "ErrorCode"),
            (&["profile", "show"], "Profile"),
        ] {
            assert_eq!(kind(words).as_deref(), Some(expected), "{words:?}");
        }
    }
}

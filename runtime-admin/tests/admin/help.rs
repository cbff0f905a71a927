//! What `runtimectl` says of itself.

use runtime_admin::cli::{self, Exit};

use crate::cli::run_in;

/// The words of every command, those with verbs of their own included.
pub(crate) fn commands() -> Vec<Vec<String>> {
    fn below(command: &clap::Command, words: &[String], all: &mut Vec<Vec<String>>) {
        all.push(words.to_vec());
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
            below(verb, &[words, &[verb.get_name().to_owned()]].concat(), all);
        }
    }
    let mut all = Vec::new();
    below(&cli::command(), &[], &mut all);
    all
}

async fn help(words: &[String]) -> String {
    let mut args: Vec<&str> = words.iter().map(String::as_str).collect();
    args.push("--help");
    let run = run_in(&[], false, &args).await;
    assert_eq!((run.exit, run.stderr.as_str()), (Exit::Ok, ""), "{args:?}");
    run.stdout
}

#[tokio::test]
async fn every_command_has_help_within_eighty_columns() {
    let all = commands();
    assert!(all.len() > 80, "{}", all.len());
    let mut wide = Vec::new();
    let nouns = all.iter().filter(|words| words.len() < 2);
    for noun in nouns {
        let mut text = String::new();
        let name = noun.first().map_or("runtimectl", String::as_str);
        for words in
            all.iter().filter(|words| words.first() == noun.first() && (noun.len() == 1 || words.is_empty()))
        {
            let help = help(words).await;
            wide.extend(help.lines().filter(|line| line.chars().count() > 80).map(str::to_owned));
            text.push_str(&format!("$ runtimectl {} --help\n{help}\n", words.join(" ")));
        }
        insta::assert_snapshot!(format!("help_{}", name.replace('-', "_")), text);
    }
    assert!(wide.is_empty(), "{wide:#?}");
}

#[tokio::test]
async fn what_every_command_takes_is_said_alike() {
    let common = |help: &str| {
        let (_, after) = help.split_once("Common options:\n").expect("a section");
        after
            .lines()
            .take_while(|line| !line.is_empty())
            .map(str::trim)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let whole = common(&help(&[]).await);
    for words in commands() {
        let here = common(&help(&words).await);
        let squeezed = |lines: &[String]| lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&here), squeezed(&whole), "{words:?}");
    }
}

//! `runtimectl` as its users see it: text on two streams and an exit code, held still by snapshots.

use std::ffi::OsString;

use jiff::Timestamp;
use runtime_admin::cli::{self, ENDPOINT_VARIABLE, Exit, Surroundings};
use runtime_core::clock::Clock;
use runtime_core::control::CommandError;
use runtime_core::error::ErrorCode;

use crate::control::{Mood, at, id};
use crate::world::{Served, setup};

struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        at(0)
    }
}

struct Run {
    exit: Exit,
    stdout: String,
    stderr: String,
}

/// Runs a command line as a user would, with these variables.
async fn run_in(variables: &[(&str, &str)], terminal: bool, args: &[&str]) -> Run {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let around = Surroundings {
        stdout: &mut stdout,
        stderr: &mut stderr,
        terminal,
        variable: &variable,
        clock: &StoppedClock,
    };
    let args = ["runtimectl"].iter().chain(args).map(OsString::from);
    let exit = cli::run(args, around).await;
    Run { exit, stdout: String::from_utf8(stdout).unwrap(), stderr: String::from_utf8(stderr).unwrap() }
}

async fn run(served: &Served, args: &[&str]) -> Run {
    run_in(&[(ENDPOINT_VARIABLE, &served.endpoint())], false, args).await
}

/// Several runs as one text, the port of this test taken out.
async fn transcript(served: &Served, lines: &[&[&str]]) -> String {
    let mut text = String::new();
    for args in lines {
        let run = run(served, args).await;
        text.push_str(&format!("$ runtimectl {}\n{}", args.join(" "), run.stdout));
        for line in run.stderr.lines() {
            text.push_str(&format!("stderr: {line}\n"));
        }
        text.push_str(&format!("exit: {}\n\n", run.exit as u8));
    }
    text.replace(&served.address.to_string(), "127.0.0.1:7070")
}

#[tokio::test]
async fn help_names_every_noun_and_verb() {
    let mut text = String::new();
    for args in [
        &["--help"][..],
        &["tree", "--help"],
        &["node", "--help"],
        &["node", "resize", "--help"],
        &["queue", "--help"],
        &["task", "--help"],
        &["task", "list", "--help"],
        &["task", "enqueue", "--help"],
        &["task", "resolve", "--help"],
        &["worker", "--help"],
        &["worker", "run", "--help"],
        &["overview", "--help"],
    ] {
        let run = run_in(&[], false, args).await;
        assert_eq!((run.exit, run.stderr.as_str()), (Exit::Ok, ""), "{args:?}");
        text.push_str(&format!("$ runtimectl {}\n{}\n", args.join(" "), run.stdout));
    }
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn the_tree_is_drawn() {
    let served = setup().await;
    let text = transcript(
        &served,
        &[&["tree"], &["tree", "shop"], &["tree", "-o", "wide"], &["tree", "-o", "name"]],
    )
    .await;
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn nodes_are_listed_and_steered() {
    let served = setup().await;
    let text = transcript(
        &served,
        &[
            &["node", "list"],
            &["node", "get", "shop/workers/settle"],
            &["node", "pause", "shop/workers/fetch"],
            &["node", "resume", "/engine/apps/shop/workers/fetch"],
            &["node", "stop", "shop/sources/inbox"],
            &["node", "start", "nodes/engine/apps/shop/sources/inbox"],
            &["node", "restart", "/engine/store"],
            &["node", "resize", "shop/workers/fetch", "9", "-o", "wide"],
            &["node", "drain", "shop/workers/fetch", "-o", "name"],
            &["node", "stop", "/engine/store"],
            &["node", "get", "shop/workers/none"],
        ],
    )
    .await;
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn queues_and_workers_are_listed() {
    let served = setup().await;
    let task = id(4).to_string();
    let text = transcript(
        &served,
        &[
            &["queue", "list"],
            &["queue", "stats", "mail"],
            &["queue", "stats", "none"],
            &["worker", "list"],
            &["worker", "list", "-o", "wide"],
            &["worker", "get", "settle"],
            &["worker", "get", "none"],
            &["worker", "run", "fetch", "--task", &task, "--correlation", "audit-2"],
            &["worker", "run", "fetch", "--scope", "store=42", "--correlation", "audit-3"],
            &["worker", "run", "fetch", "--scope", "store=42", "--correlation", "audit-3", "--once"],
            &["worker", "run", "fetch", "--scope", "store=42", "--correlation", "audit-3", "--dry-run"],
            &["worker", "run", "fetch", "--scope", "store=1"],
        ],
    )
    .await;
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn tasks_are_listed_and_moved() {
    let served = setup().await;
    let (parked, leased, dead, ready) =
        (id(7).to_string(), id(6).to_string(), id(5).to_string(), id(4).to_string());
    let text = transcript(
        &served,
        &[
            &["task", "list"],
            &["task", "list", "--filter", "state=ready AND scope:store=4", "-o", "wide"],
            &["task", "list", "--limit", "2", "-o", "name"],
            &["task", "list", "--filter", "state=ready OR app=shop"],
            &["task", "get", &parked],
            &["task", "get", &leased, "-o", "wide"],
            &["task", "resolve", &parked, "--approve"],
            &["task", "resolve", &leased, "--reject"],
            &["task", "retry", &format!("tasks/{dead}")],
            &["task", "cancel", &ready],
            &["task", "enqueue", "fetch", "--payload", "{\"uid\":7}", "--scope", "store=9"],
            &["task", "enqueue", "fetch", "--payload", "{}", "--key", "known"],
            &["task", "enqueue", "fetch", "--payload", "{"],
            &["task", "enqueue", "nobody", "--payload", "{}"],
        ],
    )
    .await;
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn the_whole_is_shown() {
    let served = setup().await;
    insta::assert_snapshot!(transcript(&served, &[&["info"], &["overview"]]).await);
}

#[tokio::test]
async fn json_is_what_the_api_says() {
    let served = setup().await;
    let parked = id(7).to_string();
    let text = transcript(
        &served,
        &[
            &["node", "get", "shop/workers/settle", "-o", "json"],
            &["node", "pause", "shop/workers/fetch", "-o", "jsonl"],
            &["queue", "list", "-o", "jsonl"],
            &["task", "get", &parked, "-o", "json"],
            &["task", "list", "--filter", "state=dead", "-o", "json"],
            &["worker", "list", "-o", "jsonl"],
            &["info", "-o", "json"],
        ],
    )
    .await;
    assert!(!text.contains("canary"), "payloads are not shown");
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn every_table_fits_eighty_columns() {
    let served = setup().await;
    for args in [
        &["tree"][..],
        &["node", "list"],
        &["queue", "list"],
        &["worker", "list"],
        &["task", "list"],
        &["overview"],
        &["task", "get", &id(7).to_string()],
    ] {
        let run = run(&served, args).await;
        assert_eq!(run.exit, Exit::Ok, "{args:?}: {}", run.stderr);
        for line in run.stdout.lines() {
            assert!(line.chars().count() <= 80, "{args:?}: {line}");
        }
    }
}

#[tokio::test]
async fn usage_errors_exit_with_two() {
    for args in [
        &[][..],
        &["node"],
        &["node", "get", "a//b"],
        &["node", "resize", "shop/workers/fetch", "0"],
        &["task", "get", "7"],
        &["task", "resolve", &id(7).to_string()],
        &["task", "resolve", &id(7).to_string(), "--approve", "--reject"],
        &["task", "enqueue", "fetch"],
        &["worker", "run", "fetch"],
        &["tree", "-o", "yaml"],
        &["--endpoint", "not an endpoint", "tree"],
    ] {
        let run = run_in(&[], false, args).await;
        assert_eq!((run.exit, run.stdout.as_str()), (Exit::Usage, ""), "{args:?}");
        assert!(!run.stderr.is_empty(), "{args:?}");
    }
}

#[tokio::test]
async fn trouble_on_the_way_has_its_own_exit_codes() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let gone = run_in(&[], false, &["--endpoint", &nobody, "tree"]).await;
    assert_eq!(gone.exit, Exit::CannotConnect);
    assert!(gone.stderr.contains("hint: is the runtime running?"), "{}", gone.stderr);

    let served = setup().await;
    served.control.change(|world| world.mood = Mood::Silent);
    let silent = run(&served, &["--timeout-secs", "1", "info"]).await;
    assert_eq!(silent.exit, Exit::Deadline);
    assert!(silent.stderr.contains("docs/errors/RT0033.md"), "{}", silent.stderr);

    let refusal = CommandError::new(ErrorCode::ShuttingDown, "the runtime is stopping");
    served.control.change(|world| world.mood = Mood::Refusing(refusal));
    let stopping = run(&served, &["info"]).await;
    assert_eq!(stopping.exit, Exit::CannotConnect);
    assert_eq!(
        stopping.stderr,
        "error: the runtime is stopping (RT0028 shutting_down)\nhint: docs/errors/RT0028.md\n"
    );
}

#[tokio::test]
async fn a_check_fails_with_its_own_code_only_when_asked() {
    let served = setup().await;
    assert_eq!(run(&served, &["overview", "--check"]).await.exit, Exit::Ok);
    served.control.change(|world| {
        world.overview.health = runtime_core::node::Health::Unhealthy("the store is gone".into());
    });
    assert_eq!(run(&served, &["overview"]).await.exit, Exit::Ok);
    assert_eq!(run(&served, &["overview", "--check"]).await.exit, Exit::CheckFailed);
}

#[tokio::test]
async fn the_flag_names_the_endpoint_before_the_variable() {
    let served = setup().await;
    let wrong = [(ENDPOINT_VARIABLE, "http://127.0.0.1:1")];
    assert_eq!(run_in(&wrong, false, &["--endpoint", &served.endpoint(), "info"]).await.exit, Exit::Ok);
    assert_eq!(run_in(&wrong, false, &["info"]).await.exit, Exit::CannotConnect);
}

#[tokio::test]
async fn colours_are_for_terminals_that_want_them() {
    let served = setup().await;
    let endpoint = served.endpoint();
    let tree = async |variables: &[(&str, &str)], terminal| {
        let variables = [&[(ENDPOINT_VARIABLE, endpoint.as_str())], variables].concat();
        run_in(&variables, terminal, &["tree"]).await.stdout.contains('\u{1b}')
    };
    assert!(tree(&[], true).await);
    assert!(!tree(&[], false).await);
    assert!(!tree(&[("NO_COLOR", "1")], true).await);
}

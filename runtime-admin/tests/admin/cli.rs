//! `runtimectl` as its users see it: text on two streams and an exit code, held still by snapshots.

use std::ffi::OsString;
use std::process::Command;

use jiff::Timestamp;
use runtime_admin::cli::{self, ENDPOINT_VARIABLE, Exit, Surroundings};
use runtime_admin::v1;
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

pub(crate) struct Run {
    pub(crate) exit: Exit,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command line as a user would, with these variables.
pub(crate) async fn run_in(variables: &[(&str, &str)], terminal: bool, args: &[&str]) -> Run {
    run_answering(variables, terminal, None, args).await
}

/// The same, with somebody at the terminal who answers questions.
async fn run_answering(
    variables: &[(&str, &str)],
    terminal: bool,
    answer: Option<&str>,
    args: &[&str],
) -> Run {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let around = Surroundings {
        progress: false,
        stdout: &mut stdout,
        stderr: &mut stderr,
        terminal,
        token: None,
        variable: &variable,
        clock: &StoppedClock,
        answer: &|| answer.map(str::to_owned),
    };
    let args = ["runtimectl"].iter().chain(args).map(OsString::from);
    let exit = cli::run(args, around).await;
    Run { exit, stdout: String::from_utf8(stdout).unwrap(), stderr: String::from_utf8(stderr).unwrap() }
}

async fn run(served: &Served, args: &[&str]) -> Run {
    run_in(&[(ENDPOINT_VARIABLE, &served.endpoint())], false, args).await
}

/// Several runs as one text, the port of this test taken out.
pub(crate) async fn transcript(served: &Served, lines: &[&[&str]]) -> String {
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

/// The program itself.
pub(crate) fn runtimectl(served: &Served, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runtimectl"));
    command.env_clear().env("RUNTIMECTL_ENDPOINT", served.endpoint()).args(args);
    command
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
            &["node", "restarts"],
            &["node", "restarts", "shop/sources", "--limit", "1"],
            &["node", "pause", "shop/workers/fetch"],
            &["node", "resume", "/engine/apps/shop/workers/fetch"],
            &["node", "stop", "shop/sources/inbox"],
            &["node", "stop", "shop/sources/inbox", "--reason", "full"],
            &["node", "start", "nodes/engine/apps/shop/sources/inbox"],
            &["node", "restart", "/engine/store"],
            &["node", "resize", "shop/workers/fetch", "9", "-o", "wide"],
            &["node", "drain", "shop/workers/fetch", "--reason", "moves", "-o", "name"],
            &["node", "stop", "/engine/store", "--reason", "why not"],
            &["node", "pause", "shop/workers/settle", "--etag", "1-1"],
            &["node", "pause", "shop/workers/settle", "--etag", "1a0c4506c00-1"],
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
            &["queue", "get", "mail"],
            &[
                "queue",
                "update",
                "mail",
                "--concurrency",
                "1",
                "--rate",
                "unlimited",
                "--reason",
                "the bank asked",
            ],
            &["queue", "update", "mail", "--lane", "globex", "--rate", "5/2s", "--burst", "9", "--dry-run"],
            &["queue", "update", "mail", "--lane", "globex", "--fairness", "fair"],
            &["queue", "update", "mail", "--clear", "-o", "name"],
            &["queue", "update", "mail"],
            &["queue", "pause", "mail", "--scope", "store=42", "--reason", "the printer burns"],
            &["queue", "resume", "mail", "--scope", "store=42", "-o", "name"],
            &["queue", "pause", "mail"],
            &["queue", "resume", "queues/mail", "-o", "json"],
            &["queue", "pause", "none"],
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
    let [parked, leased, dead, ready, held] = [7, 6, 5, 4, 3].map(|row| id(row).to_string());
    let text = transcript(
        &served,
        &[
            &["task", "list"],
            &["task", "list", "--filter", "state=ready AND scope:store=4", "-o", "wide"],
            &["task", "list", "--limit", "2", "-o", "name"],
            &["task", "list", "--filter", "state=ready or app=shop"],
            &["task", "get", &parked],
            &["task", "get", &leased, "-o", "wide"],
            &["task", "get", &held],
            &["task", "resolve", &parked, "--approve"],
            &["task", "resolve", &leased, "--reject"],
            &["task", "retry", &format!("tasks/{dead}")],
            &["task", "cancel", &ready, "--reason", "closed"],
            &["task", "enqueue", "fetch", "--payload", "{\"uid\":7}", "--scope", "store=9"],
            &["task", "enqueue", "fetch", "--payload", "{}", "--key", "known"],
            &[
                "task",
                "enqueue",
                "fetch",
                "--payload",
                "{}",
                "--key",
                "put off",
                "--on-conflict",
                "debounce",
                "--debounce-at-most",
                "10m",
            ],
            &["task", "enqueue", "fetch", "--payload", "{"],
            &["task", "enqueue", "nobody", "--payload", "{}"],
        ],
    )
    .await;
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn dead_letters_are_looked_at_and_decided_together() {
    let served = setup().await;
    let text = transcript(
        &served,
        &[
            &["dead-letter", "list"],
            &["dead-letter", "list", "--filter", "class=permanent"],
            &["dead-letter", "list", "--filter", "state=done"],
            &["dead-letter", "groups"],
            &["dead-letter", "groups", "-o", "wide"],
            &["dead-letter", "groups", "--filter", "handler:fe"],
            &["dead-letter", "replay", "--filter", "state=dead", "--yes"],
            &["dead-letter", "replay", "--all", "--dry-run"],
            &["dead-letter", "replay", "--all"],
            &["dead-letter", "discard", "--filter", "queue=mail", "--reason", " ", "--yes"],
            &["dead-letter", "replay", "--filter", "queue=mail", "--rate", "5", "--yes"],
            &["dead-letter", "replay", "--filter", "queue=mail", "--yes"],
            &["dead-letter", "discard", "--filter", "queue=mail", "--reason", "too late"],
        ],
    )
    .await;
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn many_tasks_are_changed_and_operations_looked_at() {
    let served = setup().await;
    let fourth = id(4).to_string();
    let one_by_one = v1::RetryTasksRequest { all: true, rate: 1, ..Default::default() };
    served.client.retry_tasks(one_by_one).await.unwrap();
    let text = transcript(
        &served,
        &[
            &["task", "count"],
            &["task", "count", "--filter", "queue=mail"],
            &["task", "retry", "--all", "--dry-run"],
            &["task", "retry", "--all", "--yes"],
            &["task", "retry", "--filter", "state=done", "--yes"],
            &["task", "cancel", "--filter", "queue=mail", "--yes"],
            &["task", "cancel", "--filter", "queue=mail", "--reason", "closed", "--rate", "20", "--yes"],
            &["task", "cancel", "--all", "--reason", "closed"],
            &["operation", "list"],
            &["operation", "list", "-o", "wide"],
            &["operation", "cancel", "1", "--reason", "enough"],
            &["operation", "watch", "operations/1"],
            &["operation", "watch", "3"],
            &["operation", "get", "7"],
            &["queue", "purge", "mail", "--reason", "old", "--dry-run"],
            &["queue", "purge", "mail", "--reason", "old"],
            &["queue", "purge", "mail", "--reason", "old", "--confirm", "orders"],
            &["queue", "purge", "mail", "--reason", "old", "--confirm", "mail"],
            &["queue", "drain", "mail", "--scope", "store=42", "--reason", "stocktaking"],
            &["worker", "drain", "fetch", "--scope", "store=42"],
            &["worker", "retry", "fetch", "--scope", "store=42", "--dry-run"],
            &["task", "payload", &fourth],
            &["task", "reschedule", &fourth, "--at", "2030-01-31T08:00:00Z"],
            &["task", "delete", &fourth, "--reason", "a test"],
            &["task", "delete", &fourth, "--reason", "a test", "--yes"],
        ],
    )
    .await;
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn a_change_says_why_and_is_done_once_under_its_id() {
    let served = setup().await;
    let enqueue =
        ["task", "enqueue", "fetch", "--payload", "{}", "--reason", "a test", "--request-id", "mine"];
    let (one, again) = (run(&served, &enqueue).await, run(&served, &enqueue).await);
    assert_eq!((one.exit, one.stdout.as_str()), (Exit::Ok, again.stdout.as_str()), "{}", one.stderr);
    served.control.change(|world| assert_eq!(world.enqueued.len(), 1));
    let log = run(&served, &["audit", "list", "-o", "json"]).await.stdout;
    assert!(log.contains(r#""reason": "a test""#) && log.contains(r#""request_id": "mine""#), "{log}");
    let vague = run(&served, &["principal", "delete", "bob", "--reason", " ", "--confirm", "bob"]).await;
    assert_eq!(vague.exit, Exit::Usage);
    assert!(vague.stderr.ends_with("hint: --reason TEXT says why\n"), "{}", vague.stderr);
}

#[tokio::test]
async fn many_are_changed_only_when_that_was_confirmed() {
    let served = setup().await;
    let endpoint = served.endpoint();
    let discard = ["dead-letter", "discard", "--all", "--reason", "too late", "-o", "json"];
    let answering = |answer| {
        let endpoint = endpoint.clone();
        async move { run_answering(&[(ENDPOINT_VARIABLE, &endpoint)], true, answer, &discard).await }
    };
    for (answer, exit) in
        [(None, Exit::Usage), (Some("n\n"), Exit::Interrupted), (Some("\n"), Exit::Interrupted)]
    {
        let run = answering(answer).await;
        assert_eq!((run.exit, run.stdout.as_str()), (exit, ""), "{answer:?}");
        assert!(run.stderr.contains("discard 1 dead task at") && run.stderr.contains("nothing was changed"));
        served.control.change(|world| assert!(world.acts.is_empty()));
    }
    let run = answering(Some("y\n")).await;
    assert_eq!(run.exit, Exit::Ok, "{}", run.stderr);
    assert!(run.stdout.contains(r#""done": 1"#), "{}", run.stdout);
}

#[tokio::test]
async fn one_task_is_replayed_with_another_payload_or_discarded() {
    let served = setup().await;
    let dead = id(5).to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("payload.json");
    std::fs::write(&file, r#"{"uid":8}"#).unwrap();
    let file = file.to_str().unwrap();
    let at = "2030-01-31T08:00:00Z";
    let replay = ["task", "replay", &dead, "--payload", file, "--at", at, "-o", "json"];
    let replayed = run(&served, &replay).await;
    assert_eq!(replayed.exit, Exit::Ok, "{}", replayed.stderr);
    assert!(replayed.stdout.contains("TASK_STATE_SCHEDULED"), "{}", replayed.stdout);
    assert_eq!(run(&served, &replay).await.exit, Exit::Conflict, "it is no longer dead");
    let missing = run(&served, &["task", "replay", &dead, "--payload", "/no/such/file"]).await;
    assert_eq!(missing.exit, Exit::Usage);
    let late = run(&served, &["task", "discard", &dead, "--reason", "too late"]).await;
    assert_eq!(late.exit, Exit::Conflict);

    let served = setup().await;
    let discarded = run(&served, &["task", "discard", &dead, "--reason", "too late"]).await;
    assert_eq!(discarded.exit, Exit::Ok, "{}", discarded.stderr);
    assert!(discarded.stdout.contains("cancelled"), "{}", discarded.stdout);
    assert_eq!(run(&served, &["task", "discard", &dead]).await.exit, Exit::Usage);
}

#[tokio::test]
async fn the_whole_is_shown() {
    let served = setup().await;
    insta::assert_snapshot!(transcript(&served, &[&["info"], &["overview"]]).await);
}

#[tokio::test]
async fn the_instance_is_drained_and_asked_what_it_can() {
    let served = setup().await;
    let text = transcript(
        &served,
        &[
            &["system", "capabilities"],
            &["system", "drain", "--reason", "new machine", "--dry-run"],
            &["system", "drain", "--reason", "new machine"],
            &["system", "drain", "--reason", "new machine", "--yes"],
            &["info"],
            &["overview"],
            &["system", "undrain"],
            &["system", "shutdown", "--reason", "new machine"],
        ],
    )
    .await;
    insta::assert_snapshot!(text);
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
            &["task", "list", "--filter", "state=dead", "-o", "yaml"],
            &["worker", "get", "settle", "-o", "yaml"],
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
        &["dead-letter", "list"],
        &["dead-letter", "groups"],
        &["queue", "get", "mail"],
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
        &["task", "enqueue", "fetch", "--payload", "{}", "--unique-within", "live"],
        &["task", "enqueue", "fetch", "--payload", "{}", "--key", "k", "--on-conflict", "debounce"],
        &["task", "enqueue", "fetch", "--payload", "{}", "--key", "k", "--unique-within", "soon"],
        &["dead-letter", "replay"],
        &["dead-letter", "replay", "--all", "--filter", "queue=mail"],
        &["dead-letter", "discard", "--all"],
        &["dead-letter", "replay", "--all", "--rate", "0"],
        &["worker", "run", "fetch"],
        &["tree", "-o", "xml"],
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
    assert!(silent.stderr.contains("hint: runtimectl errors RT0033"), "{}", silent.stderr);

    let refusal = CommandError::new(ErrorCode::ShuttingDown, "the runtime is stopping");
    served.control.change(|world| world.mood = Mood::Refusing(refusal));
    let stopping = run(&served, &["info"]).await;
    assert_eq!(stopping.exit, Exit::CannotConnect);
    assert_eq!(
        stopping.stderr,
        "error: the runtime is stopping (RT0028 shutting_down)\nhint: runtimectl errors RT0028\n"
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

#[tokio::test]
async fn a_code_is_explained_by_the_program_itself() {
    let listed = run_in(&[], false, &["errors"]).await;
    assert_eq!(listed.exit, Exit::Ok);
    assert_eq!(listed.stdout.lines().count(), 1 + ErrorCode::ALL.len());
    assert!(listed.stdout.lines().all(|line| line.chars().count() <= 80), "{}", listed.stdout);
    let by_code = run_in(&[], false, &["errors", "rt0028"]).await;
    let by_name = run_in(&[], false, &["errors", "shutting_down"]).await;
    assert!(by_code.stdout.starts_with("# RT0028 `shutting_down`"), "{}", by_code.stdout);
    assert_eq!(by_code.stdout, by_name.stdout);
    let json = run_in(&[], false, &["errors", "RT0028", "-o", "json"]).await.stdout;
    assert!(json.contains(r#""class": "retryable""#), "{json}");
    assert_eq!(run_in(&[], false, &["errors", "28"]).await.stdout, by_code.stdout);
    let unknown = run_in(&[], false, &["errors", "RT9999"]).await;
    assert_eq!((unknown.exit, unknown.stdout.as_str()), (Exit::NotFound, ""));
    assert_eq!(unknown.stderr, "error: no error code RT9999\nhint: runtimectl errors shows what there is\n");
}

#[tokio::test]
async fn that_a_list_is_empty_is_said_beside_it() {
    let served = setup().await;
    served.control.change(|world| world.workers.clear());
    for (form, stdout) in [("table", ""), ("wide", ""), ("jsonl", ""), ("name", "")] {
        let none = run(&served, &["worker", "list", "-o", form]).await;
        let said = if ["table", "wide"].contains(&form) { "no workers\n" } else { "" };
        assert_eq!(
            (none.exit, none.stdout.as_str(), none.stderr.as_str()),
            (Exit::Ok, stdout, said),
            "{form}"
        );
    }
    for form in ["json", "yaml"] {
        let none = run(&served, &["worker", "list", "-o", form]).await;
        assert!(none.stdout.contains("workers") && none.stderr.is_empty(), "{form}: {}", none.stdout);
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let served = setup().await;
    let [dead, ready] = [5, 4].map(|row| id(row).to_string());
    let settle = "shop/workers/settle";
    let state = async || {
        let look = async |args: &[&str]| run(&served, args).await.stdout;
        let lists =
            [&["node", "list"][..], &["task", "list"], &["queue", "get", "mail"], &["schedule", "list"]];
        let mut text = String::new();
        for list in lists {
            text.push_str(&look(list).await);
        }
        text
    };
    let unchanged = state().await;
    for args in [
        &["node", "stop", settle, "--reason", "x"][..],
        &["node", "resize", settle, "9"],
        &["queue", "pause", "mail"],
        &["queue", "pause", "mail", "--scope", "store=42"],
        &["task", "retry", &dead],
        &["task", "cancel", &ready, "--reason", "x"],
        &["task", "delete", &ready, "--reason", "x"],
        &["dead-letter", "discard", "--all", "--reason", "x"],
        &["queue", "purge", "mail", "--reason", "x"],
        &["system", "drain", "--reason", "x"],
        &["schedule", "delete", "often", "--reason", "x"],
    ] {
        let dry = run(&served, &[args, &["--dry-run"]].concat()).await;
        assert_eq!(dry.exit, Exit::Ok, "{args:?}: {}", dry.stderr);
        assert!(dry.stderr.starts_with("would "), "{args:?}: {}", dry.stderr);
        assert_eq!(state().await, unchanged, "{args:?}");
    }
    served.control.change(|world| assert!(world.acts.is_empty() && world.overview.drain.is_none()));
    let blind = run(&served, &["task", "enqueue", "fetch", "--payload", "{}", "--dry-run"]).await;
    assert_eq!(blind.exit, Exit::Usage);
    assert!(blind.stderr.contains("cannot be looked at before: nothing was changed"), "{}", blind.stderr);
    served.control.change(|world| assert!(world.enqueued.is_empty()));
    // The control: without the flag it is done.
    assert_eq!(run(&served, &["task", "retry", &dead]).await.exit, Exit::Ok);
    assert_ne!(state().await, unchanged);
}

#[tokio::test]
async fn a_schedule_is_updated_once_under_its_id_and_as_it_was_read() {
    let served = setup().await;
    let update =
        ["schedule", "update", "often", "--priority", "2", "--reason", "a test", "--request-id", "mine"];
    assert_eq!(run(&served, &update).await.exit, Exit::Ok);
    let log = run(&served, &["audit", "list", "-o", "json"]).await.stdout;
    assert!(log.contains(r#""reason": "a test""#) && log.contains(r#""request_id": "mine""#), "{log}");
    let stale = run(&served, &["schedule", "update", "often", "--priority", "3", "--etag", "0-0"]).await;
    assert_eq!(stale.exit, Exit::Conflict, "{}", stale.stderr);
}

#[tokio::test]
async fn what_cannot_be_meant_is_said_in_words() {
    let served = setup().await;
    for (args, said) in [
        (&["task", "list", "--limit", "0"][..], "expected a whole number from 1"),
        (&["node", "resize", "shop/workers/fetch", "many"], "expected a whole number from 1"),
        (&["task", "reschedule", &id(4).to_string(), "--at", "2030-01-31"], "such as 2030-01-31T08:00:00Z"),
        (&["--endpoint", "ftp://here", "info"], "is not an endpoint"),
        (&["queue", "purge", "mail", "--reason", "x", "--confirm", "orders"], "--confirm orders is not mail"),
        (&["queue", "list", "--watch", "-o", "yaml"], "-o jsonl"),
        (&["queue", "pause", "mail", "--reason", &"x".repeat(2_000)], "at most 1024 bytes"),
    ] {
        let run = run(&served, args).await;
        assert_eq!((run.exit, run.stdout.as_str()), (Exit::Usage, ""), "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(said) && !run.stderr.contains("says why"), "{args:?}: {}", run.stderr);
    }
}

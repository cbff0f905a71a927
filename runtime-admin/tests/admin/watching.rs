//! `--watch`, and the cursors of lists that it begins at: what happens between a look and its watch is told.

use std::io::{BufRead, BufReader};
use std::process::{self, Child, Stdio};

use runtime_admin::cli::{ENDPOINT_VARIABLE, Exit};
use runtime_core::control::Command;
use runtime_core::journal::EventJournal;

use crate::cli::{run_in, runtimectl};
use crate::control::worker;
use crate::world::{Served, setup};

/// A watch without a terminal, until it is dropped.
struct Watching(Child);

impl Watching {
    fn begin(mut command: process::Command) -> (Self, impl Iterator<Item = String> + Send) {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let stdout = child.stdout.take().expect("piped");
        (Self(child), BufReader::new(stdout).lines().map(|line| line.expect("a line")))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.kill().expect("it goes on until it is ended");
        self.0.wait().expect("an end");
    }
}

/// Whether somebody looks at queues or workers.
fn is_look(command: &Command) -> bool {
    matches!(command, Command::ListQueues { .. } | Command::ListWorkers { .. } | Command::Queues(_))
}

/// The first lines of a watch.
async fn first_lines(served: &Served, args: &'static [&'static str], count: usize) -> Vec<String> {
    let command = runtimectl(served, args);
    let reading = tokio::task::spawn_blocking(move || {
        let (_watching, lines) = Watching::begin(command);
        lines.take(count).collect::<Vec<String>>()
    });
    reading.await.expect("lines")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_between_a_look_and_its_watch_is_told() {
    for args in [&["queue", "list", "--watch"][..], &["queue", "get", "mail", "--watch"]] {
        let served = setup().await;
        // Each look is followed by one event, before the watch that comes after it.
        served.control.change(|world| world.events_after = Box::new(|command| u64::from(is_look(command))));
        let shown = if args[1] == "list" { 2 } else { 1 };
        let lines = first_lines(&served, args, shown + 1).await;
        assert!(lines[..shown].iter().all(|line| line.contains(r#""name":"queues/"#)), "{lines:#?}");
        let event = &lines[shown];
        assert!(event.contains("EVENT_TYPE_QUEUE_UPDATED") && event.contains(r#""after":"1""#), "{event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_was_overtaken_before_it_began_looks_again() {
    let served = setup().await;
    // After the first look more than is kept, after the second one.
    let mut events = [10_000, 1].into_iter();
    served.control.change(|world| {
        world.events_after =
            Box::new(move |command| if is_look(command) { events.next().unwrap_or(0) } else { 0 });
    });
    let lines = first_lines(&served, &["queue", "list", "--watch"], 5).await;
    assert!(lines[..4].iter().all(|line| line.contains(r#""name":"queues/"#)), "{lines:#?}");
    assert!(lines[4].contains("EVENT_TYPE_QUEUE_UPDATED"), "{}", lines[4]);
}

#[tokio::test]
async fn a_list_of_several_pages_has_the_cursor_of_its_first() {
    let served = setup().await;
    served.control.change(|world| {
        world.workers = (0..120).map(|n| worker(&format!("w{n:03}"), "mail")).collect();
        world.events_after = Box::new(|command| u64::from(is_look(command)));
    });
    let journal = served.control.journal_kept();
    for (form, cursor) in [("json", r#""event_cursor": ""#), ("yaml", r#"event_cursor: ""#)] {
        let before = journal.tip();
        let run =
            run_in(&[(ENDPOINT_VARIABLE, &served.endpoint())], false, &["worker", "list", "-o", form]).await;
        assert_eq!(run.exit, Exit::Ok, "{}", run.stderr);
        assert!(run.stdout.contains("workers/w119"), "all pages");
        assert_eq!(journal.tip().sequence, before.sequence + 3, "three pages");
        assert!(run.stdout.contains(&format!("{cursor}{before}")), "{before}: {}", run.stdout);
    }
    let before = journal.tip().to_string();
    assert_eq!(served.client.workers().await.expect("a list").event_cursor, before);
}

//! `--watch`: what is shown, again whenever an event says that it is another. Nothing is asked for while nothing happens.
//!
//! A look says as of which event it is, and the watch goes on from there: whatever happens between the two is told.

use std::time::Duration;

use runtime_core::error::ErrorCode;

use super::args::{
    DeadLetterVerb, Format, NodeVerb, Noun, OperationVerb, PrincipalVerb, QueueVerb, ScheduleVerb, TaskVerb,
    TokenVerb, WorkerVerb,
};
use super::exit::Exit;
use super::failure::Failure;
use super::json::{self, Wire};
use super::output::Output;
use crate::client::{AdminClient, EventAsk, Watched};
use crate::convert::{node_name, queue_name, schedule_name, task_name};

/// For how long a server that went away is looked for.
const PATIENCE: Duration = Duration::from_mins(1);

/// What happens within so much time is shown together.
const TOGETHER: Duration = Duration::from_millis(200);

/// Back to the top of the screen, which is emptied.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J\u{1b}[3J";

/// The events after which something is to be shown again, as a filter; nothing of what has no events.
pub(super) fn events_of(noun: &Noun) -> Option<String> {
    let named = |name: String| Some(format!("resource=\"{name}\""));
    let all = |prefix: &str| Some(format!("resource:{prefix}"));
    match noun {
        Noun::Tree { .. } | Noun::Node { verb: NodeVerb::List { .. } } => all("nodes/"),
        Noun::Node { verb: NodeVerb::Get(target) } => named(node_name(&target.path)),
        // How deep a queue is follows from its tasks.
        Noun::Queue { verb: QueueVerb::List } => Some("resource:queues/ OR resource:tasks/".to_owned()),
        Noun::Queue { verb: QueueVerb::Get { queue } | QueueVerb::Stats { queue } } => {
            Some(format!("queue=\"{}\"", queue_name(queue)))
        }
        Noun::Schedule { verb: ScheduleVerb::List } => all("schedules/"),
        Noun::Schedule { verb: ScheduleVerb::Get { schedule } } => named(schedule_name(schedule)),
        Noun::Task { verb: TaskVerb::List { .. } | TaskVerb::Count { .. } }
        | Noun::DeadLetter { verb: DeadLetterVerb::List { .. } | DeadLetterVerb::Groups { .. } } => {
            all("tasks/")
        }
        Noun::Task { verb: TaskVerb::Get(target) } => named(task_name(target.id)),
        Noun::Operation { verb: OperationVerb::List { .. } } => all("operations/"),
        Noun::Worker { verb: WorkerVerb::List | WorkerVerb::Get { .. } } => all("nodes/"),
        Noun::Principal { verb: PrincipalVerb::List } => all("principals/"),
        Noun::Token { verb: TokenVerb::List { .. } } => all("tokens/"),
        Noun::Overview { .. } => Some(String::new()),
        _ => None,
    }
}

/// Shows something, and again after its events: on a terminal in place of what was there, elsewhere the events line by line.
pub(super) async fn run(
    noun: Noun,
    filter: String,
    client: &AdminClient,
    output: &mut Output<'_>,
) -> Result<Exit, Failure> {
    // Who looks again wants to know that something happened to tasks; who reads on, to which.
    let count_tasks = output.terminal || matches!(noun, Noun::Queue { .. });
    let ask = EventAsk { filter, coalesce: true, count_tasks, patience: PATIENCE, ..EventAsk::default() };
    if !output.terminal {
        if matches!(output.format, Format::Yaml | Format::Name) {
            return Err(Failure::Unlined);
        }
        output.format = Format::Jsonl;
    }
    look(&noun, client, output).await?;
    let mut watch = match client.watch_events(EventAsk { cursor: output.as_of.clone(), ..ask.clone() }).await
    {
        // More has happened since than the server keeps: listened to first, and looked at again.
        Err(error) if error.code() == Some(ErrorCode::CursorExpired) => {
            let watch = client.watch_events(ask).await?;
            look(&noun, client, output).await?;
            watch
        }
        watch => watch?,
    };
    if !output.terminal {
        loop {
            match watch.next().await? {
                Watched::State(events) | Watched::Events(events) => {
                    for event in &events {
                        writeln!(output.stdout, "{}", json::line(&Wire(event)))?;
                    }
                    output.stdout.flush()?;
                }
                Watched::Missed(_) => look(&noun, client, output).await?,
                Watched::StateEnd | Watched::Bookmark => {}
            }
        }
    }
    loop {
        while !is_news(&watch.next().await?) {}
        let together = tokio::time::sleep(TOGETHER);
        tokio::pin!(together);
        loop {
            tokio::select! {
                () = &mut together => break,
                more = watch.next() => drop(more?),
            }
        }
        look(&noun, client, output).await?;
    }
}

/// Shows it as it is now: on a terminal in place of what was there.
async fn look(noun: &Noun, client: &AdminClient, output: &mut Output<'_>) -> Result<(), Failure> {
    if output.terminal {
        write!(output.stdout, "{CLEAR}")?;
    }
    super::ask(noun.clone(), client, output).await?;
    Ok(output.stdout.flush()?)
}

fn is_news(told: &Watched) -> bool {
    match told {
        Watched::State(events) | Watched::Events(events) => !events.is_empty(),
        Watched::Missed(_) => true,
        Watched::StateEnd | Watched::Bookmark => false,
    }
}

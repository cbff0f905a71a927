//! What a tree tells of itself: what was before and after, why, by whom, in which trace.

use runtime_core::control::{Asked, Command, NodeCommand, Origin, QueueCommand, ask_on_behalf};
use runtime_core::error::ErrorCode;
use runtime_core::event::NewEvent;
use runtime_core::handler::NotDone;
use runtime_core::journal::{
    Cause, Classes, Cursor, Entry, EventJournal, EventType, Place, Subject, TraceId,
};
use runtime_core::node::NodeState;
use runtime_core::store::TaskCommand;
use runtime_core::task::TaskState;

use super::kit::*;

const GREET: &str = "/engine/apps/shop/workers/greet";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Everything since, with where it belongs.
fn since(world: &World, cursor: Cursor) -> Vec<(Place, Entry)> {
    let all = Classes { tree: true, tasks: true };
    let page = world.platform().journal.read(cursor, all, usize::MAX).expect("all is there");
    let batches = page.batches().iter();
    batches
        .flat_map(|batch| {
            batch.after(page.after()).map(|(_, entry)| ((**batch.place()).clone(), entry.clone()))
        })
        .collect()
}

fn change(entry: &Entry, field: &str) -> Option<(String, String)> {
    let fields = entry.changes.fields();
    let found = fields.iter().find(|changed| changed.field == field)?;
    Some((found.before.to_string(), found.after.to_string()))
}

fn pair(before: &str, after: &str) -> Option<(String, String)> {
    Some((before.to_owned(), after.to_owned()))
}

fn alice() -> Origin {
    Origin::of(Asked {
        principal: Some("alice".parse().expect("a name")),
        method: "QueueService/PauseQueue".into(),
        reason: "stocktaking".into(),
        request_id: Some("a-1".parse().expect("an id")),
        trace: TraceId::parse(TRACE),
    })
}

#[tokio::test(start_paused = true)]
async fn what_follows_from_a_command_is_told_with_who_gave_it_and_what_follows_later_is_not() {
    let world = Worlds::new().worker(worker("greet", 1, from_fn(|_| async { done() }))).start().await;
    let start = world.platform().journal.tip();
    let queue: runtime_core::name::QueueName = "greet".parse().unwrap();
    let pause = |reply| {
        let (scope, paused, reason) = (None, true, "stocktaking".to_owned());
        Command::Queues(QueueCommand::Pause {
            queue,
            scope,
            paused,
            reason,
            terms: Default::default(),
            reply,
        })
    };
    ask_on_behalf(&*world.control, alice(), pause).await.unwrap();
    let told = since(&world, start);
    let node: Vec<&Entry> = told
        .iter()
        .map(|(_, entry)| entry)
        .filter(|entry| entry.subject == Subject::Node(path(GREET)))
        .collect();
    assert_eq!(change(node[0], "desired"), pair("running", "paused"));
    assert_eq!(change(node[1], "state"), pair("running", "paused"));
    let (place, paused) =
        told.iter().find(|(_, entry)| entry.kind == EventType::QueuePaused).expect("the queue is paused");
    assert_eq!(change(paused, "paused"), pair("no", "yes"));
    assert_eq!(place.app.as_ref().map(|app| app.as_str()), Some("shop"));
    for entry in node.into_iter().chain([paused]) {
        assert_eq!((&entry.cause, &entry.origin), (&Cause::Command("pause"), &alice()), "{entry:?}");
        assert_eq!(entry.trace.map(|trace| trace.to_string()).as_deref(), Some(TRACE));
    }

    // The command is over: what the node does from here on it does by itself.
    let later = world.platform().journal.tip();
    world.steer(GREET, NodeCommand::Resume).await.unwrap();
    let told = since(&world, later);
    assert!(
        !told.is_empty() && told.iter().all(|(_, entry)| entry.origin == Origin::platform()),
        "{told:#?}"
    );
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_breaks_is_told_with_its_fault() {
    let world = Worlds::new().worker(worker("greet", 1, from_fn(|_| async { done() }))).start().await;
    let start = world.platform().journal.tip();
    assert!(world.entry(GREET).kill());
    world.until(GREET, |view| view.restarts == 1 && view.state == NodeState::Running).await;
    let told = since(&world, start);
    let (place, restarted) =
        told.iter().find(|(_, entry)| entry.kind == EventType::NodeRestarted).expect("it is restarted");
    assert_eq!(change(restarted, "restarts"), pair("0", "1"));
    let Cause::Fault(fault) = &restarted.cause else { panic!("{restarted:?}") };
    assert!(fault.contains("killed"), "{fault}");
    assert_eq!(place.worker.as_ref().map(|worker| worker.as_str()), Some("greet"));
    let states: Vec<_> = told.iter().filter_map(|(_, entry)| change(entry, "state")).collect();
    assert_eq!(states.last().map(|(_, after)| after.as_str()), Some("running"), "{states:?}");
    assert!(states.iter().any(|(_, after)| after == "backing_off"), "{states:?}");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_is_told_from_its_acceptance_to_its_end_without_what_it_carries() {
    const CANARY: &str = "canary-7f3a";
    let handler = from_fn(|ctx: runtime_core::handler::Context| async move {
        if ctx.task().attempt == 1 {
            return Err(NotDone::Retry {
                error: runtime_core::error::TaskError::retryable(CANARY),
                after: None,
            });
        }
        ctx.emit(NewEvent { kind: "greeted".into(), body: format!("\"{CANARY}\"").into_bytes() });
        Ok(format!("\"{CANARY}\"").into_bytes())
    });
    let world = Worlds::new().worker(worker("greet", 1, handler)).start().await;
    let start = world.platform().journal.tip();
    let payload = format!("\"{CANARY}\"");
    let id = world
        .enqueue_with("greet", 1, |task| runtime_core::task::NewTask {
            payload: payload.clone().into(),
            ..task
        })
        .await[0];
    world.until_task(id, TaskState::Done).await;
    world.idle().await;
    let refused = world.decide(id, TaskCommand::Cancel).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::FailedPrecondition);
    world.decide(id, TaskCommand::Delete { reason: "a test".into() }).await.unwrap();

    let told = since(&world, start);
    let of_task: Vec<_> = told.iter().filter(|(_, entry)| entry.subject == Subject::Task(id)).collect();
    let kinds: Vec<_> = of_task.iter().map(|(_, entry)| entry.kind).collect();
    use EventType::{FactStated, TaskAccepted, TaskChanged, TaskSettled};
    assert_eq!(kinds, [TaskAccepted, TaskSettled, TaskSettled, FactStated, TaskChanged]);
    assert_eq!(change(&of_task[0].1, "state"), pair("", "ready"));
    assert_eq!(change(&of_task[1].1, "state"), pair("leased", "scheduled"));
    assert_eq!(of_task[1].1.cause, Cause::Outcome("retry", Some(ErrorCode::HandlerFailed)));
    assert_eq!(change(&of_task[2].1, "state"), pair("leased", "done"));
    assert_eq!(change(&of_task[2].1, "attempt"), pair("", "2"));
    assert_eq!(change(&of_task[3].1, "kind"), pair("", "greeted"));
    assert_eq!(change(&of_task[4].1, "state"), pair("done", ""));
    for (place, entry) in of_task {
        assert_eq!(place.queue.as_ref().map(|queue| queue.as_str()), Some("greet"), "{entry:?}");
    }
    let everything = format!("{told:?}");
    assert!(!everything.contains(CANARY), "what a task carries got out");
    assert!(everything.contains("greeted"), "what is told would be found");
    world.stop().await;
}

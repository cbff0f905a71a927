//! What happens in a real tree, heard through the client library.

use runtime_admin::{EventAsk, EventWatch, Watched};
use runtime_core::control::NodeCommand;
use runtime_proto::v1::{self, EventCause, EventType};
use runtime_tests::ground::Job;

use crate::world::{World, path};

fn change<'a>(event: &'a v1::Event, field: &str) -> Option<(&'a str, &'a str)> {
    let found = event.changes.iter().find(|change| change.field == field)?;
    Some((&found.before, &found.after))
}

async fn until(watch: &mut EventWatch, fits: impl Fn(&v1::Event) -> bool) -> v1::Event {
    loop {
        if let Watched::Events(events) = watch.next().await.expect("the watch goes on")
            && let Some(found) = events.into_iter().find(&fits)
        {
            return found;
        }
    }
}

fn ask(filter: &str) -> EventAsk {
    EventAsk { filter: filter.into(), ..EventAsk::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_does_and_what_a_task_does_is_told() {
    let world = World::start().await;
    let client = &world.client;
    let mut nodes =
        client.watch_events(ask("resource:nodes/engine/apps/ground/workers/job")).await.expect("a watch");
    let mut tasks = client.watch_events(ask("queue=job AND type:task_")).await.expect("a watch");

    client.steer_node(&path("/engine/apps/ground/workers/job"), NodeCommand::Pause).await.expect("paused");
    let paused = until(&mut nodes, |event| change(event, "state").is_some()).await;
    assert_eq!(change(&paused, "state"), Some(("running", "paused")));
    assert_eq!((paused.r#type(), paused.cause()), (EventType::NodeChanged, EventCause::Command));
    assert_eq!(paused.cause_detail, "TreeService/PauseNode");
    assert_eq!((paused.principal.as_str(), paused.app.as_str()), ("principals/local", "apps/ground"));
    client.steer_node(&path("/engine/apps/ground/workers/job"), NodeCommand::Resume).await.expect("resumed");

    let id = world.enqueue(&Job::plain(1)).await;
    let settled = until(&mut tasks, |event| event.r#type() == EventType::TaskSettled).await;
    assert_eq!(settled.resource, format!("tasks/{id}"));
    assert_eq!(change(&settled, "state"), Some(("leased", "done")));
    assert_eq!((settled.cause(), settled.cause_detail.as_str()), (EventCause::Outcome, "done"));
    assert_eq!((settled.queue.as_str(), settled.worker.as_str()), ("queues/job", "workers/job"));
    drop((nodes, tasks));
    world.stop().await;
}

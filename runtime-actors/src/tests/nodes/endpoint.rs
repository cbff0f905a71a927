//! Endpoints: on a thread of their own, paused without going deaf, restarted when they fail. In real time: a paused clock would run
//! ahead of the endpoint's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use runtime_core::control::NodeCommand;
use runtime_core::name::SourceName;
use runtime_core::node::{DesiredState, NodeKind, NodeState};
use tokio::sync::mpsc;

use crate::server::{EndpointPlan, Serve, Serving};
use crate::tests::kit::{Worlds, path};

const AT: &str = "/engine/apps/shop/sources/http";

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Serving { thread: String },
    Open(bool),
    Stopped,
}

/// Tells of everything that happens to it; the first `failures` times it cannot bind.
fn endpoint(seen: mpsc::UnboundedSender<Seen>, failures: usize) -> EndpointPlan {
    let tries = Arc::new(AtomicUsize::new(0));
    EndpointPlan {
        name: SourceName::new("http").unwrap(),
        build: Arc::new(move |_store| -> Serve {
            let (seen, tries) = (seen.clone(), tries.clone());
            Arc::new(move |serving| {
                let fails = tries.fetch_add(1, Ordering::SeqCst) < failures;
                Box::pin(serve(serving, seen.clone(), fails))
            })
        }),
    }
}

async fn serve(mut serving: Serving, seen: mpsc::UnboundedSender<Seen>, fails: bool) -> Result<(), String> {
    if fails {
        return Err("the address is taken".into());
    }
    let thread = std::thread::current().name().unwrap_or_default().to_owned();
    seen.send(Seen::Serving { thread }).unwrap();
    serving.listening();
    loop {
        tokio::select! {
            () = serving.stop.cancelled() => break,
            changed = serving.open.changed() => {
                changed.map_err(|error| error.to_string())?;
                seen.send(Seen::Open(*serving.open.borrow_and_update())).unwrap();
            }
        }
    }
    seen.send(Seen::Stopped).unwrap();
    Ok(())
}

#[tokio::test]
async fn an_endpoint_has_its_own_thread_hears_of_a_pause_and_ends_in_order() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let mut worlds = Worlds::new();
    worlds.app.endpoints.push(endpoint(seen, 0));
    let world = worlds.start().await;
    assert_eq!(world.entry(AT).kind(), NodeKind::Endpoint);
    assert_eq!(sees.recv().await, Some(Seen::Serving { thread: "endpoint".into() }));

    assert_eq!(world.steer(AT, NodeCommand::Pause).await.unwrap().state, NodeState::Paused);
    assert_eq!(sees.recv().await, Some(Seen::Open(false)));
    assert_eq!(world.steer(AT, NodeCommand::Resume).await.unwrap().state, NodeState::Running);
    assert_eq!(sees.recv().await, Some(Seen::Open(true)));
    assert_eq!(world.steer(AT, NodeCommand::Stop).await.unwrap().state, NodeState::Stopped);
    assert_eq!(sees.recv().await, Some(Seen::Stopped));
    assert_eq!(world.steer(AT, NodeCommand::Start).await.unwrap().state, NodeState::Running);
    assert_eq!(sees.recv().await, Some(Seen::Serving { thread: "endpoint".into() }));
    world.stop().await;
    assert_eq!(sees.recv().await, Some(Seen::Stopped));
}

#[tokio::test]
async fn an_endpoint_that_shall_be_paused_is_so_from_its_start() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let mut worlds = Worlds::new();
    worlds.app.endpoints.push(endpoint(seen, 0));
    worlds.store.inner().set_desired(vec![path(AT)], DesiredState::Paused).await.unwrap();
    let world = worlds.start().await;
    world.until_state(AT, NodeState::Paused).await;
    assert!(matches!(sees.recv().await, Some(Seen::Serving { .. })), "it listens, to say that it is paused");
    world.steer(AT, NodeCommand::Resume).await.unwrap();
    assert_eq!(sees.recv().await, Some(Seen::Open(true)));
    world.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_cannot_listen_is_tried_again_and_nothing_else_falls() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let mut worlds = Worlds::new();
    worlds.app.endpoints.push(endpoint(seen, 2));
    let world = worlds.start().await;
    let node = world.until_state(AT, NodeState::Running).await;
    assert_eq!(node.restarts, 2);
    assert!(node.last_fault.is_some_and(|fault| fault.contains("the address is taken")));
    assert_eq!(world.entry("/engine").view().restarts, 0);
    assert!(matches!(sees.recv().await, Some(Seen::Serving { .. })));
    world.stop().await;
}

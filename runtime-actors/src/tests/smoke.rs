//! The thinnest whole path.

use runtime_core::node::NodeState;
use runtime_core::task::TaskState;

use super::kit::{Worlds, done, from_fn, worker};
use crate::runtime::StopReport;

#[tokio::test(start_paused = true)]
async fn a_task_runs_and_the_tree_stops_clean() {
    let world = Worlds::new().worker(worker("greet", 2, from_fn(async |_| done()))).start().await;
    let ids = world.enqueue("greet", 10).await;
    world.idle().await;
    for id in ids {
        let task = world.task(id).await;
        assert_eq!((task.state, task.attempt), (TaskState::Done, 1));
    }
    let view = world.entry("/engine/apps/shop/workers/greet").view();
    assert_eq!(
        (view.state, view.handled, view.errors, view.slots),
        (NodeState::Running, 10, 0, Some((0, 2)))
    );
    assert_eq!(world.stop().await, StopReport::Clean);
}

//! Work that is unsafe to run again: every task of every worker is run twice, and the state is the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use runtime::ConfigArgs;
use runtime::config::RuntimeConfig;
use runtime::prelude::*;
use runtime_core::store::{Store, TaskFilter};
use runtime_core::task::TaskState;
use runtime_tests::ground::{self, Ground, GroundRow, Job};
use storefront::config::StorefrontConfig;
use storefront::module::{APP, Storefront};

use crate::world::{WORKERS, World, until_idle};

#[tokio::test(flavor = "multi_thread")]
async fn every_task_of_every_worker_run_twice_changes_nothing() {
    let world = World::in_a_hurry().await;
    let asks = world.asks();
    let mut process = world.start(None);
    world.insist(&mut process, &asks).await;
    until_idle(&process.client().await).await;
    assert_eq!(process.stop().await, 0, "{}", world.shop.log());
    assert_eq!(world.counted_once().await, Ok(()));
    let before = world.state().await;

    let app = App::<StorefrontConfig>::configured(APP).module(Storefront);
    let args = ConfigArgs { config: Some(world.shop.path("shop.toml")), ..ConfigArgs::default() };
    let again = run_again(&app.open_store(&config(&app, &args)).await.expect("the store opens")).await;
    println!("run again: {again:?}");
    assert_eq!(again.len(), WORKERS.len(), "each worker had something to do");

    let mut process = world.start(None);
    let client = process.client().await;
    until_idle(&client).await;
    for state in ["dead", "parked"] {
        let unwell = client.tasks(&format!("state = {state}"), 10).await.expect("listed");
        assert_eq!(unwell.len(), 0, "{unwell:?}");
    }
    assert_eq!(process.stop().await, 0, "{}", world.shop.log());
    let after = world.state().await;
    for (what, before) in &before {
        assert_eq!(&after[what], before, "{what}");
    }
    assert_eq!(world.counted_once().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_only_adds_is_found_out_when_it_runs_twice() {
    let ground = Ground::new(env!("CARGO_BIN_EXE_proving_ground"));
    ground.folder().put_into_inbox("1.json", &Job { n: 1, ..Job::default() }).expect("a file");
    let work_off = async || {
        let mut process = ground.start();
        let client = process.client().await;
        runtime_tests::eventually_async("a job is done", async || {
            (!client.tasks("queue = job AND state = done", 10).await.ok()?.is_empty()).then_some(())
        })
        .await;
        until_idle(&client).await;
        assert_eq!(process.stop().await, 0, "{}", ground.log());
        GroundRow::all(&ground.store_file()).await
    };
    let before = work_off().await;
    let set = ground.settings().into_iter().filter(|word| word != "--set").collect();
    let (app, args) = (ground::app(), ConfigArgs { set, ..ConfigArgs::default() });
    let store = app.open_store(&config(&app, &args)).await.expect("the store opens");
    assert_eq!(run_again(&store).await.values().sum::<usize>(), 1);
    assert_ne!(work_off().await, before);
}

fn config<A: runtime::AppConfig>(app: &App<A>, args: &ConfigArgs) -> RuntimeConfig<A> {
    app.load(args).expect("a configuration").value
}

/// Every task that was done once more, as a task of its own; how many of each queue.
async fn run_again(store: &Arc<dyn Store>) -> BTreeMap<String, usize> {
    let filter = TaskFilter { states: vec![TaskState::Done], ..TaskFilter::default() };
    let page = store.list(filter, None, 10_000).await.expect("listed");
    assert_eq!(page.next, None, "all of them");
    let mut again = BTreeMap::new();
    let mut tasks = Vec::new();
    for task in page.tasks {
        *again.entry(task.route.queue.to_string()).or_default() += 1;
        tasks.push(NewTask {
            schema_version: task.schema_version,
            scope: task.scope,
            ordering_key: task.ordering_key,
            idempotency_key: Some(IdempotencyKey::new(format!("again {}", task.id)).expect("a key")),
            ..NewTask::new(task.route, task.payload)
        });
    }
    for answer in store.enqueue(tasks).await.expect("enqueued") {
        answer.expect("taken");
    }
    store.close().await.expect("closed");
    again
}

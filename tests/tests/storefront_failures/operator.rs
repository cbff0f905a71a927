//! An operator runs one worker for one scope while the rest is paused: on the running instance, and when none runs.

use runtime_admin::AdminClient;
use runtime_core::control::NodeCommand;
use runtime_core::name::QueueName;
use runtime_tests::eventually_within;

use crate::world::{LONG, WORKERS, World};

#[tokio::test(flavor = "multi_thread")]
async fn one_worker_runs_for_one_scope_while_the_rest_is_paused() {
    let world = World::in_a_hurry().await;
    let mut process = world.start(None);
    let client = process.client().await;
    for worker in WORKERS {
        let path = format!("/engine/apps/storefront/workers/{worker}").parse().expect("a path");
        client.steer_node(&path, NodeCommand::Pause).await.expect("paused");
    }
    world.insist(&mut process, &world.asks()).await;
    eventually_within(LONG, "every settlement is due", async || {
        let (waits, is_due) = settlements(&client).await;
        (waits == 0 && is_due > 0).then_some(())
    })
    .await;
    let stores: Vec<i64> = numbers(&world, "SELECT DISTINCT store FROM sales ORDER BY 1").await;
    let [one, other, ..] = stores[..] else { panic!("two stores sell: {stores:?}") };
    // Control: what is paused stands still, so whatever is settled below is the operator's doing.
    assert_eq!(settled(&world).await, Vec::<i64>::new());

    run(&world, one).await;
    assert_eq!(settled(&world).await, [one]);
    assert_eq!(process.stop().await, 0, "{}", world.shop.log());
    run(&world, other).await;
    assert_eq!(settled(&world).await, [one, other]);
    for untouched in ["rollup", "recommendation", "membership", "promotions"] {
        let rows = world.shop.number(&format!("SELECT COUNT(*) FROM {untouched}")).await;
        assert_eq!(rows, Some(0), "{untouched} is paused");
    }
    assert_eq!(world.shop.letters().len(), 0);
}

async fn run(world: &World, store: i64) {
    let scope = format!("store={store}");
    let mut command = world.shop.command(&["worker", "run", "settle", "--scope", &scope]);
    let output = tokio::task::spawn_blocking(move || command.status()).await.expect("a thread");
    assert!(output.expect("it runs").success(), "{scope}: {}", world.shop.log());
}

async fn settled(world: &World) -> Vec<i64> {
    numbers(world, "SELECT DISTINCT store FROM settlement ORDER BY 1").await
}

async fn numbers(world: &World, sql: &str) -> Vec<i64> {
    let rows = world.shop.query(sql, Vec::new()).await;
    rows.iter().map(|row| row.integer(0).expect("a number")).collect()
}

/// Tasks that wait for their time, and those whose time has come.
async fn settlements(client: &AdminClient) -> (u64, u64) {
    let stats = client.queue_stats(&QueueName::new("settle").expect("a name")).await;
    let counts = stats.ok().and_then(|stats| stats.counts).unwrap_or_default();
    (counts.scheduled, counts.ready)
}

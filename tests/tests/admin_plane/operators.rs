//! Eight operators change the same nodes, queue and tasks at once, each from what it read: who comes too late hears it, nothing that was
//! acknowledged is lost, and the audit log has each change that was acknowledged, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use runtime_admin::{AdminClient, ClientError};
use runtime_core::control::NodeCommand;
use runtime_core::error::ErrorCode;
use runtime_core::name::{QueueName, Scope};
use runtime_core::task::TaskId;
use runtime_tests::ground::Job;
use tokio::task::JoinSet;

use crate::world::{World, enqueue, path};

const OPERATORS: u64 = 8;
const MUTATIONS: u64 = 5_000;
const NODES: [&str; 2] = ["/engine/apps/ground/workers/job", "/engine/apps/ground/workers/follow"];
const TASKS: u64 = 4;
/// Changes that made the world what it is: a pause, and the tasks.
const BEFORE: u64 = 1 + TASKS;

/// Something that all of them change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Node(usize),
    Queue,
    Task(usize),
}

const THINGS: [Thing; 7] = [
    Thing::Node(0),
    Thing::Node(1),
    Thing::Queue,
    Thing::Task(0),
    Thing::Task(1),
    Thing::Task(2),
    Thing::Task(3),
];

/// A change that was acknowledged: what it went out from, what came of it, and what it said.
#[derive(Debug, Clone)]
struct Change {
    from: String,
    to: String,
    said: u64,
}

/// What was changed, and how often somebody came too late.
#[derive(Debug, Default)]
struct Told {
    changes: BTreeMap<Thing, Vec<Change>>,
    conflicts: u64,
}

/// What all operators know of the world.
#[derive(Clone)]
struct Desk {
    tasks: Arc<Vec<TaskId>>,
    queue: QueueName,
    far: Timestamp,
    /// Numbers that nobody has said before.
    next: Arc<AtomicU64>,
}

impl Desk {
    async fn etag(&self, client: &AdminClient, thing: Thing) -> String {
        match thing {
            Thing::Node(node) => client.node(&path(NODES[node])).await.expect("the node").what.etag,
            Thing::Queue => client.queue(&self.queue).await.expect("the queue").what.etag,
            Thing::Task(task) => {
                client.task(self.tasks[task]).await.expect("the task").task.expect("a task").etag
            }
        }
    }

    fn scope(number: u64) -> Scope {
        format!("store={number}").parse().expect("a scope")
    }

    /// Says something that nobody has said before, and returns what the thing is then.
    async fn say(&self, client: &AdminClient, thing: Thing, number: u64) -> Result<String, ClientError> {
        match thing {
            Thing::Node(node) => {
                let slots = NonZeroUsize::new(usize::try_from(number).expect("a number")).expect("slots");
                Ok(client.steer_node(&path(NODES[node]), NodeCommand::Resize { slots }).await?.etag)
            }
            // A scope that is paused comes and goes: its number says which.
            Thing::Queue => Ok(client
                .pause_queue(&self.queue, Some(&Self::scope(number % 50)), &number.to_string())
                .await?
                .etag),
            Thing::Task(task) => {
                let at = self.far + Duration::from_secs(number);
                Ok(client.reschedule_task(self.tasks[task], at).await?.etag)
            }
        }
    }
}

/// One of them: reads, changes what it read, and reads again when somebody was faster, until so many changes are acknowledged.
async fn operate(client: AdminClient, desk: Desk, operator: u64, mutations: u64) -> Told {
    let mut told = Told::default();
    for turn in 0..mutations {
        // Each goes its own way round, so that all meet at each thing now and then.
        let place = (operator + turn * (operator + 1)) % THINGS.len() as u64;
        let thing = THINGS[usize::try_from(place).expect("a place")];
        loop {
            let from = desk.etag(&client, thing).await;
            let said = desk.next.fetch_add(1, Ordering::Relaxed);
            match desk.say(&client.clone().with_etag(&from), thing, said).await {
                Ok(to) => {
                    told.changes.entry(thing).or_default().push(Change { from, to, said });
                    break;
                }
                Err(error) if error.code() == Some(ErrorCode::ChangedMeanwhile) => told.conflicts += 1,
                Err(error) => panic!("{thing:?}: {error}"),
            }
        }
    }
    told
}

/// What is wrong with what was acknowledged of one thing, that was `first` and is `last`: each change has to go out from what the one
/// before it came to, from the first to the last, and none from the same as another. Returns what was said, in this order.
fn judge(first: &str, changes: &[Change], last: &str) -> Result<Vec<u64>, String> {
    let mut by_base: BTreeMap<&str, &Change> = BTreeMap::new();
    for change in changes {
        if let Some(other) = by_base.insert(&change.from, change) {
            return Err(format!(
                "lost: {} and {} both went out from {}",
                other.said, change.said, change.from
            ));
        }
    }
    let (mut now, mut said) = (first, Vec::new());
    while let Some(change) = by_base.remove(now) {
        said.push(change.said);
        now = &change.to;
    }
    match by_base.first_key_value() {
        Some((_, change)) => Err(format!("{} went out from nothing that was ever there", change.said)),
        None if now != last => Err(format!("it is {last}, but the last change came to {now}")),
        None => Ok(said),
    }
}

async fn desk(world: &World) -> Desk {
    let far: Timestamp = "2100-01-01T00:00:00Z".parse().expect("a moment");
    // Nothing moves but what operators move.
    world.client.steer_node(&path(NODES[0]), NodeCommand::Pause).await.expect("paused");
    let mut tasks = Vec::new();
    for n in 0..TASKS {
        tasks.push(enqueue(&world.client, &Job { n, ..Job::default() }).await);
    }
    let queue = "job".parse().expect("a name");
    Desk { tasks: Arc::new(tasks), queue, far, next: Arc::new(AtomicU64::new(1)) }
}

async fn work(world: &World, desk: &Desk, mutations: u64) -> Told {
    let mut operators = JoinSet::new();
    for operator in 0..OPERATORS {
        let client = AdminClient::connect(&world.endpoint()).await.expect("a connection").with_reason("busy");
        operators.spawn(operate(client, desk.clone(), operator, mutations / OPERATORS));
    }
    let mut all = Told::default();
    for told in operators.join_all().await {
        all.conflicts += told.conflicts;
        for (thing, changes) in told.changes {
            all.changes.entry(thing).or_default().extend(changes);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_operators_lose_no_update_and_the_audit_log_has_each() {
    let world = World::start().await;
    let client = &world.client;
    let desk = desk(&world).await;
    let mut first = BTreeMap::new();
    for thing in THINGS {
        first.insert(thing, desk.etag(client, thing).await);
    }
    let began = Instant::now();
    let told = work(&world, &desk, MUTATIONS).await;
    let took = began.elapsed();

    let acknowledged: usize = told.changes.values().map(Vec::len).sum();
    assert_eq!(acknowledged as u64, MUTATIONS);
    assert!(told.conflicts > 0, "they never met");
    for (thing, changes) in &told.changes {
        let last = desk.etag(client, *thing).await;
        let said = judge(&first[thing], changes, &last).unwrap_or_else(|lost| panic!("{thing:?}: {lost}"));
        let newest = *said.last().expect("it was changed");
        match thing {
            Thing::Node(node) => {
                let slots = client.node(&path(NODES[*node])).await.expect("the node").slots.expect("slots");
                assert_eq!(slots.total, newest, "{thing:?}");
            }
            Thing::Task(task) => {
                let task = client.task(desk.tasks[*task]).await.expect("the task").task.expect("a task");
                let at = desk.far + Duration::from_secs(newest);
                assert_eq!(task.run_at.expect("a time").seconds, at.as_second(), "{thing:?}");
            }
            Thing::Queue => {
                // Whoever pauses what is paused says why anew, or not: the scopes count.
                let expected: BTreeSet<String> =
                    said.iter().map(|said| Desk::scope(said % 50).to_string()).collect();
                let scopes = client.queue(&desk.queue).await.expect("the queue").what.paused_scopes;
                let scopes: BTreeSet<String> = scopes.into_iter().map(|paused| paused.scope).collect();
                assert_eq!(scopes, expected);
            }
        }
    }

    let most = usize::try_from(MUTATIONS + told.conflicts).expect("a number") + 100;
    let entries = client.audit("kind=mutation", most).await.expect("the audit log");
    let of = |outcome: &str| entries.iter().filter(|entry| entry.outcome == outcome).count() as u64;
    assert_eq!((of("OK"), of("ABORTED")), (MUTATIONS + BEFORE, told.conflicts), "and nothing else");
    assert_eq!(entries.len() as u64, MUTATIONS + BEFORE + told.conflicts);
    println!("{MUTATIONS} changes by {OPERATORS} operators in {took:?}, {} came too late", told.conflicts);
    world.stop().await;
}

/// A service that ignores etags takes both of two changes that go out from one state.
#[tokio::test(flavor = "multi_thread")]
async fn without_etags_an_update_is_lost_and_found_out() {
    let world = World::start().await;
    let (client, desk) = (&world.client, desk(&world).await);
    for thing in [Thing::Node(0), Thing::Queue, Thing::Task(0)] {
        let from = desk.etag(client, thing).await;
        let mut changes = Vec::new();
        for said in [7, 8] {
            let to = desk.say(client, thing, said).await.expect("nobody asked what it was");
            changes.push(Change { from: from.clone(), to, said });
        }
        let last = desk.etag(client, thing).await;
        let lost = judge(&from, &changes, &last).expect_err("one of them is lost");
        assert!(lost.starts_with("lost: 7 and 8"), "{lost}");
        assert!(judge(&changes[0].to, &[], &last).is_err(), "a change that nobody told of is found out");
    }
    world.stop().await;
}

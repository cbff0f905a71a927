//! Readers see what writers wrote.

use std::time::Duration;

use runtime_core::error::{ErrorClass, ErrorCode, TaskError};
use runtime_core::name::HandlerName;
use runtime_core::outcome::Outcome;
use runtime_core::store::{TaskCommand, TaskFilter};
use runtime_core::task::{NewTask, Priority, TaskId, TaskState, Unique};
use runtime_core::trace::TraceContext;

use super::world::{World, attempts, done, queue, route_to, task, task_to};

pub(super) async fn a_task_reads_back_as_it_was_asked_for(w: World) {
    let cause = w.put_new(task_to("other", 1)).await;
    let asked = NewTask {
        route: route_to("work"),
        payload: vec![0, 1, 2, 255],
        schema_version: 3,
        tenant: Some("tenant ü".parse().unwrap()),
        scope: Some("store=42".parse().unwrap()),
        priority: Priority(-7),
        weight: attempts(5),
        idempotency_key: Some("key 1".parse().unwrap()),
        unique: Unique::default(),
        ordering_key: None,
        run_at: Some(w.later(Duration::from_secs(5))),
        deadline: Some(w.later(Duration::from_secs(500))),
        max_attempts: attempts(9),
        asked_by_name: false,
        trace: Some(TraceContext { traceparent: "00-1-2-01".into(), tracestate: Some("a=b".into()) }),
        correlation_id: Some("chain".parse().unwrap()),
        causation_id: Some(cause),
    };
    let id = w.put_new(asked.clone()).await;
    let got = w.get(id).await;
    assert_eq!((got.id, got.state, got.created_at), (id, TaskState::Scheduled, w.now()));
    assert_eq!((got.run_at, got.deadline), (asked.run_at.unwrap(), asked.deadline));
    assert_eq!((got.attempt, got.max_attempts, got.crash_count, got.epoch.0), (0, 9, 0, 0));
    assert_eq!((&got.route, &got.payload, got.schema_version), (&asked.route, &asked.payload, 3));
    assert_eq!((&got.tenant, &got.scope, got.priority), (&asked.tenant, &asked.scope, asked.priority));
    assert_eq!(got.weight, asked.weight);
    assert_eq!((&got.idempotency_key, &got.trace), (&asked.idempotency_key, &asked.trace));
    assert_eq!((&got.correlation_id, got.causation_id), (&asked.correlation_id, Some(cause)));

    w.advance(Duration::from_secs(5));
    w.store.sweep().await.unwrap();
    let lease = w.lease_one().await.lease;
    w.settle(lease, Outcome::Done { output: b"[1]".to_vec() }).await;
    let finished = w.get(id).await;
    assert_eq!((finished.state, finished.output.as_deref()), (TaskState::Done, Some(b"[1]".as_slice())));
    assert_eq!(
        (&finished.payload, &finished.tenant, &finished.trace),
        (&asked.payload, &asked.tenant, &asked.trace)
    );
    assert_eq!((finished.run_at, finished.priority), (asked.run_at.unwrap(), asked.priority));
    assert_eq!(finished.weight, asked.weight);
}

pub(super) async fn lists_are_newest_first_and_paged(w: World) {
    let mut ids = Vec::new();
    for number in 0..25 {
        ids.push(w.put_new(task(number)).await);
        if number % 3 == 0 {
            let lease = w.lease_one().await.lease;
            w.settle(lease, done()).await;
        }
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = w.store.list(TaskFilter::default(), after, 10).await.unwrap();
        assert!(page.tasks.len() <= 10);
        seen.extend(page.tasks.iter().map(|task| task.id));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, ids, "live and finished, each once");
}

/// Pages are read while tasks come, end, run again and are forgotten: whatever fits all the while is on one of them, and nothing on two.
/// The control: pages that are counted off skip and repeat, and this finds out.
pub(super) async fn pages_hold_what_fits_all_the_while_once_whatever_changes(w: World) {
    let filters = [
        TaskFilter::default(),
        TaskFilter { states: vec![TaskState::Ready], ..TaskFilter::default() },
        TaskFilter { states: vec![TaskState::Dead, TaskState::Cancelled], ..TaskFilter::default() },
    ];
    let mut counted_off_is_caught = 0;
    for seed in 0..12 {
        let of = format!("queue-{seed}");
        let filter = &TaskFilter { queue: Some(queue(&of)), ..filters[seed % filters.len()].clone() };
        let chance = 0x9e37_79b9_7f4a_7c15 ^ seed as u64;
        let mut changes = Changes { w: &w, of, chance, known: Vec::new() };
        for _ in 0..60 {
            changes.one().await;
        }
        let mut always = changes.fitting(filter).await;
        let (mut seen, mut counted_off) = (Vec::new(), Vec::new());
        let mut after = None;
        loop {
            let page = w.store.list(filter.clone(), after, 7).await.unwrap();
            let skipped = w.store.list(filter.clone(), None, counted_off.len() + 7).await.unwrap().tasks;
            let skipped = skipped.into_iter().skip(counted_off.len()).map(|task| task.id);
            counted_off.extend(skipped.collect::<Vec<_>>());
            seen.extend(page.tasks.iter().map(|task| task.id));
            let Some(next) = page.next else { break };
            after = Some(next);
            for _ in 0..5 {
                changes.one().await;
                let now = changes.fitting(filter).await;
                always.retain(|id| now.contains(id));
            }
        }
        let wrong = |seen: &[TaskId]| {
            let missed = always.iter().find(|id| !seen.contains(id));
            let twice = seen.iter().enumerate().find(|(at, id)| seen[..*at].contains(id));
            missed.or(twice.map(|(_, id)| id)).copied()
        };
        assert_eq!(wrong(&seen), None, "seed {seed}: {seen:?}");
        counted_off_is_caught += u32::from(wrong(&counted_off).is_some());
    }
    assert!(counted_off_is_caught > 0, "the control: nothing changed that a page could miss");
}

/// What happens to tasks, by chance.
struct Changes<'w> {
    w: &'w World,
    /// The queue.
    of: String,
    chance: u64,
    known: Vec<TaskId>,
}

impl Changes<'_> {
    fn below(&mut self, most: usize) -> usize {
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.chance >> 33).unwrap_or(0) % most.max(1)
    }

    async fn one(&mut self) {
        let any = self.below(self.known.len().max(1));
        let any = self.known.get(any).copied();
        let command = match (self.below(10), any) {
            (0..5, _) | (_, None) => {
                let id = self.w.put_new(task_to(&self.of, 7)).await;
                return self.known.push(id);
            }
            (5, _) => return self.end(done()).await,
            (6, _) => return self.end(Outcome::Reject { error: TaskError::permanent("no") }).await,
            (7, Some(id)) => (id, TaskCommand::Cancel),
            (8, Some(id)) => (id, TaskCommand::Replay { at: None, payload: None }),
            (_, Some(id)) => (id, TaskCommand::Delete { reason: "no longer wanted".into() }),
        };
        // What its state does not allow changes nothing.
        drop(self.w.store.steer(vec![command]).await.unwrap());
    }

    async fn end(&self, outcome: Outcome) {
        let holder = self.w.setup.instance.clone();
        if let Some(leased) = self.w.lease_as(holder.as_str(), &self.of, 1).await.pop() {
            self.w.settle(leased.lease, outcome).await;
        }
    }

    async fn fitting(&self, filter: &TaskFilter) -> Vec<TaskId> {
        let found = self.w.store.get(self.known.clone()).await.unwrap().into_iter().flatten();
        found.filter(|task| filter.fits(task)).map(|task| task.id).collect()
    }
}

pub(super) async fn filters_fit_every_given_field(w: World) {
    let a = w.put_new(NewTask { tenant: Some("t1".parse().unwrap()), ..task(1) }).await;
    let b = w.put_new(NewTask { scope: Some("store=1".parse().unwrap()), ..task_to("other", 2) }).await;
    let mut other_handler = (*route_to("work")).clone();
    other_handler.handler = HandlerName::new("second").unwrap();
    let c = w.put_new(NewTask::new(other_handler.into(), b"3".to_vec())).await;
    let lease = w.lease_as("one", "other", 1).await.remove(0).lease;
    w.settle(lease, Outcome::Reject { error: TaskError::permanent("no") }).await;

    let found = async |filter: TaskFilter| -> Vec<TaskId> {
        w.store.list(filter, None, 10).await.unwrap().tasks.into_iter().map(|task| task.id).collect()
    };
    let any = TaskFilter::default;
    assert_eq!(found(any()).await, [c, b, a]);
    assert_eq!(found(TaskFilter { states: vec![TaskState::Ready], ..any() }).await, [c, a]);
    assert_eq!(
        found(TaskFilter { states: vec![TaskState::Dead, TaskState::Ready], ..any() }).await,
        [c, b, a]
    );
    assert_eq!(found(TaskFilter { queue: Some(queue("work")), ..any() }).await, [c, a]);
    assert_eq!(found(TaskFilter { queue: Some(queue("none")), ..any() }).await, []);
    assert_eq!(found(TaskFilter { handler: HandlerName::new("second").ok(), ..any() }).await, [c]);
    assert_eq!(found(TaskFilter { app: "shop".parse().ok(), ..any() }).await, [c, b, a]);
    assert_eq!(found(TaskFilter { app: "no".parse().ok(), ..any() }).await, []);
    assert_eq!(found(TaskFilter { tenant: "t1".parse().ok(), ..any() }).await, [a]);
    assert_eq!(found(TaskFilter { scope: "store=1".parse().ok(), ..any() }).await, [b]);
    assert_eq!(found(TaskFilter { code: Some(ErrorCode::HandlerRejected), ..any() }).await, [b]);
    let both = TaskFilter { code: Some(ErrorCode::HandlerRejected), tenant: "t1".parse().ok(), ..any() };
    assert_eq!(found(both).await, []);
}

pub(super) async fn filters_fit_classes_and_times(w: World) {
    let began = w.now();
    let a = w.put_new(task(1)).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, Outcome::Reject { error: TaskError::new(ErrorCode::InvalidInput, "no") }).await;
    w.advance(Duration::from_secs(60));
    let later = w.now();
    let b = w.put_new(task(2)).await;
    let lease = w.lease_one().await.lease;
    w.settle(lease, Outcome::Reject { error: TaskError::permanent("no") }).await;
    let c = w.put_new(task(3)).await;

    let found = async |filter: TaskFilter| -> Vec<TaskId> {
        w.store.list(filter, None, 10).await.unwrap().tasks.into_iter().map(|task| task.id).collect()
    };
    let any = TaskFilter::default;
    assert_eq!(found(TaskFilter { error_class: Some(ErrorClass::Permanent), ..any() }).await, [b]);
    assert_eq!(found(TaskFilter { error_class: Some(ErrorClass::InvalidRequest), ..any() }).await, [a]);
    assert_eq!(found(TaskFilter { error_class: Some(ErrorClass::NeedsHuman), ..any() }).await, []);
    assert_eq!(found(TaskFilter { created_since: Some(later), ..any() }).await, [c, b]);
    assert_eq!(found(TaskFilter { created_until: Some(later), ..any() }).await, [a]);
    assert_eq!(found(TaskFilter { finished_since: Some(began), ..any() }).await, [b, a]);
    assert_eq!(found(TaskFilter { finished_since: Some(later), ..any() }).await, [b]);
    assert_eq!(found(TaskFilter { finished_until: Some(later), ..any() }).await, [a]);
    let live = TaskFilter { states: vec![TaskState::Ready], finished_since: Some(began), ..any() };
    assert_eq!(found(live).await, [], "what is not finished has no end");
    let between = TaskFilter { finished_since: Some(began), finished_until: Some(began), ..any() };
    assert_eq!(found(between).await, []);
}

pub(super) async fn counts_follow_every_move(w: World) {
    for number in 0..6 {
        w.put_new(task(number)).await;
    }
    w.put_new(NewTask { run_at: Some(w.later(Duration::from_secs(9))), ..task(7) }).await;
    w.advance(Duration::from_secs(1));
    let leased = w.lease(3).await;
    w.settle(leased[0].lease, done()).await;
    w.settle(leased[1].lease, Outcome::Reject { error: TaskError::permanent("no") }).await;
    let stats = w.store.queue_stats().await.unwrap().remove(0);
    let counts: Vec<u64> = TaskState::ALL.into_iter().map(|state| stats.counts.of(state)).collect();
    assert_eq!(counts, [1, 3, 1, 0, 1, 1, 0]);
    assert_eq!(stats.counts.live(), 5);
    assert_eq!((stats.queue, stats.capacity), (queue("work"), w.setup.limits.queue_capacity));
    assert_eq!(stats.oldest_ready, Some(w.now() - jiff::SignedDuration::from_secs(1)));
}

pub(super) async fn history_keeps_what_retention_says(w: World) {
    let most = u32::try_from(w.setup.retention.keep_finished_at_most).unwrap();
    let mut ids = Vec::new();
    for number in 0..most + 5 {
        ids.push(w.put_new(task(number)).await);
        let lease = w.lease_one().await.lease;
        w.settle(lease, done()).await;
    }
    assert_eq!(w.store.sweep().await.unwrap().forgotten, 5, "the oldest go first");
    assert_eq!((w.find(ids[4]).await, w.state(ids[5]).await), (None, TaskState::Done));
    assert_eq!(w.store.attempts(ids[4]).await.unwrap(), []);
    assert_eq!(w.count("work", TaskState::Done).await, u64::from(most));

    let waits = w.put_new(task(1)).await;
    w.advance(w.setup.retention.keep_finished_for);
    assert_eq!(w.store.sweep().await.unwrap().forgotten, usize::try_from(most).unwrap());
    assert_eq!(w.state(waits).await, TaskState::Ready, "what is not finished is never forgotten");
    assert_eq!(w.count("work", TaskState::Done).await, 0);
}

pub(super) async fn ids_of_other_stores_are_unknown(w: World) {
    let id = w.put_new(task(1)).await;
    let other_store = TaskId::new(w.now(), id.salt() ^ 1, id.row());
    let other_time = TaskId::new(w.later(Duration::from_secs(1)), id.salt(), id.row());
    let found = w.store.get(vec![other_store, id, other_time]).await.unwrap();
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, false]);
}

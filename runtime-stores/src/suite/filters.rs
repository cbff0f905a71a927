//! Filters by chance: whatever the expression, a back end finds the tasks that fit it, and no others.

use std::collections::BTreeMap;
use std::time::Duration;

use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::name::Route;
use runtime_core::outcome::{Outcome, ParkReason};
use runtime_core::store::{DeadGroup, DeadGroups, Expr, LeaseAsk, TaskFilter, TaskTest, TextTest, TimeTest};
use runtime_core::task::{NewTask, Task, TaskId, TaskState};

use super::world::{LEASE, World, done, instance, route_to};

/// Some have none.
const TENANTS: [&str; 5] = ["", "acme", "acme%", "ärzte", "z"];
const SCOPES: [&str; 5] = ["", "store=1", "store=10", "store_1", "a 'quoted' one"];

/// Random numbers that are the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % end
    }

    fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    fn text(&mut self, all: &[&str]) -> TextTest {
        let text = self.one_of(all);
        match self.below(3) {
            0 => TextTest::Begins(text.chars().take(self.below(text.chars().count() + 1)).collect()),
            _ => TextTest::Is(text.to_owned()),
        }
    }

    fn time(&mut self, w: &World) -> TimeTest {
        let at = w.now() - jiff::SignedDuration::from_secs(i64::try_from(self.below(12)).unwrap_or(0) * 60);
        if self.below(2) == 0 { TimeTest::Since(at) } else { TimeTest::Before(at) }
    }

    fn test(&mut self, w: &World) -> TaskTest {
        match self.below(9) {
            0 => TaskTest::App(self.text(&["shop", "books", "none"])),
            1 => TaskTest::Queue(self.text(&["work", "other", "none"])),
            2 => TaskTest::Handler(self.text(&["handle", "second"])),
            3 => TaskTest::Tenant(self.text(&TENANTS)),
            4 => TaskTest::Scope(self.text(&SCOPES)),
            5 => TaskTest::Code(vec![ErrorCode::ALL[self.below(12)], ErrorCode::HandlerRejected]),
            6 => TaskTest::Created(self.time(w)),
            7 => TaskTest::Finished(self.time(w)),
            _ => TaskTest::State(vec![TaskState::ALL[self.below(7)], TaskState::ALL[self.below(7)]]),
        }
    }

    fn expr(&mut self, w: &World, depth: usize) -> Expr<TaskTest> {
        let kind = if depth == 0 { 3 } else { self.below(5) };
        let parts = |chance: &mut Self| (0..=chance.below(3)).map(|_| chance.expr(w, depth - 1)).collect();
        match kind {
            0 => Expr::All(parts(self)),
            1 => Expr::Any(parts(self)),
            2 => !self.expr(w, depth - 1),
            _ => Expr::Is(self.test(w)),
        }
    }
}

/// Tasks that differ in everything a filter can ask for, in every state.
async fn a_mixed_lot(w: &World, chance: &mut Chance) -> Vec<Task> {
    for number in 0..40 {
        let mut route = (*route_to(chance.one_of(&["work", "other"]))).clone();
        route.app = chance.one_of(&["shop", "books"]).parse().expect("a name");
        route.handler = chance.one_of(&["handle", "second"]).parse().expect("a name");
        let (queue, state) = (route.queue.clone(), TaskState::ALL[chance.below(7)]);
        let task = NewTask {
            tenant: chance.one_of(&TENANTS).parse().ok(),
            scope: chance.one_of(&SCOPES).parse().ok(),
            run_at: (state == TaskState::Scheduled).then(|| w.later(Duration::from_secs(86_400))),
            ..NewTask::new(route.into(), vec![number])
        };
        let id = w.put_new(task).await;
        let outcome = match state {
            TaskState::Scheduled | TaskState::Ready | TaskState::Leased => None,
            TaskState::Parked => {
                Some(Outcome::Park { reason: ParkReason::NeedsDecision { question: "well?".into() } })
            }
            TaskState::Done => Some(done()),
            TaskState::Dead => {
                Some(Outcome::Reject { error: TaskError::new(ErrorCode::ALL[chance.below(12)], "no") })
            }
            TaskState::Cancelled => Some(Outcome::Cancel { reason: "no".into() }),
        };
        if state == TaskState::Leased || outcome.is_some() {
            let ask =
                LeaseAsk { queue, instance: instance("one"), up_to: 1, lease_for: LEASE, task: Some(id) };
            let lease = w.store.lease(ask).await.expect("the store answers").remove(0).lease;
            if let Some(outcome) = outcome {
                w.settle(lease, outcome).await;
            }
        }
        assert_eq!(w.state(id).await, state);
        w.advance(Duration::from_secs(15));
    }
    listed(w, &TaskFilter::default()).await
}

/// Every page, however few tasks each holds.
async fn listed(w: &World, filter: &TaskFilter) -> Vec<Task> {
    let (mut tasks, mut after) = (Vec::new(), None);
    loop {
        let page = w.store.list(filter.clone(), after, 7).await.expect("the store answers");
        assert!(page.tasks.len() <= 7);
        tasks.extend(page.tasks);
        after = page.next;
        if after.is_none() {
            return tasks;
        }
    }
}

/// What dead tasks died of, one by one.
fn grouped(dead: &[Task]) -> DeadGroups {
    let mut groups: BTreeMap<_, DeadGroup> = BTreeMap::new();
    for task in dead {
        let (code, at) =
            (task.last_error.as_ref().expect("it died of it").code, task.finished_at.expect("it finished"));
        let Route { app, queue, handler } = (*task.route).clone();
        let key = (app.clone(), queue.clone(), handler.clone(), code.as_str());
        let group = groups.entry(key).or_insert_with(|| DeadGroup {
            app,
            queue,
            handler,
            code,
            count: 0,
            whole: true,
            oldest: at,
            newest: at,
            example: task.id,
        });
        group.count += 1;
        group.oldest = group.oldest.min(at);
        if (at, task.id.row()) > (group.newest, group.example.row()) {
            (group.newest, group.example) = (at, task.id);
        }
    }
    DeadGroups { groups: groups.into_values().collect(), whole: true }
}

pub(super) async fn whatever_a_filter_says_what_fits_is_found_and_nothing_else(w: World) {
    let mut chance = Chance(7);
    let all = a_mixed_lot(&w, &mut chance).await;
    assert_eq!(all.len(), 40);
    let ids = |tasks: &[Task]| tasks.iter().map(|task| task.id).collect::<Vec<TaskId>>();
    let (mut some, mut negated) = (0, 0);
    for _ in 0..300 {
        let expr = chance.expr(&w, 3);
        let filter = TaskFilter {
            queue: if chance.below(4) == 0 { "work".parse().ok() } else { None },
            ..TaskFilter::from(expr)
        };
        let fitting: Vec<Task> = all.iter().filter(|task| filter.fits(task)).cloned().collect();
        some += usize::from(!fitting.is_empty() && fitting.len() < all.len());
        negated += usize::from(format!("{filter:?}").contains("Not"));
        assert_eq!(ids(&listed(&w, &filter).await), ids(&fitting), "{filter:?}");
        let mut oldest_first = ids(&fitting);
        oldest_first.reverse();
        assert_eq!(w.store.walk(filter.clone(), None, 100).await.unwrap(), oldest_first, "{filter:?}");
        let count = w.store.count(filter.clone(), u64::MAX).await.unwrap();
        assert!(count.whole, "{filter:?}");
        for state in TaskState::ALL {
            let of_state = fitting.iter().filter(|task| task.state == state).count();
            assert_eq!(count.counts.of(state), of_state as u64, "{state} of {filter:?}");
        }
        let dead: Vec<Task> = fitting.iter().filter(|task| task.state == TaskState::Dead).cloned().collect();
        for look_at_most in [u64::MAX, 20_000] {
            let found = w.store.dead_groups(filter.clone(), look_at_most).await.unwrap();
            assert_eq!(found, grouped(&dead), "{filter:?}");
        }
        let glance = w.store.dead_groups(filter.clone(), 3).await.unwrap();
        assert!(glance.total() <= dead.len() as u64, "{filter:?}");
        assert!(!glance.whole || glance == grouped(&dead), "{filter:?}: whole is all of it");
        let states = filter.possible_states();
        assert!(fitting.iter().all(|task| states.contains(&task.state)), "{filter:?}");
    }
    assert!(some > 100 && negated > 50, "{some} select a part, {negated} say NOT");
}

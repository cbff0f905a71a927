//! What the writer keeps in memory: counts of every queue, leases held, suspects.
//!
//! Changes are made as the transaction goes along and undone with it: to a mark when one member is undone, to the beginning when the
//! group is. So a count is never off, whatever fails.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use jiff::Timestamp;
use runtime_core::lifecycle::LifecycleView;
use runtime_core::name::FlowKey;
use runtime_core::store::StateCounts;
use runtime_core::task::{Lease, TaskState};

use super::names::NameKind;

/// A lease that was granted by this process, and the task as it stands meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) instance: i64,
    /// Runs with nothing beside it.
    pub(super) alone: bool,
    pub(super) until: i64,
    pub(super) queue: i64,
    pub(super) epoch: i64,
    pub(super) created_at: i64,
    /// Whether it has an ordering key.
    pub(super) ordered: bool,
    pub(super) view: LifecycleView,
}

impl Held {
    /// Whether this is the lease that was granted.
    pub(super) fn is_for(&self, lease: Lease) -> bool {
        self.epoch.unsigned_abs() == lease.epoch.0
            && self.created_at.unsigned_abs() == lease.task.created_ms()
    }
}

/// One queue in figures.
#[derive(Debug, Clone, Copy, Default)]
struct QueueBook {
    counts: StateCounts,
    /// Since the last commit.
    changed: bool,
    /// Since the last commit: there may be new ready tasks.
    woken: bool,
}

/// Rows are small increasing numbers that nobody outside chooses: spreading them is all a hash need do.
#[derive(Debug, Default)]
pub(super) struct RowHasher(u64);

impl Hasher for RowHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }
}

#[derive(Debug)]
enum Undo {
    Count { queue: i64, state: TaskState, added: bool },
    Held { row: i64, before: Option<Held> },
    Suspect { queue: i64, row: i64, added: bool },
    Lane { row: i64, before: Option<(i64, FlowKey)> },
    Name { kind: NameKind, id: i64 },
}

/// The writer's memory.
#[derive(Debug, Default)]
pub(super) struct Books {
    /// By queue number.
    queues: Vec<QueueBook>,
    held: HashMap<i64, Held, BuildHasherDefault<RowHasher>>,
    /// Of these, the ones that run with nothing beside them.
    alone: usize,
    /// Of these, the ones that run in a lane, with its queue.
    lanes: HashMap<i64, (i64, FlowKey), BuildHasherDefault<RowHasher>>,
    /// How many run in each lane.
    in_lanes: HashMap<(i64, FlowKey), usize>,
    /// Ready tasks that may only run alone, by queue and row.
    suspects: BTreeSet<(i64, i64)>,
    undo: Vec<Undo>,
    /// Whether a scheduled task was added since the last commit.
    pub(super) due_changed: bool,
}

impl Books {
    pub(super) fn counts(&self, queue: i64) -> StateCounts {
        usize::try_from(queue)
            .ok()
            .and_then(|index| self.queues.get(index))
            .map(|book| book.counts)
            .unwrap_or_default()
    }

    /// Queue numbers are given from 1 on, one after the other.
    fn book(&mut self, queue: i64) -> &mut QueueBook {
        let index = usize::try_from(queue).unwrap_or(0);
        if index >= self.queues.len() {
            self.queues.resize(index + 1, QueueBook::default());
        }
        &mut self.queues[index]
    }

    /// Finished tasks that history keeps, of all queues.
    pub(super) fn finished(&self) -> u64 {
        let finished = TaskState::ALL.into_iter().filter(|state| state.is_finished());
        finished.map(|state| self.queues.iter().map(|book| book.counts.of(state)).sum::<u64>()).sum()
    }

    /// Of these, the dead ones.
    pub(super) fn dead(&self) -> u64 {
        self.queues.iter().map(|book| book.counts.of(TaskState::Dead)).sum()
    }

    /// Takes over what the file holds. Nothing to undo.
    pub(super) fn begin_with(&mut self, queue: i64, state: TaskState, tasks: u64) {
        let book = self.book(queue);
        *book.counts.of_mut(state) += tasks;
        book.changed = true;
    }

    pub(super) fn begin_with_suspect(&mut self, queue: i64, row: i64) {
        self.suspects.insert((queue, row));
    }

    /// A task came to stand in this state.
    pub(super) fn enter(&mut self, queue: i64, state: TaskState) {
        let book = self.book(queue);
        *book.counts.of_mut(state) += 1;
        book.changed = true;
        book.woken |= state == TaskState::Ready;
        self.undo.push(Undo::Count { queue, state, added: true });
    }

    /// A task no longer stands in this state.
    pub(super) fn leave(&mut self, queue: i64, state: TaskState) {
        let book = self.book(queue);
        book.changed = true;
        let count = book.counts.of_mut(state);
        // Without the owner lock another process may have counted this one.
        *count = count.saturating_sub(1);
        self.undo.push(Undo::Count { queue, state, added: false });
    }

    pub(super) fn hold(&mut self, row: i64, held: Held) {
        let before = self.set_held(row, Some(held));
        self.undo.push(Undo::Held { row, before });
    }

    pub(super) fn let_go(&mut self, row: i64) {
        if let Some(before) = self.set_held(row, None) {
            self.undo.push(Undo::Held { row, before: Some(before) });
        }
        if !self.lanes.is_empty() {
            self.run_in_lane(row, None);
        }
    }

    /// A lease is in this lane, of this queue, from now on. Whoever leaves a lane may have made room in it.
    pub(super) fn run_in_lane(&mut self, row: i64, lane: Option<(i64, FlowKey)>) {
        let before = self.set_lane(row, lane);
        if let Some((queue, _)) = &before {
            self.wake(*queue);
        }
        self.undo.push(Undo::Lane { row, before });
    }

    fn set_lane(&mut self, row: i64, lane: Option<(i64, FlowKey)>) -> Option<(i64, FlowKey)> {
        let before = match lane {
            Some(lane) => {
                *self.in_lanes.entry(lane.clone()).or_default() += 1;
                self.lanes.insert(row, lane)
            }
            None => self.lanes.remove(&row),
        };
        if let Some(lane) = &before
            && let Some(count) = self.in_lanes.get_mut(lane)
        {
            *count -= 1;
            if *count == 0 {
                self.in_lanes.remove(lane);
            }
        }
        before
    }

    /// Leases in a lane.
    pub(super) fn in_lane(&self, queue: i64, lane: &FlowKey) -> usize {
        self.in_lanes.get(&(queue, lane.clone())).copied().unwrap_or(0)
    }

    pub(super) fn extend(&mut self, row: i64, until: i64) {
        if let Some(held) = self.held.get(&row).copied() {
            self.hold(row, Held { until, ..held });
        }
    }

    /// Leases of an instance that have not run out.
    pub(super) fn holds(&self, instance: i64, now: i64) -> usize {
        self.held.values().filter(|held| held.instance == instance && held.until > now).count()
    }

    /// Whether the instance holds a lease that tolerates nothing beside it.
    pub(super) fn runs_alone(&self, instance: i64, now: i64) -> bool {
        self.alone > 0
            && self.held.values().any(|held| held.instance == instance && held.alone && held.until > now)
    }

    pub(super) fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// Forgets leases that ran out: whoever noticed has released their tasks.
    pub(super) fn forget_expired(&mut self, now: i64) {
        self.held.retain(|_, held| held.until > now);
        self.alone = self.held.values().filter(|held| held.alone).count();
        let gone: Vec<i64> = self.lanes.keys().filter(|row| !self.held.contains_key(row)).copied().collect();
        for row in gone {
            self.set_lane(row, None);
        }
    }

    fn set_held(&mut self, row: i64, held: Option<Held>) -> Option<Held> {
        let before = match held {
            Some(held) => self.held.insert(row, held),
            None => self.held.remove(&row),
        };
        let alone = |held: &Option<Held>| usize::from(held.is_some_and(|held| held.alone));
        self.alone = (self.alone + alone(&held)).saturating_sub(alone(&before));
        before
    }

    pub(super) fn add_suspect(&mut self, queue: i64, row: i64) {
        if self.suspects.insert((queue, row)) {
            self.undo.push(Undo::Suspect { queue, row, added: true });
        }
    }

    pub(super) fn drop_suspect(&mut self, queue: i64, row: i64) {
        if self.suspects.remove(&(queue, row)) {
            self.undo.push(Undo::Suspect { queue, row, added: false });
        }
    }

    /// Ready tasks of the queue that may only run alone, oldest first.
    pub(super) fn suspects(&self, queue: i64) -> impl Iterator<Item = i64> {
        self.suspects.range((queue, i64::MIN)..=(queue, i64::MAX)).map(|(_, row)| *row)
    }

    pub(super) fn queues_with_suspects(&self) -> Vec<i64> {
        self.suspects.iter().map(|(queue, _)| *queue).collect::<BTreeSet<_>>().into_iter().collect()
    }

    pub(super) fn named(&mut self, kind: NameKind, id: i64) {
        self.undo.push(Undo::Name { kind, id });
    }

    pub(super) fn mark(&self) -> usize {
        self.undo.len()
    }

    /// Takes back what was done since the mark. `forget` is told of names that were given since.
    pub(super) fn undo_to(&mut self, mark: usize, mut forget: impl FnMut(NameKind, i64)) {
        while self.undo.len() > mark {
            match self.undo.pop() {
                Some(Undo::Count { queue, state, added }) => {
                    let count = self.book(queue).counts.of_mut(state);
                    *count = if added { count.saturating_sub(1) } else { *count + 1 };
                }
                Some(Undo::Held { row, before }) => {
                    self.set_held(row, before);
                }
                Some(Undo::Lane { row, before }) => {
                    self.set_lane(row, before);
                }
                Some(Undo::Suspect { queue, row, added: true }) => {
                    self.suspects.remove(&(queue, row));
                }
                Some(Undo::Suspect { queue, row, added: false }) => {
                    self.suspects.insert((queue, row));
                }
                Some(Undo::Name { kind, id }) => forget(kind, id),
                None => return,
            }
        }
    }

    /// Net changes of finished counts since the last commit, for the file.
    pub(super) fn finished_changes(&self) -> Vec<(i64, TaskState, i64)> {
        let mut net: HashMap<(i64, TaskState), i64, BuildHasherDefault<RowHasher>> = HashMap::default();
        for undo in &self.undo {
            if let Undo::Count { queue, state, added } = undo
                && state.is_finished()
            {
                *net.entry((*queue, *state)).or_default() += if *added { 1 } else { -1 };
            }
        }
        net.into_iter().filter(|(_, by)| *by != 0).map(|((queue, state), by)| (queue, state, by)).collect()
    }

    /// What was done stays. Returns the queues whose counts changed.
    pub(super) fn commit(&mut self) -> Vec<(i64, StateCounts)> {
        self.undo.clear();
        let numbered = (0..).zip(&mut self.queues);
        numbered
            .filter_map(|(queue, book)| std::mem::take(&mut book.changed).then_some((queue, book.counts)))
            .collect()
    }

    /// Whoever waits for this queue shall look.
    pub(super) fn wake(&mut self, queue: i64) {
        self.book(queue).woken = true;
    }

    /// Queues to be woken since this was asked last.
    pub(super) fn take_woken(&mut self) -> Vec<i64> {
        let numbered = (0..).zip(&mut self.queues);
        numbered.filter_map(|(queue, book)| std::mem::take(&mut book.woken).then_some(queue)).collect()
    }

    /// The lease of this row, if this process granted it and it has not ended.
    pub(super) fn held(&self, row: i64) -> Option<&Held> {
        self.held.get(&row)
    }
}

/// A moment as the file keeps it.
pub(super) fn millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}

//! What one worker does next: which leases to ask for, which task to start, which slot is free.
//!
//! A plain struct without I/O: the executor actor tells it what happened and carries out what it answers. Permit first, then claim:
//! it asks for no more than can start soon, and a slot is free only when its outcome is settled.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use runtime_core::task::{Lease, LeasedTask, TaskId};
use tokio::time::Instant;

use crate::attempt::Attempt;

/// Most leased tasks that wait for a slot.
pub const MAX_PREFETCH: usize = 1_000;

/// How far ahead the prefetch looks: tasks that will probably start within this time may be leased now.
const PREFETCH_FOR: Duration = Duration::from_millis(20);

/// Whose work a worker takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Its queue's, and what operators ask for.
    Everything,
    /// Only what operators ask for: it is paused.
    OperatorsOnly,
    /// Nothing: it drains or stops.
    Nothing,
}

/// The state of one worker.
pub struct TaskExecutorService {
    slots: usize,
    running: HashMap<TaskId, Arc<Attempt>>,
    /// Leased, not yet started.
    waiting: VecDeque<LeasedTask>,
    /// Slots promised to an operator's run.
    reserved: usize,
    /// How many leases the ask under way wants.
    asked: Option<usize>,
    /// The queue gave less than asked: asking again is useless until it is woken.
    dry: bool,
    /// Woken while an ask was under way: its answer may be older than the wake-up.
    woken: bool,
    takes: Takes,
    pace: Pace,
    prefetches: bool,
}

impl TaskExecutorService {
    /// An idle worker with so many slots.
    pub fn new(slots: usize) -> Self {
        Self {
            slots,
            running: HashMap::new(),
            waiting: VecDeque::new(),
            reserved: 0,
            asked: None,
            dry: false,
            woken: false,
            takes: Takes::Everything,
            pace: Pace::default(),
            prefetches: true,
        }
    }

    /// Leases no more than can start at once: whose turn it is, is decided when a slot is free, not when something was leased ahead.
    #[must_use]
    pub fn without_prefetch(mut self) -> Self {
        self.prefetches = false;
        self
    }

    /// Slots without an attempt.
    pub fn free(&self) -> usize {
        self.slots.saturating_sub(self.running.len() + self.reserved)
    }

    /// Slots in all.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Attempts that run, or whose outcome is not settled.
    pub fn busy(&self) -> usize {
        self.running.len()
    }

    /// Leased tasks that wait for a slot.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing is leased.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty() && self.asked.is_none() && self.reserved == 0
    }

    /// Changes the number of slots. Running attempts go on.
    pub fn resize(&mut self, slots: usize) {
        self.slots = slots;
    }

    /// From here on it takes this.
    pub fn take(&mut self, takes: Takes) {
        self.takes = takes;
        self.dry = false;
    }

    /// Whose work it takes.
    pub fn takes(&self) -> Takes {
        self.takes
    }

    /// The queue may have something.
    pub fn wake(&mut self) {
        self.dry = false;
        self.woken = true;
    }

    /// How many leases to ask for now, when no more than `room` may start; `None` when none, or when an ask is under way. The answer goes
    /// to [`TaskExecutorService::leased`].
    pub fn ask(&mut self, now: Instant, room: usize) -> Option<usize> {
        if self.asked.is_some() || self.dry || self.takes != Takes::Everything {
            return None;
        }
        let prefetch = if self.prefetches { self.pace.prefetch(now) } else { 0 };
        // A half-empty prefetch is filled in one go, rather than by a trickle of small asks.
        if self.free() == 0 && self.waiting.len() * 2 > prefetch {
            return None;
        }
        let up_to = (self.free() + prefetch).min(room).saturating_sub(self.waiting.len());
        self.asked = (up_to > 0).then_some(up_to);
        self.woken = false;
        self.asked
    }

    /// The answer to an ask came, or it failed.
    pub fn leased(&mut self, batch: Vec<LeasedTask>) {
        let asked = self.asked.take().unwrap_or(0);
        self.dry = batch.len() < asked && !self.woken;
        self.waiting.extend(batch);
    }

    /// Promises a slot to an operator's run. `false` when none is free.
    pub fn reserve(&mut self) -> bool {
        let free = self.free() > 0 && self.takes != Takes::Nothing;
        self.reserved += usize::from(free);
        free
    }

    /// The promised slot is used or no longer needed.
    pub fn unreserve(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// Whether a task waits and a slot is free for it.
    pub fn can_start(&self) -> bool {
        self.free() > 0 && self.takes == Takes::Everything && !self.waiting.is_empty()
    }

    /// The next task to start, when a slot is free.
    pub fn take_next(&mut self) -> Option<LeasedTask> {
        if self.free() == 0 || self.takes != Takes::Everything { None } else { self.waiting.pop_front() }
    }

    /// An attempt was started.
    pub fn started(&mut self, attempt: Arc<Attempt>) {
        self.running.insert(attempt.lease().task, attempt);
    }

    /// An outcome is settled: its slot is free. `None` when this incarnation never had it.
    pub fn settled(&mut self, lease: Lease, now: Instant) -> Option<Arc<Attempt>> {
        if self.running.get(&lease.task)?.lease() != lease {
            return None;
        }
        self.pace.completed(now);
        self.running.remove(&lease.task)
    }

    /// Everything that has not begun, to be given back.
    pub fn take_waiting(&mut self) -> Vec<LeasedTask> {
        self.waiting.drain(..).collect()
    }

    /// One that has not begun, when it is here.
    pub fn take_waiting_task(&mut self, task: TaskId) -> Option<LeasedTask> {
        let place = self.waiting.iter().position(|leased| leased.lease.task == task)?;
        self.waiting.remove(place)
    }

    /// The attempts that run.
    pub fn running(&self) -> impl Iterator<Item = &Arc<Attempt>> {
        self.running.values()
    }

    /// Drops what waits under leases that are lost; returns the attempts that run under one. An attempt whose outcome is on its way
    /// is left alone: settling will say what became of it.
    pub fn lost(&mut self, leases: &[Lease]) -> Vec<Arc<Attempt>> {
        self.waiting.retain(|leased| !leases.contains(&leased.lease));
        leases
            .iter()
            .filter_map(|lease| self.running.get(&lease.task))
            .filter(|attempt| leases.contains(&attempt.lease()) && !attempt.has_ended())
            .cloned()
            .collect()
    }
}

/// How fast outcomes are settled, measured over short windows.
#[derive(Debug, Default)]
struct Pace {
    window: Option<Instant>,
    count: u32,
    per_second: f64,
}

impl Pace {
    const WINDOW: Duration = Duration::from_millis(20);

    fn completed(&mut self, now: Instant) {
        self.count += 1;
        self.roll(now);
    }

    fn roll(&mut self, now: Instant) {
        let since = *self.window.get_or_insert(now);
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= Self::WINDOW {
            self.per_second = f64::from(self.count) / elapsed.as_secs_f64();
            self.window = Some(now);
            self.count = 0;
        }
    }

    fn prefetch(&mut self, now: Instant) -> usize {
        self.roll(now);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and clamped")]
        let soon = (self.per_second * PREFETCH_FOR.as_secs_f64()) as usize;
        soon.min(MAX_PREFETCH)
    }
}

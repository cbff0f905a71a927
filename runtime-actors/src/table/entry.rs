//! One node's row: where it stands, what it has done, and the door of its present incarnation.

use std::any::Any;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use ractor::ActorRef;
use runtime_core::clock::Clock;
use runtime_core::control::{Origin, RestartCause};
use runtime_core::etag::Etag;
use runtime_core::journal::Place;
use runtime_core::node::{Condition, DesiredState, Health, NodeKind, NodePath, NodeState, NodeView};
use tokio::sync::Notify;

use super::NodeTable;
use super::restarts::RestartBook;
use crate::journal::SharedJournal;
use crate::metrics::WorkerMeter;
use crate::node::{ControlMsg, NodeMsg};

/// One node's row. Written by the node and its supervisor, read by everybody.
pub struct NodeEntry {
    pub(super) path: NodePath,
    pub(super) kind: NodeKind,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) journal: Arc<SharedJournal>,
    /// Where what happens to it belongs.
    pub(super) place: OnceLock<Arc<Place>>,
    /// On whose behalf it changes at present, and by which command.
    pub(super) behalf: Mutex<(Origin, &'static str)>,
    pub(super) state: AtomicU8,
    pub(super) desired: AtomicU8,
    pub(super) incarnation: AtomicU64,
    pub(super) since_ms: AtomicI64,
    pub(super) busy_since_ms: AtomicI64,
    pub(super) progress_ms: AtomicI64,
    pub(super) last_fault: Mutex<Option<String>>,
    pub(super) health: Mutex<Health>,
    conditions: Mutex<[Condition; 3]>,
    pub(super) door: RwLock<Option<Door>>,
    pub(super) changed: Arc<Notify>,
    /// Its present run was killed because it did not start or stop in its time.
    pub(super) overdue: AtomicBool,
    /// Whether the instance takes no new work.
    pub(super) drains: Arc<AtomicBool>,
    /// Since when what operators want of it is counted, and how often that has changed.
    pub(super) counted_since: Timestamp,
    pub(super) wishes: AtomicU64,
    /// Where its restarts are noted, and why the next one will be.
    pub(super) book: Arc<RestartBook>,
    pub(super) next_cause: Mutex<Option<(RestartCause, Option<Duration>)>>,
    /// Restarts by its supervisor.
    pub(crate) restarts: AtomicU64,
    /// Messages handled, or attempts settled.
    pub(crate) handled: AtomicU64,
    /// Of these, the failed.
    pub(crate) errors: AtomicU64,
    /// Leased tasks not yet started.
    pub(crate) queued: AtomicU64,
    /// Slots in all; 0 for a node without slots.
    pub(crate) slots: AtomicU64,
    /// Slots that an operator chose in place of the configured ones; 0 for none.
    pub(super) chosen_slots: AtomicUsize,
    /// Slots in use.
    pub(crate) busy_slots: AtomicU64,
    /// Attempts that do not end although they should.
    pub(crate) stuck: AtomicU64,
    /// The node's own messages that wait. Below zero for a moment when one is handled before its sender has counted it.
    pub(super) mailbox: AtomicI64,
    /// Measures what this node's attempts do, when it is an executor and somebody wants to know.
    pub(crate) meter: OnceLock<WorkerMeter>,
    /// What a test wants to go wrong in this node.
    #[cfg(test)]
    pub(crate) sabotage: crate::tests::Sabotage,
}

/// The way into one incarnation.
pub(super) struct Door {
    incarnation: u64,
    control: Box<dyn Fn(ControlMsg) -> bool + Send + Sync>,
    pub(super) own: Box<dyn Any + Send + Sync>,
    #[cfg(test)]
    cell: ractor::ActorCell,
}

const NEVER: i64 = i64::MIN;

impl NodeEntry {
    pub(super) fn new(path: NodePath, kind: NodeKind, table: &NodeTable) -> Self {
        let (clock, changed) = (table.clock.clone(), table.changed.clone());
        let since_ms = AtomicI64::new(clock.now().as_millisecond());
        let (state, health) = (NodeState::Waiting, Health::Healthy);
        let conditions = Condition::from_now_on(state, DesiredState::Running, &health, clock.now());
        Self {
            path,
            kind,
            clock,
            journal: table.journal.clone(),
            place: OnceLock::new(),
            behalf: Mutex::default(),
            state: AtomicU8::new(number(state)),
            desired: AtomicU8::new(0),
            incarnation: AtomicU64::new(0),
            since_ms,
            busy_since_ms: AtomicI64::new(NEVER),
            progress_ms: AtomicI64::new(NEVER),
            last_fault: Mutex::new(None),
            health: Mutex::new(health),
            conditions: Mutex::new(conditions),
            door: RwLock::new(None),
            changed,
            overdue: AtomicBool::new(false),
            drains: table.drains.clone(),
            counted_since: table.began,
            wishes: AtomicU64::new(0),
            book: table.book.clone(),
            next_cause: Mutex::new(None),
            restarts: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            slots: AtomicU64::new(0),
            chosen_slots: AtomicUsize::new(0),
            busy_slots: AtomicU64::new(0),
            stuck: AtomicU64::new(0),
            mailbox: AtomicI64::new(0),
            meter: OnceLock::new(),
            #[cfg(test)]
            sabotage: crate::tests::Sabotage::default(),
        }
    }

    /// The node's address.
    pub fn path(&self) -> &NodePath {
        &self.path
    }

    /// What the node is.
    pub fn kind(&self) -> NodeKind {
        self.kind
    }

    /// What the node does.
    pub fn state(&self) -> NodeState {
        NodeState::ALL[usize::from(self.state.load(Ordering::Acquire))]
    }

    pub(crate) fn set_state(&self, state: NodeState) {
        let before = self.state.swap(number(state), Ordering::AcqRel);
        if before != number(state) {
            self.since_ms.store(self.clock.now().as_millisecond(), Ordering::Relaxed);
            tracing::debug!(node = %self.path, state = state.as_str(), "node changed");
            self.turn_conditions();
            self.note_state(NodeState::ALL[usize::from(before)], state);
            self.changed.notify_waiters();
        }
    }

    /// What an operator wants of the node.
    pub fn desired(&self) -> DesiredState {
        desired_of(self.desired.load(Ordering::Acquire))
    }

    pub(crate) fn set_desired(&self, desired: DesiredState) {
        let before = desired_of(self.desired.swap(desired as u8, Ordering::AcqRel));
        if before != desired {
            self.turn_conditions();
            self.note_desired(before, desired);
        }
    }

    /// What operators want of it and of all under it.
    pub(crate) fn etag(&self) -> Etag {
        Etag::counted(self.counted_since, self.wishes.load(Ordering::Acquire))
    }

    /// Whether it shall take no new work, whatever is wanted of it alone: it takes work, and the instance takes none.
    pub(crate) fn is_held(&self) -> bool {
        takes_work(self.kind) && self.drains.load(Ordering::Acquire)
    }

    /// The number of slots that an operator chose.
    pub(crate) fn chosen_slots(&self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(self.chosen_slots.load(Ordering::Acquire))
    }

    pub(crate) fn choose_slots(&self, slots: Option<NonZeroUsize>) {
        self.chosen_slots.store(slots.map_or(0, NonZeroUsize::get), Ordering::Release);
    }

    /// Which run of the node this is; 0 before the first.
    pub fn incarnation(&self) -> u64 {
        self.incarnation.load(Ordering::Acquire)
    }

    /// Begins one more run of the node and says which it is. Counts over restarts of its supervisors too, so that two runs never share
    /// a number.
    pub(crate) fn begin(&self) -> u64 {
        let incarnation = self.incarnation.fetch_add(1, Ordering::AcqRel) + 1;
        self.overdue.store(false, Ordering::Release);
        // What waited for the run before it is gone with its mailbox.
        self.mailbox.store(0, Ordering::Relaxed);
        self.note_run(incarnation);
        self.set_state(NodeState::Starting);
        incarnation
    }

    /// That run does not do what it should in its time, and is killed for it.
    pub(crate) fn set_overdue(&self) {
        self.overdue.store(true, Ordering::Release);
    }

    /// Whether its last run was killed for being late.
    pub(crate) fn is_overdue(&self) -> bool {
        self.overdue.load(Ordering::Acquire)
    }

    /// That run is over: its door is shut. What a later one shows stays.
    pub(crate) fn end(&self, incarnation: u64) {
        self.close(incarnation);
        if self.incarnation() == incarnation {
            self.busy_since_ms.store(NEVER, Ordering::Relaxed);
            if !matches!(self.state(), NodeState::BackingOff | NodeState::Abandoned) {
                self.set_state(NodeState::Stopped);
            }
        }
    }

    pub(crate) fn set_health(&self, health: Health) {
        let before = std::mem::replace(&mut *lock(&self.health), health.clone());
        self.turn_conditions();
        self.note_health(&before, &health);
    }

    /// What holds of it may be something else by now.
    fn turn_conditions(&self) {
        let mut conditions = lock(&self.conditions);
        let (state, desired, health) = (self.state(), self.desired(), lock(&self.health).clone());
        let now = self.clock.now();
        conditions.iter_mut().for_each(|known| known.look_again(state, desired, &health, now));
    }

    pub(crate) fn set_fault(&self, fault: Option<String>) {
        *lock(&self.last_fault) = fault;
    }

    /// A message of the node's own is on its way.
    pub(crate) fn message_sent(&self) {
        self.mailbox.fetch_add(1, Ordering::Relaxed);
    }

    /// It was taken from the mailbox, or never got there.
    pub(crate) fn message_taken(&self) {
        self.mailbox.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn begin_work(&self) {
        self.busy_since_ms.store(self.clock.now().as_millisecond(), Ordering::Relaxed);
    }

    pub(crate) fn end_work(&self, failed: bool) {
        self.busy_since_ms.store(NEVER, Ordering::Relaxed);
        // Executors and sources count what they did, not the messages about it.
        let counts_messages = !matches!(self.kind, NodeKind::Executor | NodeKind::Source);
        self.handled.fetch_add(u64::from(counts_messages), Ordering::Relaxed);
        self.errors.fetch_add(u64::from(failed), Ordering::Relaxed);
    }

    /// Something was settled just now.
    pub(crate) fn note_progress(&self) {
        self.progress_ms.store(self.clock.now().as_millisecond(), Ordering::Relaxed);
    }

    /// When something was settled last.
    pub(crate) fn last_progress(&self) -> Option<Timestamp> {
        Timestamp::from_millisecond(self.progress_ms.load(Ordering::Relaxed)).ok()
    }

    pub(crate) fn open<M: Send + 'static>(&self, incarnation: u64, actor: ActorRef<NodeMsg<M>>) {
        let control = {
            let actor = actor.clone();
            Box::new(move |message| actor.send_message(NodeMsg::Control(message)).is_ok())
        };
        let door = Door {
            incarnation,
            control,
            #[cfg(test)]
            cell: actor.get_cell(),
            own: Box::new(actor),
        };
        *self.door.write().unwrap_or_else(PoisonError::into_inner) = Some(door);
    }

    /// Closes the door of one incarnation; that of a later one stays open.
    fn close(&self, incarnation: u64) {
        let mut door = self.door.write().unwrap_or_else(PoisonError::into_inner);
        if door.as_ref().is_some_and(|open| open.incarnation == incarnation) {
            *door = None;
        }
    }

    /// Hands the node a message of its control facet. `false` when nobody is behind the door.
    pub(crate) fn control(&self, message: ControlMsg) -> bool {
        let door = self.door.read().unwrap_or_else(PoisonError::into_inner);
        door.as_ref().is_some_and(|open| (open.control)(message))
    }

    /// Kills the actor behind the door, whatever it is. `false` when nobody is there.
    #[cfg(test)]
    pub(crate) fn kill(&self) -> bool {
        let door = self.door.read().unwrap_or_else(PoisonError::into_inner);
        door.as_ref().map(|open| open.cell.kill()).is_some()
    }

    /// The row as a value.
    pub fn view(&self) -> NodeView {
        let load = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let moment = |ms: &AtomicI64| Timestamp::from_millisecond(ms.load(Ordering::Relaxed)).ok();
        let slots = load(&self.slots);
        let last_fault = lock(&self.last_fault).clone();
        NodeView {
            path: self.path.clone(),
            kind: self.kind,
            state: self.state(),
            desired: self.desired(),
            incarnation: self.incarnation(),
            restarts: load(&self.restarts),
            handled: load(&self.handled),
            errors: load(&self.errors),
            busy_since: moment(&self.busy_since_ms),
            queued: load(&self.queued),
            slots: (slots > 0).then(|| (load(&self.busy_slots), slots)),
            stuck: load(&self.stuck),
            mailbox: u64::try_from(self.mailbox.load(Ordering::Relaxed)).unwrap_or(0),
            last_fault,
            since: moment(&self.since_ms).unwrap_or(Timestamp::UNIX_EPOCH),
            health: lock(&self.health).clone(),
            etag: self.etag(),
            conditions: *lock(&self.conditions),
        }
    }
}

/// Whether nodes of this kind bring work in, or begin it.
pub(crate) fn takes_work(kind: NodeKind) -> bool {
    match kind {
        NodeKind::Executor
        | NodeKind::Source
        | NodeKind::Endpoint
        | NodeKind::Schedules
        | NodeKind::Operations => true,
        NodeKind::Supervisor
        | NodeKind::Store
        | NodeKind::Completion
        | NodeKind::Templates
        | NodeKind::Events
        | NodeKind::Health
        | NodeKind::Status
        | NodeKind::Commands
        | NodeKind::Admin => false,
    }
}

fn desired_of(number: u8) -> DesiredState {
    match number {
        1 => DesiredState::Paused,
        2 => DesiredState::Stopped,
        _ => DesiredState::Running,
    }
}

fn number(state: NodeState) -> u8 {
    state as u8
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The writer: the one connection that changes the file, and what belongs to its transaction.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::clock::Clock;
use runtime_core::lifecycle::LifecycleView;
use runtime_core::limits::StoreLimits;
use runtime_core::name::{InstanceName, QueueName, Route};
use runtime_core::node::NodePath;
use runtime_core::store::{ShedView, StateCounts, StoreError};
use runtime_core::task::{Lease, TaskId, TaskState};
use rusqlite::Connection;
use tokio::sync::Notify;

use super::app::AppGuard;
use super::batches::Batches;
use super::books::{Books, Held, millis};
use super::columns::{moment, state};
use super::fault::Fault;
use super::names::{NameKind, Names};
use super::options::{SqliteOptions, Synchronous};
use super::policy::Policies;
use super::shed::Loads;
use super::statements::Statements;
use crate::content;
use crate::hold_back::HoldBack;
use crate::lanes::Turn;
use crate::retention::Retention;

/// Row numbers are reserved in chunks: a number is never given twice, and the count is written once a chunk.
const ROW_CHUNK: i64 = 4096;

/// What the writer, the readers and the callers have in common.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Replaced, not changed, when a name is added: whoever reads keeps nobody waiting.
    names: RwLock<Arc<Names>>,
    /// Counts as of the last commit.
    pub(super) counts: RwLock<HashMap<QueueName, StateCounts>>,
    wakes: Mutex<HashMap<QueueName, Arc<Notify>>>,
    pub(super) due: Arc<Notify>,
    /// Of queues that shed load, as of the last commit.
    pub(super) shed: RwLock<HashMap<QueueName, ShedView>>,
    /// Until when limits of lanes hold tasks back, of queues where they did.
    pub(super) limited: RwLock<HashMap<QueueName, Timestamp>>,
    /// A write was refused for lack of room, and no look has found room since.
    pub(super) full: AtomicBool,
}

impl Shared {
    pub(super) fn names(&self) -> Arc<Names> {
        Arc::clone(&self.names.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn change_names<T>(&self, change: impl FnOnce(&mut Names) -> T) -> T {
        change(Arc::make_mut(&mut self.names.write().unwrap_or_else(PoisonError::into_inner)))
    }

    pub(super) fn wake(&self, queue: &QueueName) -> Arc<Notify> {
        let mut wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(wakes.entry(queue.clone()).or_default())
    }

    /// Only queues somebody waits for have a bell.
    fn ring(&self, queue: &QueueName) {
        if let Some(bell) = self.wakes.lock().unwrap_or_else(PoisonError::into_inner).get(queue) {
            bell.notify_one();
        }
    }
}

/// A task as its next state depends on it.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    pub(super) view: LifecycleView,
    pub(super) epoch: i64,
    pub(super) queue: i64,
    pub(super) holder: i64,
    pub(super) created_at: i64,
    pub(super) error: Option<String>,
    /// Whether it has an ordering key.
    pub(super) ordered: bool,
}

impl Standing {
    /// Of a leased task. What it failed with before is not looked up.
    pub(super) fn of(held: &Held) -> Self {
        let Held { view, epoch, queue, instance: holder, created_at, ordered, .. } = *held;
        Self { view, epoch, queue, holder, created_at, error: None, ordered }
    }

    fn read(row: &rusqlite::Row<'_>) -> Result<Self, Fault> {
        Ok(Self {
            view: LifecycleView {
                state: state(row.get(0)?)?,
                attempt: row.get(2)?,
                max_attempts: row.get(3)?,
                crash_count: row.get(4)?,
            },
            epoch: row.get(1)?,
            queue: row.get(5)?,
            holder: row.get(6)?,
            created_at: row.get(7)?,
            error: row.get(8)?,
            ordered: row.get(9)?,
        })
    }
}

/// Where tasks of one route go.
#[derive(Debug, Clone, Copy)]
pub(super) struct RouteIds {
    pub(super) route: i64,
    pub(super) queue: i64,
}

/// The only one who changes the file.
pub(super) struct Writer<'c> {
    pub(super) conn: &'c Connection,
    pub(super) sql: Statements<'c>,
    pub(super) batches: Batches<'c>,
    pub(super) books: Books,
    pub(super) policies: Policies,
    pub(super) loads: Loads,
    /// By queue; only of queues with lanes.
    pub(super) turns: HashMap<i64, Turn>,
    pub(super) shared: Arc<Shared>,
    pub(super) limits: StoreLimits,
    pub(super) retention: Retention,
    /// How much of due time one degree of priority is worth, in milliseconds.
    pub(super) priority_step: i64,
    pub(super) app: AppGuard,
    pub(super) app_write_deadline: Duration,
    pub(super) salt: u64,
    /// The store's time of this transaction.
    pub(super) now: i64,
    pub(super) hold_back: HoldBack,
    /// Where the walks that trim history go on, by [`crate::retention::Kept`].
    pub(super) walks: [i64; 2],
    /// History keeps nothing but dead tasks up to this row.
    pub(super) trim_floor: i64,
    /// Audit entries written since they were counted; the first sweep counts them.
    pub(super) audited: u64,
    clock: Arc<dyn Clock>,
    /// Whether commits are to wait for the disk at all, and whether the next one would.
    durable: bool,
    waits_for_disk: bool,
    /// No other process changes the file.
    sole_owner: bool,
    last_row: i64,
    end_row: i64,
    last_route: Option<(Arc<Route>, RouteIds)>,
    last_node: Option<(NodePath, i64)>,
    #[cfg(feature = "faults")]
    break_epoch_check: bool,
}

impl<'c> Writer<'c> {
    pub(super) fn new(
        conn: &'c Connection,
        options: &SqliteOptions,
        shared: Arc<Shared>,
        app: AppGuard,
    ) -> Result<Self, Fault> {
        let salt: i64 =
            conn.query_row("SELECT value FROM rt_meta WHERE key = 'salt'", [], |row| row.get(0))?;
        Ok(Self {
            sql: Statements::prepare(conn)?,
            batches: Batches::prepare(conn)?,
            conn,
            books: Books::default(),
            policies: Policies::load(conn)?,
            loads: Loads::default(),
            turns: HashMap::new(),
            shared,
            limits: options.limits,
            retention: options.retention,
            priority_step: content::whole_step(options.priority_step),
            app,
            app_write_deadline: options.app_write_deadline,
            salt: salt.unsigned_abs(),
            now: millis(options.clock.now()),
            hold_back: HoldBack::default(),
            walks: [0; 2],
            trim_floor: 0,
            audited: u64::MAX,
            clock: Arc::clone(&options.clock),
            durable: options.synchronous == Synchronous::Full,
            waits_for_disk: true,
            #[cfg(not(feature = "faults"))]
            sole_owner: options.owner_lock,
            #[cfg(feature = "faults")]
            sole_owner: options.owner_lock && !options.break_epoch_check,
            last_row: 0,
            end_row: 0,
            last_route: None,
            last_node: None,
            #[cfg(feature = "faults")]
            break_epoch_check: options.break_epoch_check,
        })
    }

    /// Begins a transaction whose commit does, or does not, wait for the disk.
    pub(super) fn begin(&mut self, needs_disk: bool) -> Result<(), Fault> {
        self.now = millis(self.clock.now());
        if self.durable && self.waits_for_disk != needs_disk {
            let level = if needs_disk { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
            self.conn.execute_batch(level)?;
            self.waits_for_disk = needs_disk;
        }
        self.sql.begin.raw_execute()?;
        if !self.sole_owner {
            // Others may have given names since.
            let names = Names::load(self.conn)?;
            self.shared.change_names(|known| *known = names);
            self.policies = Policies::load(self.conn)?;
            self.trim_floor = 0;
        }
        Ok(())
    }

    /// Commits; then, and only then, the books count, queues are woken and figures are published.
    pub(super) fn commit(&mut self) -> Result<(), Fault> {
        for (queue, state, by) in self.books.finished_changes() {
            self.sql.count_finished.execute((queue, state.number(), by))?;
        }
        self.sql.commit.raw_execute()?;
        self.policies.commit();
        self.publish();
        Ok(())
    }

    /// Makes known what the books say.
    pub(super) fn publish(&mut self) {
        let changed = self.books.commit();
        let names = self.shared.names();
        if !changed.is_empty() {
            let mut published = self.shared.counts.write().unwrap_or_else(PoisonError::into_inner);
            for (queue, counts) in changed {
                if let Ok(name) = names.queue(queue) {
                    match published.get_mut(name) {
                        Some(known) => *known = counts,
                        None => drop(published.insert(name.clone(), counts)),
                    }
                }
            }
        }
        let loads = self.loads.commit();
        if !loads.is_empty() {
            let mut published = self.shared.shed.write().unwrap_or_else(PoisonError::into_inner);
            published.extend(
                loads.into_iter().filter_map(|(queue, view)| Some((names.queue(queue).ok()?.clone(), view))),
            );
        }
        for queue in self.books.take_woken() {
            if let Ok(name) = names.queue(queue) {
                self.shared.ring(name);
            }
        }
        if std::mem::take(&mut self.books.due_changed) {
            self.shared.due.notify_one();
        }
    }

    /// Nothing since `begin` happened.
    pub(super) fn roll_back(&mut self) {
        if !self.conn.is_autocommit()
            && let Err(error) = self.sql.rollback.raw_execute()
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
        self.policies.roll_back(self.conn);
        self.loads.roll_back();
        self.undo_books(0);
        self.books.take_woken();
        self.books.due_changed = false;
        // The reservation may have been undone as well, and what was forgotten is there again.
        self.end_row = 0;
        (self.walks, self.trim_floor) = ([0; 2], 0);
    }

    fn undo_books(&mut self, mark: usize) {
        let (last_route, last_node, shared) = (&mut self.last_route, &mut self.last_node, &self.shared);
        self.books.undo_to(mark, |kind, id| {
            (*last_route, *last_node) = (None, None);
            shared.change_names(|names| names.forget(kind, id));
        });
    }

    /// Runs part of a member's work; when it says no, that part is undone and the rest of the group stays.
    pub(super) fn all_or_nothing<T, E>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<Result<T, E>, Fault>,
    ) -> Result<Result<T, E>, Fault> {
        let mark = self.books.mark();
        self.sql.savepoint.raw_execute()?;
        let result = work(self)?;
        if result.is_err() {
            self.sql.undo.raw_execute()?;
            self.undo_books(mark);
            // A chunk that was reserved inside is no longer reserved.
            self.end_row = 0;
        }
        self.sql.release.raw_execute()?;
        Ok(result)
    }

    pub(super) fn next_row(&mut self) -> Result<i64, Fault> {
        while self.last_row + 1 >= self.end_row {
            let end: i64 = self.sql.reserve_rows.query_row([ROW_CHUNK], |row| row.get(0))?;
            if end.unsigned_abs() > TaskId::MAX_ROW {
                let detail = "every row number was used".into();
                return Err(Fault(StoreError::Unavailable { detail }));
            }
            self.end_row = end;
            // What was given before a reservation was undone is not given again.
            self.last_row = self.last_row.max(end - ROW_CHUNK - 1);
        }
        self.last_row += 1;
        Ok(self.last_row)
    }

    pub(super) fn id(&self, row: i64, created_at: i64) -> Result<TaskId, Fault> {
        Ok(TaskId::new(moment(created_at)?, self.salt, row.unsigned_abs()))
    }

    pub(super) fn timestamp(&self) -> Result<Timestamp, Fault> {
        moment(self.now)
    }

    /// Where a live task stands; `None` for ids of finished, forgotten and foreign tasks.
    pub(super) fn standing(&mut self, id: TaskId) -> Result<Option<Standing>, Fault> {
        self.found(id, false)
    }

    /// Where a finished task stands.
    pub(super) fn finished_standing(&mut self, id: TaskId) -> Result<Option<Standing>, Fault> {
        self.found(id, true)
    }

    fn found(&mut self, id: TaskId, finished: bool) -> Result<Option<Standing>, Fault> {
        if id.salt() != self.salt {
            return Ok(None);
        }
        let statement = if finished { &mut self.sql.finished_standing } else { &mut self.sql.standing };
        let mut rows = statement.query([row_of(id)])?;
        let standing = rows.next()?.map(Standing::read).transpose()?;
        Ok(standing.filter(|standing| standing.created_at.unsigned_abs() == id.created_ms()))
    }

    /// Where a task stands, by its row.
    pub(super) fn standing_of_row(&mut self, row: i64) -> Result<Option<Standing>, Fault> {
        let mut rows = self.sql.standing.query([row])?;
        rows.next()?.map(Standing::read).transpose()
    }

    /// The lease that this process granted of a task, if any. Nobody else moves a leased task: what the books say is what the file says.
    pub(super) fn booked(&self, task: TaskId) -> Option<&Held> {
        if self.sole_owner && task.salt() == self.salt { self.books.held(row_of(task)) } else { None }
    }

    /// The task of a lease, if the lease is the task's live one.
    pub(super) fn leased(&mut self, lease: Lease) -> Result<Option<Standing>, Fault> {
        if let Some(held) = self.booked(lease.task) {
            return Ok(held.is_for(lease).then(|| Standing::of(held)));
        }
        let standing = self.standing(lease.task)?;
        Ok(standing.filter(|standing| {
            standing.view.state == TaskState::Leased && self.epoch_fits(standing.epoch, epoch_of(lease))
        }))
    }

    #[cfg(not(feature = "faults"))]
    #[expect(clippy::unused_self, reason = "the build for fault tests asks the writer")]
    fn epoch_fits(&self, task: i64, lease: i64) -> bool {
        task == lease
    }

    #[cfg(feature = "faults")]
    fn epoch_fits(&self, task: i64, lease: i64) -> bool {
        self.break_epoch_check || task == lease
    }

    pub(super) fn route(&mut self, route: &Arc<Route>) -> Result<RouteIds, Fault> {
        if let Some((last, ids)) = &self.last_route
            && (Arc::ptr_eq(last, route) || last == route)
        {
            return Ok(*ids);
        }
        let queue = self.queue(&route.queue)?;
        let known = self.shared.names().route_id(route);
        let route_id = match known {
            Some(id) => id,
            None => {
                let id = self.shared.change_names(|names| names.intern_route(self.conn, route, queue))?;
                self.books.named(NameKind::Route, id);
                id
            }
        };
        let ids = RouteIds { route: route_id, queue };
        self.last_route = Some((Arc::clone(route), ids));
        Ok(ids)
    }

    pub(super) fn queue(&mut self, queue: &QueueName) -> Result<i64, Fault> {
        if let Some(id) = self.shared.names().queue_id(queue) {
            return Ok(id);
        }
        let id = self.shared.change_names(|names| names.intern_queue(self.conn, queue))?;
        self.books.named(NameKind::Queue, id);
        Ok(id)
    }

    pub(super) fn node(&mut self, node: &NodePath) -> Result<i64, Fault> {
        if let Some((last, id)) = &self.last_node
            && last == node
        {
            return Ok(*id);
        }
        let known = self.shared.names().node_id(node);
        let id = match known {
            Some(id) => id,
            None => {
                let id = self.shared.change_names(|names| names.intern_node(self.conn, node))?;
                self.books.named(NameKind::Node, id);
                id
            }
        };
        self.last_node = Some((node.clone(), id));
        Ok(id)
    }

    pub(super) fn instance(&mut self, instance: &InstanceName) -> Result<i64, Fault> {
        if let Some(id) = self.shared.names().instance_id(instance) {
            return Ok(id);
        }
        let id = self.shared.change_names(|names| names.intern_instance(self.conn, instance))?;
        self.books.named(NameKind::Instance, id);
        Ok(id)
    }
}

/// The row a task id carries.
pub(super) fn row_of(id: TaskId) -> i64 {
    i64::try_from(id.row()).unwrap_or(i64::MAX)
}

/// A lease's epoch as the file keeps it.
pub(super) fn epoch_of(lease: Lease) -> i64 {
    i64::try_from(lease.epoch.0).unwrap_or(i64::MAX)
}

//! What workers and operators say of queues: stored with the queue, and held by the writer so that nobody looks it up.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_trait::async_trait;
use runtime_core::name::{FlowKey, QueueName, Scope};
use runtime_core::store::{OrderingHead, PausedScope, QueueFlow, QueuePolicy, StoreError};
use runtime_core::task::NewTask;
use rusqlite::Connection;

use super::SqliteStore;
use super::columns::json;
use super::fault::Fault;
use super::writer::Writer;

/// Most queues have it.
static DEFAULT: LazyLock<QueuePolicy> = LazyLock::new(QueuePolicy::default);

/// The policies of one file, by queue number.
#[derive(Debug, Default)]
pub(super) struct Policies {
    by_queue: HashMap<i64, QueuePolicy>,
    /// Since the last commit.
    changed: bool,
}

impl Policies {
    pub(super) fn load(conn: &Connection) -> Result<Self, Fault> {
        let mut by_queue = HashMap::new();
        let mut statement =
            conn.prepare_cached("SELECT id, policy FROM rt_queue WHERE policy IS NOT NULL")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            by_queue.insert(row.get(0)?, parse(&row.get::<_, String>(1)?)?);
        }
        Ok(Self { by_queue, changed: false })
    }

    pub(super) fn of(&self, queue: i64) -> &QueuePolicy {
        // Hardly anybody sets one: then there is nothing to look up.
        if self.by_queue.is_empty() { &DEFAULT } else { self.by_queue.get(&queue).unwrap_or(&DEFAULT) }
    }

    fn set(&mut self, queue: i64, policy: QueuePolicy) {
        self.changed = true;
        self.by_queue.insert(queue, policy);
    }

    pub(super) fn commit(&mut self) {
        self.changed = false;
    }

    /// What was set since the last commit did not happen.
    pub(super) fn roll_back(&mut self, conn: &Connection) {
        if std::mem::take(&mut self.changed) {
            match Self::load(conn) {
                Ok(stored) => *self = stored,
                Err(fault) => tracing::error!(error = %fault.0, "the policies of queues cannot be read back"),
            }
        }
    }
}

fn parse(text: &str) -> Result<QueuePolicy, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::corrupt(format!("the policy of a queue: {error}")))
}

impl Writer<'_> {
    /// The lane a new task belongs to, where its queue has any.
    pub(super) fn lane_of(&self, queue: i64, task: &NewTask) -> Option<FlowKey> {
        let by = self.policies.of(queue).lanes.as_ref()?;
        Some(by.lane(task.tenant.as_ref(), task.scope.as_ref(), &task.payload))
    }

    pub(super) fn set_queue_policy(
        &mut self,
        (queue, policy): &(QueueName, QueuePolicy),
    ) -> Result<(), Fault> {
        let queue = self.queue(queue)?;
        let before = self.policies.of(queue).clone();
        if before == *policy {
            return Ok(());
        }
        let text = (*policy != *DEFAULT).then(|| json(policy)).transpose()?;
        self.conn.prepare_cached("UPDATE rt_queue SET policy = ?2 WHERE id = ?1")?.execute((queue, text))?;
        self.policies.set(queue, policy.clone());
        if before.dead_head_blocks && !policy.dead_head_blocks {
            self.unblock_all(queue)?;
        }
        if before.lanes != policy.lanes {
            self.lane_anew(queue, policy.lanes.as_ref())?;
        }
        self.books.wake(queue);
        Ok(())
    }
}

#[async_trait]
impl QueueFlow for SqliteStore {
    async fn set_queue_policy(&self, queue: QueueName, policy: QueuePolicy) -> Result<(), StoreError> {
        self.write((queue, policy), |writer, asked| writer.set_queue_policy(asked)).await
    }

    async fn queue_policies(&self) -> Result<Vec<(QueueName, QueuePolicy)>, StoreError> {
        self.0.readers.read(|reader, _| reader.queue_policies()).await
    }

    async fn ordering_heads(&self, queue: QueueName) -> Result<Vec<OrderingHead>, StoreError> {
        self.0.readers.read(move |reader, look| reader.ordering_heads(look, &queue)).await
    }

    async fn pause_scope(
        &self,
        queue: QueueName,
        scope: Scope,
        paused: bool,
        reason: String,
    ) -> Result<(), StoreError> {
        self.write((queue, scope, paused, reason), |writer, asked| writer.pause_scope(asked)).await
    }

    async fn paused_scopes(&self) -> Result<Vec<PausedScope>, StoreError> {
        self.0.readers.read(|reader, _| reader.paused_scopes()).await
    }
}

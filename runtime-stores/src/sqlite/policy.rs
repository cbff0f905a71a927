//! What workers and operators say of queues: stored with the queue, and held by the writer so that nobody looks it up.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_trait::async_trait;
use runtime_core::flow::ShedPolicy;
use runtime_core::name::{FlowKey, QueueName, Scope};
use runtime_core::store::{
    EnqueueError, OverriddenQueue, PausedScope, QueueChange, QueueFlow, QueueLook, QueuePolicy, StoreError,
};
use runtime_core::task::NewTask;
use rusqlite::Connection;

use super::SqliteStore;
use super::columns::json;
use super::fault::Fault;
use super::writer::Writer;
use crate::rules::{Rules, Said};

/// Most queues have it.
static DEFAULT: LazyLock<QueuePolicy> = LazyLock::new(QueuePolicy::default);

/// The policies of one file, by queue number, with what operators say in their place.
#[derive(Debug, Default)]
pub(super) struct Policies {
    by_queue: HashMap<i64, Rules>,
    /// Since the last commit.
    changed: bool,
}

impl Policies {
    pub(super) fn load(conn: &Connection) -> Result<Self, Fault> {
        let mut by_queue = HashMap::new();
        let mut statement = conn.prepare_cached(
            "SELECT id, policy, said FROM rt_queue WHERE policy IS NOT NULL OR said IS NOT NULL",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let declared =
                row.get::<_, Option<String>>(1)?.map_or(Ok(QueuePolicy::default()), |text| parse(&text))?;
            let said = row.get::<_, Option<String>>(2)?.map(|text| parse_said(&text)).transpose()?;
            by_queue.insert(row.get(0)?, Rules::new(declared, said));
        }
        Ok(Self { by_queue, changed: false })
    }

    /// What leases of a queue go by.
    pub(super) fn of(&self, queue: i64) -> &QueuePolicy {
        self.rules(queue).map_or(&DEFAULT, Rules::policy)
    }

    /// Queues that shed load.
    pub(super) fn that_shed(&self) -> Vec<(i64, ShedPolicy)> {
        self.by_queue.iter().filter_map(|(queue, rules)| Some((*queue, rules.policy().shed?))).collect()
    }

    /// Refuses a task that is heavier than its lane ever takes.
    pub(super) fn check(&self, queue: i64, task: &NewTask) -> Result<(), EnqueueError> {
        self.rules(queue).map_or(Ok(()), |rules| rules.check(task))
    }

    fn rules(&self, queue: i64) -> Option<&Rules> {
        // Hardly anybody sets one: then there is nothing to look up.
        if self.by_queue.is_empty() { None } else { self.by_queue.get(&queue) }
    }

    fn change(&mut self, queue: i64) -> &mut Rules {
        self.changed = true;
        self.by_queue.entry(queue).or_default()
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

/// What is declared, as it is stored.
pub(super) fn parse(text: &str) -> Result<QueuePolicy, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::corrupt(format!("the policy of a queue: {error}")))
}

/// What operators say, as it is stored.
pub(super) fn parse_said(text: &str) -> Result<Said, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::corrupt(format!("what is said of a queue: {error}")))
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
        let before = self.policies.rules(queue).map(Rules::declared).unwrap_or(&DEFAULT).clone();
        if before == *policy {
            return Ok(());
        }
        let text = (*policy != *DEFAULT).then(|| json(policy)).transpose()?;
        self.conn.prepare_cached("UPDATE rt_queue SET policy = ?2 WHERE id = ?1")?.execute((queue, text))?;
        self.policies.change(queue).declare(policy.clone());
        if before.dead_head_blocks && !policy.dead_head_blocks {
            self.unblock_all(queue)?;
        }
        if before.lanes != policy.lanes {
            self.lane_anew(queue, policy.lanes.as_ref())?;
        }
        if before.shed != policy.shed {
            self.loads.begin_anew(queue);
        }
        self.books.wake(queue);
        Ok(())
    }

    /// Lanes stay as they are: only the code says what makes them.
    fn override_queue(
        &mut self,
        (name, change, reason): &(QueueName, QueueChange, String),
    ) -> Result<Option<OverriddenQueue>, Fault> {
        let (queue, now) = (self.queue(name)?, self.timestamp()?);
        let said = self.policies.change(queue).change(change, reason, now).cloned();
        let text = said.as_ref().map(json).transpose()?;
        self.conn.prepare_cached("UPDATE rt_queue SET said = ?2 WHERE id = ?1")?.execute((queue, text))?;
        self.books.wake(queue);
        Ok(said.map(|said| said.of(name)))
    }
}

#[async_trait]
impl QueueFlow for SqliteStore {
    async fn set_queue_policy(&self, queue: QueueName, policy: QueuePolicy) -> Result<(), StoreError> {
        self.write((queue, policy), |writer, asked| writer.set_queue_policy(asked)).await
    }

    async fn override_queue(
        &self,
        queue: QueueName,
        change: QueueChange,
        reason: String,
    ) -> Result<Option<OverriddenQueue>, StoreError> {
        self.command((queue, change, reason), |writer, asked| writer.override_queue(asked)).await
    }

    async fn overridden_queues(&self) -> Result<Vec<OverriddenQueue>, StoreError> {
        self.0.readers.read(|reader, _| reader.overridden_queues()).await
    }

    async fn look_at_queue(&self, queue: QueueName, heads_at_most: usize) -> Result<QueueLook, StoreError> {
        let counted = self.counted(|known| *known == queue);
        let lookers = &self.0.lookers;
        lookers.read(move |reader, look| reader.look_at_queue(look, &queue, counted, heads_at_most)).await
    }

    async fn pause_scope(
        &self,
        queue: QueueName,
        scope: Scope,
        paused: bool,
        reason: String,
    ) -> Result<bool, StoreError> {
        self.command((queue, scope, paused, reason), |writer, asked| writer.pause_scope(asked)).await
    }

    async fn pause_delay(&self, queue: QueueName, paused: bool) -> Result<(), StoreError> {
        self.write((queue, paused), |writer, asked| writer.pause_delay(asked)).await
    }

    async fn paused_scopes(&self) -> Result<Vec<PausedScope>, StoreError> {
        self.0.readers.read(|reader, _| reader.paused_scopes()).await
    }
}

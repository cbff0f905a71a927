//! Looks at queues, and at what holds tasks: heads of ordering keys, paused scopes, what is said of limits.

use runtime_core::name::{OrderingKey, QueueName};
use runtime_core::store::{
    OrderingHead, OrderingHeads, OverriddenQueue, PausedScope, QueueLook, QueuePolicy, QueueStats,
};
use runtime_core::task::{Held, TaskId, TaskState};
use rusqlite::types::FromSql;
use rusqlite::{OptionalExtension, Row};

use super::super::budget::Budget;
use super::super::columns::{moment, state};
use super::super::fault::Fault;
use super::super::line::{BEHIND, PAUSED};
use super::super::policy::{parse, parse_said};
use super::looking::PAGE_LOOKS_AT;
use super::{Look, Reader};

/// The first key behind this one, `?2`, of which a task is live.
const NEXT_KEY: &str = "SELECT ordering_key FROM rt_task INDEXED BY rt_ordering \
    WHERE queue = ?1 AND ordering_key > ?2 ORDER BY ordering_key LIMIT 1";
/// Whose turn it is: a dead task that blocks its key, or the one live task that nobody is in front of.
const DEAD_HEAD: &str = "SELECT rt_history.row, created_at, state, 0 FROM rt_blocker JOIN rt_history USING (row) \
    WHERE rt_blocker.queue = ?1 AND rt_blocker.ordering_key = ?2";
const LIVE_HEAD: &str = "SELECT row, created_at, state, held FROM rt_task INDEXED BY rt_ordering \
    WHERE queue = ?1 AND ordering_key = ?2 AND held & 1 = 0 ORDER BY row LIMIT 1";
/// How many wait behind the head `?3`.
const BEHIND_HEAD: &str = "SELECT count(*) FROM rt_task INDEXED BY rt_ordering \
    WHERE queue = ?1 AND ordering_key = ?2 AND row <> ?3";

impl Reader {
    /// What `held` means for a task of this queue and key.
    pub(super) fn held(
        &self,
        look: &Look<'_>,
        held: u8,
        queue: i64,
        key: Option<&OrderingKey>,
    ) -> Result<Option<Held>, Fault> {
        if held == 0 {
            return Ok(None);
        }
        let behind = match key {
            Some(key) if held & BEHIND != 0 => self.head(look, queue, key)?,
            _ => None,
        };
        Ok(Some(Held { behind, scope_paused: held & PAUSED != 0 }))
    }

    fn head(&self, look: &Look<'_>, queue: i64, key: &OrderingKey) -> Result<Option<TaskId>, Fault> {
        for sql in [DEAD_HEAD, LIVE_HEAD] {
            let mut statement = self.conn.prepare_cached(sql)?;
            let found = statement
                .query_row((queue, key.as_str()), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
            if let Some((row, created_at)) = found.optional()? {
                return Ok(Some(TaskId::new(moment(created_at)?, look.salt, row.unsigned_abs())));
            }
        }
        Ok(None)
    }

    /// Goes from key to key, so that it costs nothing how many wait behind a head that does its part: one that is ready and not held, or
    /// leased. Nobody needs to hear of those.
    fn ordering_heads(&self, look: &Look<'_>, queue: i64, at_most: usize) -> Result<OrderingHeads, Fault> {
        let mut found = OrderingHeads::default();
        let (mut next, mut behind) =
            (self.conn.prepare_cached(NEXT_KEY)?, self.conn.prepare_cached(BEHIND_HEAD)?);
        let mut heads = [self.conn.prepare_cached(DEAD_HEAD)?, self.conn.prepare_cached(LIVE_HEAD)?];
        let mut budget = Budget::of(PAGE_LOOKS_AT);
        let mut key = String::new();
        loop {
            if !budget.take() {
                found.whole = false;
                return Ok(found);
            }
            let Some(following) = next.query_row((queue, &key), |row| row.get(0)).optional()? else {
                return Ok(found);
            };
            key = following;
            let mut head = None;
            for statement in &mut heads {
                let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
                head = statement.query_row((queue, &key), read).optional()?;
                if head.is_some() {
                    break;
                }
            }
            let Some((row, created_at, of_state, held)) = head else { continue };
            let (of_state, held): (TaskState, u8) = (state(of_state)?, held);
            if of_state == TaskState::Leased || (of_state == TaskState::Ready && held == 0) {
                continue;
            }
            let waiting: i64 = behind.query_row((queue, &key, row), |row| row.get(0))?;
            let waiting = waiting.unsigned_abs();
            budget.counted(waiting);
            if waiting == 0 {
                continue;
            }
            if found.heads.len() == at_most {
                found.whole = false;
                return Ok(found);
            }
            let parsed = key.parse().map_err(|error| Fault::corrupt(format!("{error}")))?;
            let task = TaskId::new(moment(created_at)?, look.salt, row.unsigned_abs());
            found.heads.push(OrderingHead { key: parsed, task, state: of_state, waiting });
        }
    }

    pub(in super::super) fn paused_scopes(&self) -> Result<Vec<PausedScope>, Fault> {
        let sql = "SELECT rt_queue.name, scope, reason, since FROM rt_paused JOIN rt_queue ON rt_queue.id = rt_paused.queue \
            ORDER BY rt_queue.name, scope";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut paused = Vec::new();
        while let Some(row) = rows.next()? {
            paused.push(PausedScope {
                queue: text(row, 0)?,
                scope: text(row, 1)?,
                reason: row.get(2)?,
                since: moment(row.get(3)?)?,
            });
        }
        Ok(paused)
    }

    /// All of one queue in one snapshot, but for what the writer counts.
    pub(in super::super) fn look_at_queue(
        &self,
        look: &Look<'_>,
        queue: &QueueName,
        counted: Vec<QueueStats>,
        heads_at_most: usize,
    ) -> Result<QueueLook, Fault> {
        let _snapshot = self.conn.unchecked_transaction()?;
        let mut seen = QueueLook {
            stats: self.queue_stats(look, counted)?.pop(),
            policy: QueuePolicy::default(),
            overridden: None,
            paused_scopes: Vec::new(),
            heads: OrderingHeads::default(),
        };
        let Some(id) = look.names.queue_id(queue) else { return Ok(seen) };
        let mut statement = self.conn.prepare_cached("SELECT policy, said FROM rt_queue WHERE id = ?1")?;
        let stored = statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (declared, said): (Option<String>, Option<String>) = stored.unwrap_or_default();
        if let Some(declared) = declared {
            seen.policy = parse(&declared)?;
        }
        seen.overridden = said.map(|said| Ok::<_, Fault>(parse_said(&said)?.of(queue))).transpose()?;
        seen.paused_scopes =
            self.paused_scopes()?.into_iter().filter(|paused| paused.queue == *queue).collect();
        seen.heads = self.ordering_heads(look, id, heads_at_most)?;
        Ok(seen)
    }

    pub(in super::super) fn overridden_queues(&self) -> Result<Vec<OverriddenQueue>, Fault> {
        let sql = "SELECT name, said FROM rt_queue WHERE said IS NOT NULL ORDER BY name";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([])?;
        let mut queues = Vec::new();
        while let Some(row) = rows.next()? {
            queues.push(parse_said(&row.get::<_, String>(1)?)?.of(&text(row, 0)?));
        }
        Ok(queues)
    }
}

fn text<T: std::str::FromStr<Err: std::fmt::Display>>(row: &Row<'_>, index: usize) -> Result<T, Fault> {
    let text =
        String::column_result(row.get_ref(index)?).map_err(|error| Fault::corrupt(error.to_string()))?;
    text.parse().map_err(|error: T::Err| Fault::corrupt(error.to_string()))
}

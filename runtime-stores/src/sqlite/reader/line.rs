//! Looks at queues, and at what holds tasks: heads of ordering keys, paused scopes, what is said of limits.

use runtime_core::name::{OrderingKey, QueueName};
use runtime_core::store::{OrderingHead, OverriddenQueue, PausedScope, QueueLook, QueuePolicy, QueueStats};
use runtime_core::task::{Held, TaskId};
use rusqlite::types::FromSql;
use rusqlite::{OptionalExtension, Row};

use super::super::columns::{moment, state};
use super::super::fault::Fault;
use super::super::line::{BEHIND, PAUSED};
use super::super::policy::{parse, parse_said};
use super::{Look, Reader};

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
        let live = "SELECT row, created_at FROM rt_task INDEXED BY rt_ordering \
            WHERE queue = ?1 AND ordering_key = ?2 AND held & 1 = 0 ORDER BY row LIMIT 1";
        let dead = "SELECT rt_history.row, created_at FROM rt_blocker JOIN rt_history USING (row) \
            WHERE rt_blocker.queue = ?1 AND rt_blocker.ordering_key = ?2";
        for sql in [live, dead] {
            let mut statement = self.conn.prepare_cached(sql)?;
            let found = statement
                .query_row((queue, key.as_str()), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
            if let Some((row, created_at)) = found.optional()? {
                return Ok(Some(TaskId::new(moment(created_at)?, look.salt, row.unsigned_abs())));
            }
        }
        Ok(None)
    }

    /// A head that is ready and not held, or leased, does its part: nobody needs to hear of it.
    fn ordering_heads(&self, look: &Look<'_>, queue: i64) -> Result<Vec<OrderingHead>, Fault> {
        let sql = "SELECT head.ordering_key, head.row, head.created_at, head.state, \
                (SELECT count(*) FROM rt_task AS other INDEXED BY rt_ordering \
                 WHERE other.queue = ?1 AND other.ordering_key = head.ordering_key AND other.row <> head.row) AS waiting \
            FROM rt_task AS head INDEXED BY rt_ordering \
            WHERE head.queue = ?1 AND head.ordering_key IS NOT NULL AND head.held & 1 = 0 \
                AND (head.state IN (0, 3) OR (head.state = 1 AND head.held <> 0)) AND waiting > 0 \
            UNION ALL \
            SELECT ordering_key, row, (SELECT created_at FROM rt_history WHERE rt_history.row = rt_blocker.row), 5, \
                (SELECT count(*) FROM rt_task INDEXED BY rt_ordering \
                 WHERE rt_task.queue = ?1 AND rt_task.ordering_key = rt_blocker.ordering_key) AS waiting \
            FROM rt_blocker WHERE queue = ?1 AND waiting > 0 \
            ORDER BY 1";
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut rows = statement.query([queue])?;
        let mut heads = Vec::new();
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(1)?;
            heads.push(OrderingHead {
                key: text(row, 0)?,
                task: TaskId::new(moment(row.get(2)?)?, look.salt, number.unsigned_abs()),
                state: state(row.get(3)?)?,
                waiting: row.get::<_, i64>(4)?.unsigned_abs(),
            });
        }
        Ok(heads)
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
    ) -> Result<QueueLook, Fault> {
        let _snapshot = self.conn.unchecked_transaction()?;
        let mut seen = QueueLook {
            stats: self.queue_stats(look, counted)?.pop(),
            policy: QueuePolicy::default(),
            overridden: None,
            paused_scopes: Vec::new(),
            heads: Vec::new(),
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
        seen.heads = self.ordering_heads(look, id)?;
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

//! Every statement of the hot path that writes one row, or reads, prepared once at open. Those that write many are [`super::batches`].

use rusqlite::{Connection, Statement};

use super::columns::shared_columns;
use super::fault::Fault;

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        /// Prepared statements of the writer's connection.
        pub(super) struct Statements<'c> {
            $($(#[$doc])* pub(super) $name: Statement<'c>,)*
        }

        impl<'c> Statements<'c> {
            #[cfg(test)]
            const ALL: &'static [(&'static str, &'static str)] = &[$((stringify!($name), $sql)),*];

            pub(super) fn prepare(conn: &'c Connection) -> Result<Self, Fault> {
                Ok(Self { $($name: conn.prepare($sql)?,)* })
            }
        }
    };
}

statements! {
    begin = "BEGIN IMMEDIATE";
    commit = "COMMIT";
    rollback = "ROLLBACK";
    savepoint = "SAVEPOINT member";
    release = "RELEASE member";
    undo = "ROLLBACK TO member";

    reserve_rows = "UPDATE rt_meta SET value = value + ?1 WHERE key = 'next_row' RETURNING value";

    insert_full = "INSERT INTO rt_task (row, state, queue, priority, at, max_attempts, route, schema_version, created_at, payload, rank, \
        run_at, deadline, tenant, scope, idempotency_key, trace, correlation_id, causation_id, ordering_key, held, lane, weight) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23)";

    find_key = "SELECT content, row, created_at, state, expires_at, keep_until FROM rt_key WHERE hash = ?1";
    /// What stood under the key before no longer does.
    insert_key = "INSERT OR REPLACE INTO rt_key (hash, content, row, created_at, keep_until) VALUES (?1, ?2, ?3, ?4, ?5)";
    replace_key_content = "UPDATE rt_key SET content = ?2 WHERE hash = ?1";
    /// The larger of NULL and a number is NULL: an end that is not known yet stays so.
    keep_key = "UPDATE rt_key SET keep_until = ?2, expires_at = max(expires_at, ?2) WHERE hash = ?1";
    /// A task that was never leased takes what another one says.
    replace = "UPDATE rt_task SET state = ?2, priority = ?3, run_at = ?4, at = ?4, schema_version = ?5, payload = ?6, deadline = ?7, rank = ?8, lane = ?9, weight = ?10 \
        WHERE row = ?1 AND epoch = 0";

    /// In claim order. Never through another index, whatever the statistics say.
    claimable = concat!("SELECT ", shared_columns!(),
        " FROM rt_task INDEXED BY rt_ready WHERE queue = ?1 AND lane IS NULL AND state = 1 AND held = 0 ORDER BY rank, row LIMIT ?2");
    whole_task = concat!("SELECT ", shared_columns!(), ", held, lane FROM rt_task WHERE row = ?1");
    extend = "UPDATE rt_task SET at = ?3 WHERE row = ?1 AND epoch = ?2 AND state = 2";
    checkpoint = "UPDATE rt_task SET checkpoint = coalesce(?3, checkpoint), progress = coalesce(?4, progress) \
        WHERE row = ?1 AND epoch = ?2 AND state = 2";

    standing = "SELECT state, epoch, attempt, max_attempts, crash_count, queue, holder, created_at, error, \
        ordering_key IS NOT NULL FROM rt_task WHERE row = ?1";
    run_at = "SELECT coalesce(run_at, created_at) FROM rt_task WHERE row = ?1 \
        UNION ALL SELECT coalesce(run_at, created_at) FROM rt_history WHERE row = ?1";
    finished_standing = "SELECT state, epoch, attempt, max_attempts, crash_count, queue, holder, created_at, error, \
        ordering_key IS NOT NULL FROM rt_history WHERE row = ?1";
    /// ?6: how it is held. ?7: milliseconds of one degree of priority.
    revive = "INSERT INTO rt_task (row, state, queue, priority, at, epoch, attempt, max_attempts, crash_count, holder, route, \
        schema_version, created_at, payload, run_at, deadline, approved, tenant, scope, idempotency_key, trace, correlation_id, \
        causation_id, checkpoint, progress, error, ordering_key, edited, weight, held, rank) \
        SELECT row, ?2, queue, priority, ?3, epoch, ?4, max_attempts, ?5, holder, route, schema_version, created_at, payload, ?3, \
        CASE WHEN deadline > ?3 THEN deadline END, 0, tenant, scope, idempotency_key, trace, correlation_id, causation_id, checkpoint, \
        progress, error, ordering_key, edited, weight, ?6, ?3 + priority * ?7 \
        FROM rt_history WHERE row = ?1";
    finished_key = "SELECT at, idempotency_key FROM rt_history WHERE row = ?1";
    delete_finished = "DELETE FROM rt_history WHERE row = ?1";
    edit = "UPDATE rt_task SET payload = ?2, edited = 1, checkpoint = NULL, progress = NULL WHERE row = ?1";
    discard = "UPDATE rt_history SET state = ?2, at = ?3, error = ?4 WHERE row = ?1";
    /// ?5: when it is due; NULL leaves the due time as it is. ?9: milliseconds of one degree of priority.
    r#move = "UPDATE rt_task SET state = ?2, attempt = ?3, crash_count = ?4, run_at = coalesce(?5, run_at), at = ?6, \
        error = coalesce(?7, error), approved = coalesce(?8, approved), rank = coalesce(?5 + priority * ?9, rank) WHERE row = ?1";
    approve = "UPDATE rt_task SET approved = 1 WHERE row = ?1";

    insert_attempt = "INSERT OR REPLACE INTO rt_attempt (row, epoch, attempt, instance, started_at, took_us, outcome, error, trace, node) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    insert_event = "INSERT INTO rt_outbox (row, created_at, at, kind, body) VALUES (?1, ?2, ?3, ?4, ?5)";

    count_finished = "INSERT INTO rt_history_count (queue, state, tasks) VALUES (?1, ?2, max(?3, 0)) \
        ON CONFLICT (queue, state) DO UPDATE SET tasks = max(tasks + ?3, 0)";

    // Each names its index and repeats the index's own condition, without which SQLite would scan every live task.
    due = "SELECT row, queue, attempt, max_attempts, crash_count, held FROM rt_task INDEXED BY rt_waiting \
        WHERE state = 0 AND state <> 1 AND at <= ?1 ORDER BY at LIMIT ?2";
    promote = "UPDATE rt_task SET state = 1 WHERE row = ?1 AND state = 0";
    next_due = "SELECT min(at) FROM rt_task INDEXED BY rt_waiting WHERE state = 0 AND state <> 1";
    expired = "SELECT row FROM rt_task INDEXED BY rt_waiting WHERE state = 2 AND state <> 1 AND at <= ?1 ORDER BY at LIMIT ?2";
    past_deadline = "SELECT row FROM rt_task INDEXED BY rt_deadline WHERE deadline <= ?1 AND state < 2 ORDER BY deadline LIMIT ?2";
    oldest_finished = "SELECT row, at, state, queue, idempotency_key, created_at, EXISTS (SELECT 1 FROM rt_blocker WHERE rt_blocker.row = rt_history.row) \
        FROM rt_history WHERE row > ?1 ORDER BY row LIMIT ?2";
    oldest_dead = "SELECT row, at, state, queue, idempotency_key, created_at, EXISTS (SELECT 1 FROM rt_blocker WHERE rt_blocker.row = rt_history.row) \
        FROM rt_history INDEXED BY rt_history_bad WHERE state = 5 AND state <> 4 AND row > ?1 ORDER BY row LIMIT ?2";
    forget_attempts = "DELETE FROM rt_attempt WHERE row = ?1";
    forget_effects = "DELETE FROM rt_effect WHERE row = ?1";
    outlive_key = "UPDATE rt_key SET state = ?3, expires_at = max(?4, coalesce(keep_until, 0)) WHERE hash = ?1 AND row = ?2";
    forget_keys = "DELETE FROM rt_key WHERE hash IN (SELECT hash FROM rt_key WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";

    /// Whether a live task has the key, or a dead one blocks it.
    key_is_taken = "SELECT 1 FROM rt_task INDEXED BY rt_ordering WHERE queue = ?1 AND ordering_key = ?2 \
        UNION ALL SELECT 1 FROM rt_blocker WHERE queue = ?1 AND ordering_key = ?2 LIMIT 1";
    scope_is_paused = "SELECT 1 FROM rt_paused WHERE queue = ?1 AND scope = ?2";
    line = "SELECT ordering_key, held FROM rt_task WHERE row = ?1";
    finished_line = "SELECT ordering_key, scope FROM rt_history WHERE row = ?1";
    first_of_key = "SELECT row, state, held FROM rt_task INDEXED BY rt_ordering WHERE queue = ?1 AND ordering_key = ?2 ORDER BY row LIMIT 1";
    /// The next lane with ready tasks.
    next_lane = "SELECT lane FROM rt_task INDEXED BY rt_ready WHERE queue = ?1 AND lane > ?2 AND state = 1 AND held = 0 ORDER BY lane LIMIT 1";
    first_of_lane = "SELECT rank, row FROM rt_task INDEXED BY rt_ready WHERE queue = ?1 AND lane = ?2 AND state = 1 AND held = 0 \
        ORDER BY rank, row LIMIT ?3";
    /// The weight is in the row alone: for lanes that have a rate.
    first_of_lane_weighed = "SELECT rank, row, weight FROM rt_task INDEXED BY rt_ready WHERE queue = ?1 AND lane = ?2 AND state = 1 AND held = 0 \
        ORDER BY rank, row LIMIT ?3";
    set_lane = "UPDATE rt_task SET lane = ?2 WHERE row = ?1";
    find_bucket = "SELECT full_at FROM rt_bucket WHERE queue = ?1 AND lane = ?2";
    keep_bucket = "INSERT OR REPLACE INTO rt_bucket (queue, lane, full_at) VALUES (?1, ?2, ?3)";
    forget_buckets = "DELETE FROM rt_bucket WHERE full_at <= ?1";
    set_held = "UPDATE rt_task SET held = ?2 WHERE row = ?1";
    insert_blocker = "INSERT INTO rt_blocker (row, queue, ordering_key) VALUES (?1, ?2, ?3)";
    delete_blocker = "DELETE FROM rt_blocker WHERE row = ?1";
    blockers = "SELECT row, ordering_key FROM rt_blocker INDEXED BY sqlite_autoindex_rt_blocker_1 WHERE queue = ?1";
    insert_paused = "INSERT OR REPLACE INTO rt_paused (queue, scope, reason, since) VALUES (?1, ?2, ?3, ?4)";
    delete_paused = "DELETE FROM rt_paused WHERE queue = ?1 AND scope = ?2";
    hold_scope = "UPDATE rt_task INDEXED BY rt_scope SET held = held | 2 WHERE queue = ?1 AND scope = ?2";
    let_scope_go = "UPDATE rt_task INDEXED BY rt_scope SET held = held & ~2 WHERE queue = ?1 AND scope = ?2";
    suspects = "SELECT row FROM rt_task INDEXED BY rt_suspect WHERE queue = ?1 AND crash_count >= 2 AND state = 1 AND held = 0";

    find_effect = "SELECT content, result FROM rt_effect WHERE row = ?1 AND step = ?2";
    insert_effect = "INSERT INTO rt_effect (row, step, content, result) VALUES (?1, ?2, ?3, ?4) \
        ON CONFLICT (row, step) DO UPDATE SET content = excluded.content, result = excluded.result";
    withdraw_effect = "DELETE FROM rt_effect WHERE row = ?1 AND step = ?2 AND result IS NULL";
    assume_effects = "UPDATE rt_effect SET result = ?2 WHERE row = ?1 AND result IS NULL";
    withdraw_effects = "DELETE FROM rt_effect WHERE row = ?1 AND result IS NULL";
}

#[cfg(test)]
mod tests {
    use runtime_core::task::TaskState;
    use rusqlite::Connection;

    use super::super::schema::MIGRATIONS;
    use super::*;

    fn fresh() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        MIGRATIONS.iter().for_each(|sql| conn.execute_batch(sql).unwrap());
        conn
    }

    #[test]
    fn the_numbers_in_the_sql_are_those_of_the_lifecycle() {
        let numbers =
            [TaskState::Scheduled, TaskState::Ready, TaskState::Leased, TaskState::Done, TaskState::Dead]
                .map(TaskState::number);
        assert_eq!(numbers, [0, 1, 2, 4, 5], "state = 0, 1, 2, 4 and 5 in the statements and indexes");
        assert!(
            [TaskState::Scheduled, TaskState::Ready].iter().all(|state| state.number() < 2),
            "past_deadline"
        );
        let live =
            TaskState::ALL.into_iter().filter(|state| !state.is_finished()).map(TaskState::number).max();
        assert!(live < Some(TaskState::Done.number()), "live states come before finished ones");
    }

    /// How SQLite runs a statement.
    fn plan(conn: &Connection, sql: &str) -> String {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nulls = vec![rusqlite::types::Null; statement.parameter_count()];
        let steps =
            statement.query_map(rusqlite::params_from_iter(nulls), |row| row.get::<_, String>(3)).unwrap();
        steps.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn no_statement_scans_or_sorts() {
        let conn = fresh();
        for (name, sql) in Statements::ALL {
            let plan = plan(&conn, sql);
            assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{name}: {plan}");
        }
    }
}

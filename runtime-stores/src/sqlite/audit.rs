//! The audit log, and the requests that are remembered by their ids.

use std::str::FromStr;

use async_trait::async_trait;
use runtime_core::audit::{AuditEntry, AuditKind, AuditOutcome, AuditSubject};
use runtime_core::store::{
    AuditFilter, AuditLog, AuditPage, AuditTest, Begun, ContentHash, REQUEST_ID_FOR, Remembered, StoreError,
};
use rusqlite::{OptionalExtension, Row, params};

use super::SqliteStore;
use super::budget::Budget;
use super::columns::moment;
use super::conditions::one_of;
use super::expression::{Values, condition_of, text_condition, time_condition};
use super::fault::Fault;
use super::reader::{PAGE_LOOKS_AT, Reader};
use super::writer::Writer;
use crate::retention::AUDIT_KINDS;

/// Most entries, and most requests, that one step forgets.
const STEP: usize = 1_000;
const STEP_ROWS: i64 = 1_000;

/// After so many new entries they are counted again.
const COUNT_EVERY: u64 = 1_000;

#[async_trait]
impl AuditLog for SqliteStore {
    async fn begin_mutation(&self, subject: AuditSubject, content: ContentHash) -> Result<Begun, StoreError> {
        self.command((subject, content), |writer, asked| writer.begin_mutation(asked)).await
    }

    async fn end_mutation(
        &self,
        position: u64,
        outcome: AuditOutcome,
        remembered: Remembered,
    ) -> Result<(), StoreError> {
        self.command((position, outcome, remembered), |writer, asked| writer.end_mutation(asked)).await
    }

    async fn write_denial(&self, subject: AuditSubject, outcome: AuditOutcome) -> Result<u64, StoreError> {
        self.write((subject, outcome), |writer, (subject, outcome)| {
            writer.write_entry(subject, Some(outcome))
        })
        .await
    }

    async fn audit_entries(
        &self,
        filter: AuditFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, StoreError> {
        self.check_batch(limit)?;
        self.0.lookers.read(move |reader, _| reader.audit_entries(&filter, before, limit)).await
    }
}

impl Writer<'_> {
    fn begin_mutation(&mut self, (subject, content): &(AuditSubject, ContentHash)) -> Result<Begun, Fault> {
        let Some(request_id) = &subject.request_id else {
            return Ok(Begun::Written(self.write_entry(subject, None)?));
        };
        let key = (principal(subject), request_id.as_str());
        let sql =
            "SELECT content, answer FROM rt_request WHERE principal = ?1 AND request_id = ?2 AND at > ?3";
        let known: Option<(Vec<u8>, Option<Vec<u8>>)> = self
            .conn
            .prepare_cached(sql)?
            .query_row((key.0, key.1, self.oldest_request()), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match known {
            Some((known, _)) if known != content => Ok(Begun::Conflict),
            Some((_, Some(answer))) => Ok(Begun::Answered(answer)),
            Some((_, None)) => Ok(Begun::Undecided),
            None => {
                let position = self.write_entry(subject, None)?;
                let sql = "INSERT OR REPLACE INTO rt_request (principal, request_id, content, position, at) VALUES (?1, ?2, ?3, ?4, ?5)";
                let row = (key.0, key.1, content, number(position), self.now);
                self.conn.prepare_cached(sql)?.execute(row)?;
                Ok(Begun::Written(position))
            }
        }
    }

    fn end_mutation(
        &mut self,
        (position, outcome, remembered): &(u64, AuditOutcome, Remembered),
    ) -> Result<(), Fault> {
        let position = number(*position);
        let sql = "UPDATE rt_audit SET canonical = ?2, error = ?3, ended_at = ?4 WHERE position = ?1 AND ended_at IS NULL \
            RETURNING coalesce(principal, ''), request_id";
        let row = (position, &outcome.canonical, outcome.error.map(|code| code.as_str()), self.now);
        let ended: Option<(String, Option<String>)> =
            self.conn.prepare_cached(sql)?.query_row(row, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((principal, Some(request_id))) = ended else { return Ok(()) };
        match remembered {
            Remembered::Undecided => {}
            Remembered::Answer(answer) => {
                let sql = "UPDATE rt_request SET answer = ?4 WHERE principal = ?1 AND request_id = ?2 AND position = ?3";
                self.conn.prepare_cached(sql)?.execute(params![principal, request_id, position, answer])?;
            }
            Remembered::Nothing => {
                let sql = "DELETE FROM rt_request WHERE principal = ?1 AND request_id = ?2 AND position = ?3";
                self.conn.prepare_cached(sql)?.execute(params![principal, request_id, position])?;
            }
        }
        Ok(())
    }

    fn write_entry(&mut self, subject: &AuditSubject, outcome: Option<&AuditOutcome>) -> Result<u64, Fault> {
        let sql = "INSERT INTO rt_audit (at, kind, principal, token, method, resource, reason, request_id, peer, trace_id, unwritten, \
            canonical, error, ended_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
        let AuditSubject { kind, principal, token, method, resource, reason, request_id, .. } = subject;
        self.conn.prepare_cached(sql)?.execute(params![
            self.now,
            kind_number(*kind),
            principal.as_ref().map(|name| name.as_str()),
            token.as_ref().map(|id| id.as_str()),
            method,
            resource,
            reason,
            request_id.as_ref().map(|id| id.as_str()),
            subject.peer,
            subject.trace_id,
            number(subject.unwritten),
            outcome.map(|outcome| &outcome.canonical),
            outcome.and_then(|outcome| outcome.error).map(|code| code.as_str()),
            outcome.map(|_| self.now),
        ])?;
        self.audited = self.audited.saturating_add(1);
        Ok(self.conn.last_insert_rowid().unsigned_abs())
    }

    /// One step of forgetting what the log and the requests need not keep. Whether another step would find something.
    pub(super) fn trim_audit(&mut self) -> Result<bool, Fault> {
        let sql = "DELETE FROM rt_request WHERE (principal, request_id) IN \
            (SELECT principal, request_id FROM rt_request WHERE at <= ?1 LIMIT ?2)";
        let requests = self.conn.prepare_cached(sql)?.execute((self.oldest_request(), STEP_ROWS))?;

        // Entries are in the order of their time, but for a clock that jumped.
        let cutoff = self.now.saturating_sub(self.retention.keeps_audit().0);
        let sql = "DELETE FROM rt_audit WHERE position IN \
            (SELECT position FROM (SELECT position, at FROM rt_audit ORDER BY position LIMIT ?2) WHERE at <= ?1)";
        let aged = self.conn.prepare_cached(sql)?.execute((cutoff, STEP_ROWS))?;

        let mut surplus = 0;
        if self.audited >= COUNT_EVERY {
            let at_most = number(self.retention.keeps_audit().1);
            let sql = "DELETE FROM rt_audit WHERE position IN (SELECT position FROM rt_audit WHERE kind = ?1 AND position <= \
                (SELECT position FROM rt_audit WHERE kind = ?1 ORDER BY position DESC LIMIT 1 OFFSET ?2) ORDER BY position LIMIT ?3)";
            for kind in AUDIT_KINDS {
                let gone = self.conn.prepare_cached(sql)?.execute((kind_number(kind), at_most, STEP_ROWS))?;
                surplus = surplus.max(gone);
            }
            let sql = "DELETE FROM rt_request WHERE (principal, request_id) IN (SELECT principal, request_id FROM rt_request \
                WHERE at < (SELECT at FROM rt_audit WHERE kind = ?1 ORDER BY position LIMIT 1) LIMIT ?2)";
            let outlived = (kind_number(AuditKind::Mutation), STEP_ROWS);
            surplus = surplus.max(self.conn.prepare_cached(sql)?.execute(outlived)?);
            if surplus < STEP {
                self.audited = 0;
            }
        }
        Ok([requests, aged, surplus].contains(&STEP))
    }

    /// Requests of this moment or before are forgotten.
    fn oldest_request(&self) -> i64 {
        self.now.saturating_sub(i64::try_from(REQUEST_ID_FOR.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Reader {
    fn audit_entries(
        &self,
        filter: &AuditFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<AuditPage, Fault> {
        let (sql, values) = question(filter, before);
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query(values.bound())?;
        let (mut budget, mut entries, mut last) = (Budget::of(PAGE_LOOKS_AT), Vec::new(), None);
        while let Some(row) = rows.next()? {
            let fits: bool = row.get(FITS)?;
            if (fits && entries.len() == limit) || (!budget.take() && last.is_some()) {
                return Ok(AuditPage { entries, next: last });
            }
            last = Some(row.get::<_, i64>(0)?.unsigned_abs());
            if fits {
                entries.push(entry(row)?);
            }
        }
        Ok(AuditPage { entries, next: None })
    }
}

/// Where a row says whether it fits.
const FITS: usize = 15;

/// Every entry that may fit, newest first: of one principal or one kind where the filter says so, in their index.
fn question(filter: &AuditFilter, before: Option<u64>) -> (String, Values) {
    let mut values = Values::default();
    let fits = condition(filter, &mut values);
    let principals = said(filter, |test| match test {
        AuditTest::Principal(name) => Some(name.as_str().to_owned()),
        _ => None,
    });
    let kinds = said(filter, |test| match test {
        AuditTest::Kind(kind) => Some(kind_number(*kind)),
        _ => None,
    });
    let way = match (principals.as_deref(), kinds.as_deref()) {
        (Some([principal]), _) => {
            format!("INDEXED BY rt_audit_principal WHERE principal = {}", values.text(principal))
        }
        (_, Some([kind])) => format!("INDEXED BY rt_audit_kind WHERE kind = {}", values.number(*kind)),
        _ => "NOT INDEXED WHERE 1".to_owned(),
    };
    let before = values.number(before.map_or(i64::MAX, number));
    let sql = format!(
        "SELECT position, at, kind, principal, token, method, resource, reason, request_id, peer, trace_id, unwritten, canonical, \
         error, ended_at, {fits} FROM rt_audit {way} AND position < {before} ORDER BY position DESC"
    );
    (sql, values)
}

/// What every way through the filter asks for: one of these.
fn said<T: Clone>(filter: &AuditFilter, of: impl Fn(&AuditTest) -> Option<T>) -> Option<Vec<T>> {
    one_of(filter.expr.as_ref()?, &|test| of(test).map(|said| vec![said]))
}

/// What a filter selects by, as SQL.
fn condition(filter: &AuditFilter, values: &mut Values) -> String {
    let Some(expr) = &filter.expr else { return "1".to_owned() };
    condition_of(expr, &mut |test| match test {
        AuditTest::Kind(kind) => format!("kind = {}", kind_number(*kind)),
        AuditTest::Principal(name) => format!("principal IS {}", values.text(name.as_str())),
        AuditTest::Method(text) => text_condition("method", text, values),
        AuditTest::Resource(text) => text_condition("resource", text, values),
        AuditTest::RequestId(id) => format!("request_id IS {}", values.text(id.as_str())),
        AuditTest::Canonical(canonical) => format!("canonical IS {}", values.text(canonical)),
        AuditTest::At(time) => time_condition("at", *time, values),
    })
}

fn entry(row: &Row<'_>) -> Result<AuditEntry, Fault> {
    let canonical: Option<String> = row.get(12)?;
    let error = parsed(row.get(13)?)?;
    let ended_at: Option<i64> = row.get(14)?;
    let outcome = match (canonical, ended_at) {
        (Some(canonical), Some(at)) => Some((AuditOutcome { canonical, error }, moment(at)?)),
        _ => None,
    };
    Ok(AuditEntry {
        position: row.get::<_, i64>(0)?.unsigned_abs(),
        at: moment(row.get(1)?)?,
        subject: AuditSubject {
            kind: kind_of(row.get(2)?)?,
            principal: parsed(row.get(3)?)?,
            token: parsed(row.get(4)?)?,
            method: row.get(5)?,
            resource: row.get(6)?,
            reason: row.get(7)?,
            request_id: parsed(row.get(8)?)?,
            peer: row.get(9)?,
            trace_id: row.get(10)?,
            unwritten: row.get::<_, i64>(11)?.unsigned_abs(),
        },
        outcome,
    })
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(text: Option<String>) -> Result<Option<T>, Fault> {
    let wrong = |error: T::Err| Fault::corrupt(format!("an audit entry: {error}"));
    text.map(|text| text.parse().map_err(wrong)).transpose()
}

fn principal(subject: &AuditSubject) -> &str {
    subject.principal.as_ref().map_or("", |name| name.as_str())
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn kind_number(kind: AuditKind) -> i64 {
    match kind {
        AuditKind::Mutation => 1,
        AuditKind::Denial => 2,
    }
}

fn kind_of(number: i64) -> Result<AuditKind, Fault> {
    AUDIT_KINDS
        .into_iter()
        .find(|kind| kind_number(*kind) == number)
        .ok_or_else(|| Fault::corrupt(format!("no kind of audit entry {number}")))
}

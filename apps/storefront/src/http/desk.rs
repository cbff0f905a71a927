//! Takes requests: reads the form, asks the domain, and commits truth, tasks and answer together.

mod customers;
mod reservations;
mod sales;

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use runtime::core::store::{EnqueueError, Store as Rows};
use runtime::prelude::*;

use super::answer::{Answer, Refusal};
use super::numbers::Numbers;
use crate::obligations::Obligations;

/// How long an answer is kept for whoever asks again under the same key.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// The desk.
pub(crate) struct Desk {
    pub(super) rows: Arc<dyn Rows>,
    pub(super) obligations: Arc<Obligations>,
    numbers: Numbers,
}

/// A request that may come again.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The caller's name for it, if any.
    pub(crate) key: Option<String>,
    /// Hash of everything it says.
    pub(crate) content: [u8; 32],
}

impl Desk {
    pub(crate) fn new(rows: Arc<dyn Rows>, obligations: Arc<Obligations>) -> Self {
        Self { rows, obligations, numbers: Numbers::default() }
    }

    pub(super) fn rows(&self) -> &Arc<dyn Rows> {
        &self.rows
    }

    pub(super) fn now(&self) -> Timestamp {
        self.obligations.time.now()
    }

    pub(super) async fn number(&self) -> Result<u64, Refusal> {
        Ok(self.numbers.next(&self.rows).await?)
    }

    /// All or nothing: the tasks, what `write` writes, and its answer under the request's key. A known request gets its
    /// first answer and writes nothing.
    pub(super) async fn commit(
        &self,
        asked: &Asked,
        tasks: Vec<NewTask>,
        write: impl Fn(&mut dyn StoreTx) -> Result<Answer, Refusal> + Send + Sync + 'static,
    ) -> Result<Answer, Refusal> {
        // The group a write rides in may be tried again: what its last run said is what counts.
        let said: Arc<Mutex<Option<Result<Answer, Refusal>>>> = Arc::default();
        let (says, asked) = (said.clone(), asked.clone());
        let write = AppWrite::new(move |tx| {
            let result = known(tx, &asked).and_then(|()| write(tx)).and_then(|answer| {
                remember(tx, &asked, &answer)?;
                Ok(answer)
            });
            let refused = result.is_err();
            *says.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            if refused {
                Err(TaskError::new(ErrorCode::AppWriteFailed, "the request was refused"))
            } else {
                Ok(())
            }
        });
        let committed = self.rows.enqueue_whole(tasks, vec![write]).await;
        let said = said.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (committed, said) {
            (Ok(_), Some(Ok(answer))) => Ok(answer),
            (Err(EnqueueError::AppWrite(_)), Some(Err(Refusal::Known(answer)))) => Ok(answer),
            (Err(EnqueueError::AppWrite(_)), Some(Err(refusal))) => Err(refusal),
            (Err(error), _) => Err(error.into()),
            (Ok(_), _) => Err(Refusal::Fault(TaskError::permanent("a write was committed that did not run"))),
        }
    }
}

fn known(tx: &mut dyn StoreTx, asked: &Asked) -> Result<(), Refusal> {
    let Some(key) = &asked.key else { return Ok(()) };
    let found =
        tx.query("SELECT content, status, answer FROM requests WHERE name = ?1", &[key.as_str().into()])?;
    let Some(row) = found.first() else { return Ok(()) };
    if row.blob(0)? != asked.content {
        return Err(Refusal::Conflict("this Idempotency-Key belongs to another request".to_owned()));
    }
    let status = u16::try_from(row.integer(1)?).unwrap_or(500);
    let body = serde_json::from_str(row.text(2)?).map_err(crate::rows::unreadable)?;
    Err(Refusal::Known(Answer { status, body, again: true }))
}

fn remember(tx: &mut dyn StoreTx, asked: &Asked, answer: &Answer) -> Result<(), TaskError> {
    let Some(key) = &asked.key else { return Ok(()) };
    let now = tx.now();
    // A few at a time, so that no request pays for all that is old.
    let old = now.saturating_sub(REMEMBERED).unwrap_or(Timestamp::MIN).as_millisecond();
    tx.execute(
        "DELETE FROM requests WHERE name IN (SELECT name FROM requests WHERE at < ?1 ORDER BY at LIMIT 4)",
        &[old.into()],
    )?;
    tx.execute(
        "INSERT INTO requests (name, content, status, answer, at) VALUES (?1, ?2, ?3, ?4, ?5)",
        &[
            key.as_str().into(),
            asked.content.as_slice().into(),
            u32::from(answer.status).into(),
            answer.body.to_string().into(),
            now.as_millisecond().into(),
        ],
    )?;
    Ok(())
}

/// Whether something of this number is in a table.
pub(super) fn is_there(tx: &mut dyn StoreTx, sql: &str, id: u64) -> Result<bool, TaskError> {
    Ok(!tx.query(sql, &[crate::rows::number(id)])?.is_empty())
}

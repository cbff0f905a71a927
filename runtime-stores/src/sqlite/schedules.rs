//! Schedules: documents that change together with the tasks they make.

use async_trait::async_trait;
use runtime_core::name::ScheduleName;
use runtime_core::schedule::{ScheduleSpec, ScheduleState};
use runtime_core::store::{
    EnqueueError, Enqueued, Fired, Firing, PutSchedule, Revision, Schedules, StoreError, StoredSchedule,
};

use super::SqliteStore;
use super::enqueue::Origin;
use super::fault::Fault;
use super::reader::Reader;
use super::writer::Writer;

#[async_trait]
impl Schedules for SqliteStore {
    async fn schedules(&self) -> Result<Vec<StoredSchedule>, StoreError> {
        self.0.readers.read(|reader, _| reader.schedules()).await
    }

    async fn put_schedule(
        &self,
        spec: ScheduleSpec,
        state: ScheduleState,
        expected: Option<Revision>,
    ) -> Result<PutSchedule, StoreError> {
        self.command((spec, state, expected), |writer, asked| writer.put_schedule(asked)).await
    }

    async fn delete_schedule(&self, name: ScheduleName, expected: Revision) -> Result<bool, StoreError> {
        self.command((name, expected), |writer, asked| writer.delete_schedule(asked)).await
    }

    async fn fire(&self, firing: Firing) -> Result<Fired, EnqueueError> {
        self.check_batch(firing.tasks.len())?;
        self.write(firing, |writer, asked| writer.fire(asked)).await?
    }
}

impl Writer<'_> {
    pub(super) fn put_schedule(
        &mut self,
        (spec, state, expected): &(ScheduleSpec, ScheduleState, Option<Revision>),
    ) -> Result<PutSchedule, Fault> {
        let written = match expected {
            None => {
                let sql = "INSERT INTO rt_schedule (name, revision, spec, state) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO NOTHING";
                let row = (spec.name.as_str(), number(Revision::FIRST), json(spec)?, json(state)?);
                self.conn.prepare_cached(sql)?.execute(row)?
            }
            Some(revision) => {
                let sql = "UPDATE rt_schedule SET revision = ?3, spec = ?4, state = ?5 WHERE name = ?1 AND revision = ?2";
                let (present, next) = (number(*revision), number(revision.next()));
                let row = (spec.name.as_str(), present, next, json(spec)?, json(state)?);
                self.conn.prepare_cached(sql)?.execute(row)?
            }
        };
        let revision = expected.map_or(Revision::FIRST, Revision::next);
        Ok(if written == 1 { PutSchedule::Written(revision) } else { PutSchedule::Conflict })
    }

    pub(super) fn delete_schedule(
        &mut self,
        (name, expected): &(ScheduleName, Revision),
    ) -> Result<bool, Fault> {
        let sql = "DELETE FROM rt_schedule WHERE name = ?1 AND revision = ?2";
        Ok(self.conn.prepare_cached(sql)?.execute((name.as_str(), number(*expected)))? == 1)
    }

    pub(super) fn fire(&mut self, firing: &Firing) -> Result<Result<Fired, EnqueueError>, Fault> {
        let (name, revision) = (firing.name.as_str(), firing.revision.next());
        self.all_or_nothing(|writer| {
            // Whoever decided on an old state is told so, whatever would become of its tasks.
            let sql = "UPDATE rt_schedule SET revision = ?3 WHERE name = ?1 AND revision = ?2";
            let row = (name, number(firing.revision), number(revision));
            if writer.conn.prepare_cached(sql)?.execute(row)? != 1 {
                return Ok(Ok(Fired::Conflict));
            }
            let mut tasks = Vec::with_capacity(firing.tasks.len());
            let mut plain = Vec::new();
            for task in &firing.tasks {
                match writer.take_in(task, Origin::Outside, &mut plain)? {
                    Ok(enqueued) => tasks.push(enqueued),
                    Err(refused) => return Ok(Err(refused)),
                }
            }
            writer.write_plain(&plain)?;
            let mut state = firing.state.clone();
            state.last_task = tasks.last().map(Enqueued::id).or(state.last_task);
            let sql = "UPDATE rt_schedule SET state = ?2 WHERE name = ?1";
            writer.conn.prepare_cached(sql)?.execute((name, json(&state)?))?;
            Ok(Ok(Fired::Done { revision, tasks }))
        })
    }
}

impl Reader {
    pub(super) fn schedules(&self) -> Result<Vec<StoredSchedule>, Fault> {
        let mut statement =
            self.conn.prepare_cached("SELECT revision, spec, state FROM rt_schedule ORDER BY name")?;
        let mut rows = statement.query([])?;
        let mut schedules = Vec::new();
        while let Some(row) = rows.next()? {
            let (revision, spec, state): (i64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let wrong = |error: serde_json::Error| Fault::corrupt(format!("a schedule: {error}"));
            schedules.push(StoredSchedule {
                spec: serde_json::from_str(&spec).map_err(wrong)?,
                state: serde_json::from_str(&state).map_err(wrong)?,
                revision: Revision(revision.unsigned_abs()),
            });
        }
        Ok(schedules)
    }
}

pub(super) fn number(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

pub(super) fn json<T: serde::Serialize>(document: &T) -> Result<String, Fault> {
    serde_json::to_string(document).map_err(|error| Fault::corrupt(error.to_string()))
}

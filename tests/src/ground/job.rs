//! What a task of the proving ground does: what its input says, in this order.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use runtime::prelude::*;

use super::{Gate, GroundFolder};

/// A job. Everything that is not said is not done; a row is always written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Job {
    /// Its number: what is counted.
    pub n: u64,
    /// Waits at its gate before it does anything.
    pub waits: bool,
    /// Takes this long.
    pub work_ms: u64,
    /// Its first attempts fail.
    pub fails: u32,
    /// Is rejected until the folder is repaired.
    pub rejects: bool,
    /// Asks a person before it goes on.
    pub asks: bool,
    /// Has a keyed effect.
    pub keyed: bool,
    /// Waits at a gate within its keyed effect.
    pub lingers: bool,
    /// Has an unkeyed effect.
    pub unkeyed: bool,
    /// The answer to its unkeyed effect gets lost.
    pub loses_answer: bool,
    /// Leaves a task to be done after it.
    pub follow_up: bool,
    /// Makes a payload large.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ballast: String,
}

impl Job {
    /// A job that only writes its row.
    pub fn plain(n: u64) -> Self {
        Self { n, ..Self::default() }
    }
}

impl TaskInput for Job {
    const KEY: &'static str = "number";

    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(self.n.to_string())
    }
}

/// A job that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobDone {
    /// Its number.
    pub n: u64,
}

pub(super) async fn run(
    folder: GroundFolder,
    follow: Arc<Route>,
    kind: &'static str,
    ctx: Context,
    job: Job,
) -> HandlerResult<JobDone> {
    let n = job.n;
    if job.waits {
        folder.wait_at(Gate::Begin, n, ctx.lease()).await.map_err(failed)?;
    }
    if job.work_ms > 0 {
        tokio::time::sleep(Duration::from_millis(job.work_ms)).await;
    }
    if job.rejects && !folder.is_raised(GroundFolder::REPAIRED) {
        return Err(NotDone::reject("the folder is not repaired"));
    }
    if ctx.attempt() <= job.fails {
        return Err(NotDone::retry("fails at first, as its input says"));
    }
    if job.asks && !ctx.approved() {
        let question = "shall it go on?".to_owned();
        return Err(NotDone::Park { reason: ParkReason::NeedsDecision { question } });
    }
    if job.keyed {
        let call = async |key: String| {
            folder.stamp(&key, n).map_err(failed)?;
            if job.lingers {
                folder.wait_at(Gate::Call, n, ctx.lease()).await.map_err(failed)
            } else {
                Ok(())
            }
        };
        ctx.keyed::<_, (), _>(step("stamp")?, &n, call).await?;
    }
    if job.unkeyed {
        let call = async || match folder.send(n) {
            Ok(()) if job.loses_answer => Err(EffectFailed::Unknown(TaskError::retryable("no answer came"))),
            Ok(()) => Ok(()),
            Err(error) => Err(EffectFailed::NotHappened(failed(error))),
        };
        ctx.unkeyed::<_, (), _>(step("send")?, &n, call).await?;
    }
    if job.follow_up {
        ctx.enqueue(NewTask::of(follow, &Job::plain(n))?);
    }
    let (task, epoch) = (ctx.task().id.to_string(), ctx.lease().epoch.0);
    ctx.write(AppWrite::new(move |tx| {
        let sql = "INSERT INTO ground_row (n, kind, task, epoch) VALUES (?1, ?2, ?3, ?4)";
        let row = [whole(n), kind.into(), task.as_str().into(), whole(epoch)];
        tx.execute(sql, &row).map(drop)
    }));
    Ok(JobDone { n })
}

fn step(name: &str) -> Result<StepName, NotDone> {
    StepName::new(name).map_err(|error| NotDone::reject(error.to_string()))
}

fn whole(number: u64) -> SqlValue {
    SqlValue::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn failed(error: io::Error) -> TaskError {
    TaskError::retryable(error.to_string())
}

//! Effects outside the store's database, noted in the ledger so that no replay repeats them blindly.
//!
//! ```text
//! keyed:    look up ─▶ known? return it │ call with our key ─▶ note the result
//! unkeyed:  note the intent ─▶ call ─▶ note the result      (a crash between: unknown, the task is parked)
//! ```
//!
//! The key is task id + step name, never the attempt. The same step with other content is a hard error: it would mean that
//! the handler is not deterministic in what it asks of the world. A step that the worker did not declare with this class is refused
//! before it is noted: what operators read about a worker is what it does.

use std::future::Future;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Context, NotDone};
use crate::error::{ErrorCode, TaskError};
use crate::name::StepName;
use crate::outcome::ParkReason;
use crate::store::{ContentHash, EffectBegun, EffectClass};

/// How a step that did not succeed left the world.
#[derive(Debug, Clone, PartialEq)]
pub enum EffectFailed {
    /// The effect certainly did not happen: it may be tried again.
    NotHappened(TaskError),
    /// Nobody knows. A keyed step is tried again under the same key; an unkeyed one parks the task.
    Unknown(TaskError),
}

impl Context {
    /// The key under which a keyed peer is to note this step: the same for every attempt of the task.
    pub fn effect_key(&self, step: &StepName) -> String {
        format!("{}/{step}", self.task().id)
    }

    /// A step whose peer enforces our key. `content` is everything the call depends on.
    ///
    /// # Errors
    /// A retry when the call failed; a rejection when the step is known with other content.
    pub async fn keyed<C, R, Fut>(
        &self,
        step: StepName,
        content: &C,
        call: impl FnOnce(String) -> Fut,
    ) -> Result<R, NotDone>
    where
        C: Serialize + Sync,
        R: Serialize + DeserializeOwned,
        Fut: Future<Output = Result<R, TaskError>>,
    {
        let hash = content_hash(content)?;
        if let Some(known) = self.begin(&step, EffectClass::Keyed, hash).await? {
            return Ok(known);
        }
        let result = call(self.effect_key(&step)).await?;
        self.record(step, hash, &result).await?;
        Ok(result)
    }

    /// A step whose peer knows no key. `content` is everything the call depends on.
    ///
    /// # Errors
    /// Parks the task when it is not known whether the call happened; a retry when it certainly did not; a rejection when
    /// the step is known with other content.
    pub async fn unkeyed<C, R, Fut>(
        &self,
        step: StepName,
        content: &C,
        call: impl FnOnce() -> Fut,
    ) -> Result<R, NotDone>
    where
        C: Serialize + Sync,
        R: Serialize + DeserializeOwned,
        Fut: Future<Output = Result<R, EffectFailed>>,
    {
        let hash = content_hash(content)?;
        crate::failpoint!("effect_intent_due");
        if let Some(known) = self.begin(&step, EffectClass::Unkeyed, hash).await? {
            return Ok(known);
        }
        crate::failpoint!("effect_intent_written");
        match call().await {
            Ok(result) => {
                crate::failpoint!("effect_called");
                self.record(step, hash, &result).await?;
                crate::failpoint!("effect_result_written");
                Ok(result)
            }
            Err(EffectFailed::NotHappened(error)) => {
                if !self.store().withdraw_effect(self.lease(), step).await? {
                    return Err(NotDone::LeaseLost);
                }
                Err(error.into())
            }
            Err(EffectFailed::Unknown(error)) => {
                tracing::warn!(task = %self.task().id, %step, %error, "the result of an unkeyed effect is not known");
                Err(NotDone::Park { reason: ParkReason::EffectUnknown { step } })
            }
        }
    }

    /// `Some` when the step already has a result.
    async fn begin<R: DeserializeOwned>(
        &self,
        step: &StepName,
        class: EffectClass,
        content: ContentHash,
    ) -> Result<Option<R>, NotDone> {
        self.declared(step, class)?;
        match self.store().begin_effect(self.lease(), step.clone(), class, content).await? {
            EffectBegun::Fresh => Ok(None),
            EffectBegun::Known { result } => serde_json::from_slice(&result).map(Some).map_err(|error| {
                let text = format!("the stored result of step {step} no longer fits its type: {error}");
                NotDone::Reject { error: TaskError::new(ErrorCode::EffectConflict, text) }
            }),
            EffectBegun::Unknown => {
                Err(NotDone::Park { reason: ParkReason::EffectUnknown { step: step.clone() } })
            }
            EffectBegun::Conflict => {
                let text = format!("step {step} is known with other content");
                Err(NotDone::Reject { error: TaskError::new(ErrorCode::EffectConflict, text) })
            }
            EffectBegun::Stale => Err(NotDone::LeaseLost),
        }
    }

    fn declared(&self, step: &StepName, class: EffectClass) -> Result<(), TaskError> {
        let (worker, name) = (self.worker(), &self.worker().name);
        let text = match worker.effect(step) {
            Some(declared) if declared == class => return Ok(()),
            Some(declared) => format!("worker {name} declared step {step} as {declared}, not as {class}"),
            None => format!("worker {name} did not declare step {step}"),
        };
        Err(TaskError::new(ErrorCode::UndeclaredEffect, text))
    }

    async fn record<R: Serialize>(
        &self,
        step: StepName,
        content: ContentHash,
        result: &R,
    ) -> Result<(), NotDone> {
        let result = serde_json::to_vec(result).map_err(|error| TaskError::permanent(error.to_string()))?;
        if self.store().record_effect(self.lease(), step, content, result).await? {
            Ok(())
        } else {
            Err(NotDone::LeaseLost)
        }
    }
}

fn content_hash<C: Serialize>(content: &C) -> Result<ContentHash, TaskError> {
    let text = serde_json::to_vec(content).map_err(|error| TaskError::permanent(error.to_string()))?;
    Ok(*blake3::hash(&text).as_bytes())
}

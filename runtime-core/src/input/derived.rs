//! What follows from an input, and what beside it would contradict it.

use std::fmt;
use std::num::NonZeroU32;

use crate::input::{InputError, TaskInput};
use crate::name::{IdempotencyKey, OrderingKey, Scope, Tenant};
use crate::task::{NewTask, Unique};

/// Everything about a task that follows from its input alone, through [`TaskInput`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// Version of the input's schema.
    pub schema_version: u32,
    /// Same key, same task.
    pub idempotency_key: IdempotencyKey,
    /// For how long the key stands, and what a second task under it does.
    pub unique: Unique,
    /// The part of the world it concerns.
    pub scope: Option<Scope>,
    /// Whose work it is.
    pub tenant: Option<Tenant>,
    /// One at a time, in order.
    pub ordering_key: Option<OrderingKey>,
    /// How much of its lane's rate it takes.
    pub weight: NonZeroU32,
}

impl Derived {
    /// What follows from this input.
    ///
    /// # Errors
    /// When what a key or a scope is made of is none, or it weighs more than its type says it can.
    pub fn of<I: TaskInput>(input: &I) -> Result<Self, InputError> {
        let weight = input.weight();
        if let Some(heaviest) = I::HEAVIEST.filter(|heaviest| weight > *heaviest) {
            return Err(InputError::AboveHeaviest { weight: weight.get(), heaviest: heaviest.get() });
        }
        Ok(Self {
            schema_version: I::SCHEMA_VERSION,
            idempotency_key: input.idempotency_key()?,
            unique: input.unique(),
            scope: input.scope()?,
            tenant: input.tenant()?,
            ordering_key: input.ordering_key()?,
            weight,
        })
    }

    /// The task with all of it. What the task says already may confirm it; where nothing follows, what it says stands. A window, a
    /// policy or a weight at its default counts as not said.
    ///
    /// # Errors
    /// Everything that the task says otherwise.
    pub fn onto(self, mut task: NewTask) -> Result<NewTask, Misfits> {
        let mut misfits = Vec::new();
        confirm("idempotency_key", &mut task.idempotency_key, Some(self.idempotency_key), &mut misfits);
        confirm("scope", &mut task.scope, self.scope, &mut misfits);
        confirm("tenant", &mut task.tenant, self.tenant, &mut misfits);
        confirm("ordering_key", &mut task.ordering_key, self.ordering_key, &mut misfits);
        if self.weight > NonZeroU32::MIN {
            let said = Some(task.weight).filter(|said| *said > NonZeroU32::MIN);
            confirm("weight", &mut { said }, Some(self.weight), &mut misfits);
            task.weight = self.weight;
        }
        let said = std::mem::replace(&mut task.unique, self.unique);
        if said.within != Unique::default().within && said.within != self.unique.within {
            misfits.push(Misfit::of_unique("unique_within"));
        }
        if said.on_conflict != Unique::default().on_conflict && said.on_conflict != self.unique.on_conflict {
            misfits.push(Misfit::of_unique("on_conflict"));
        }
        task.schema_version = self.schema_version;
        if misfits.is_empty() { Ok(task) } else { Err(Misfits(misfits)) }
    }
}

fn confirm<T: PartialEq + fmt::Display>(
    field: &str,
    said: &mut Option<T>,
    follows: Option<T>,
    misfits: &mut Vec<Misfit>,
) {
    match (&*said, follows) {
        (Some(other), Some(follows)) if *other != follows => {
            let why = format!("{other:.80} contradicts the input, from which {follows:.80} follows");
            misfits.push(Misfit { field: field.to_owned(), why });
        }
        (_, Some(follows)) => *said = Some(follows),
        (_, None) => {}
    }
}

/// One place in an input, or beside it, that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// `input` and a JSON pointer into it (`input/store`), or the name of what was said beside it (`scope`).
    pub field: String,
    /// What is wrong. Values of the input are not repeated: they may be confidential.
    pub why: String,
}

impl Misfit {
    fn of_unique(field: &str) -> Self {
        let why = "contradicts what the worker's input says about its key".to_owned();
        Self { field: field.to_owned(), why }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.why)
    }
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", listed(.0))]
pub struct Misfits(pub Vec<Misfit>);

impl Misfits {
    /// A single one.
    pub fn one(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self(vec![Misfit { field: field.into(), why: why.into() }])
    }
}

fn listed(misfits: &[Misfit]) -> String {
    misfits.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::name::Route;
    use crate::task::{OnConflict, UniqueWithin};

    fn task() -> NewTask {
        let (app, queue, handler) = ("shop".parse(), "settle".parse(), "settle".parse());
        let route = Route { app: app.unwrap(), queue: queue.unwrap(), handler: handler.unwrap() };
        NewTask::new(Arc::new(route), b"{}".to_vec())
    }

    fn derived() -> Derived {
        Derived {
            schema_version: 3,
            idempotency_key: "42/2026-10".parse().unwrap(),
            unique: Unique { within: UniqueWithin::WhileLive, ..Unique::default() },
            scope: Some("store=42".parse().unwrap()),
            tenant: None,
            ordering_key: Some("42".parse().unwrap()),
            weight: NonZeroU32::MIN.saturating_add(2),
        }
    }

    #[test]
    fn what_is_said_beside_an_input_may_confirm_it() {
        let said = NewTask {
            scope: Some("store=42".parse().unwrap()),
            tenant: Some("north".parse().unwrap()),
            ..task().keyed("42/2026-10".parse().unwrap()).unique_within(UniqueWithin::WhileLive)
        };
        let full = derived().onto(said).unwrap();
        assert_eq!(full.tenant.as_ref().map(Tenant::as_str), Some("north"), "nothing follows: it stands");
        let bare = derived().onto(NewTask { tenant: full.tenant.clone(), ..task() }).unwrap();
        assert_eq!(bare, full);
        assert_eq!((bare.schema_version, bare.unique.within), (3, UniqueWithin::WhileLive));
        assert_eq!(bare.weight.get(), 3);
    }

    #[test]
    fn what_contradicts_an_input_is_told_in_full() {
        let said = NewTask {
            scope: Some("store=7".parse().unwrap()),
            ordering_key: Some("7".parse().unwrap()),
            weight: NonZeroU32::MIN.saturating_add(6),
            ..task()
                .keyed("mine".parse().unwrap())
                .unique_within(UniqueWithin::Forever)
                .on_conflict(OnConflict::Replace)
        };
        let Misfits(misfits) = derived().onto(said).unwrap_err();
        let fields: Vec<&str> = misfits.iter().map(|misfit| misfit.field.as_str()).collect();
        assert_eq!(
            fields,
            ["idempotency_key", "scope", "ordering_key", "weight", "unique_within", "on_conflict"]
        );
        assert_eq!(
            misfits[1].to_string(),
            "scope: store=7 contradicts the input, from which store=42 follows"
        );
    }
}

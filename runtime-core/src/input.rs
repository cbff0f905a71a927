//! The durable input of a worker: a record that describes itself.
//!
//! What a task is about stands in its payload and nowhere else, so that any attempt, today's or next month's, by this process or
//! another, sees the same thing. An input that stands for "whatever there is to do now" is none: two attempts of one task would
//! see two worlds, and nothing could tell a repetition from something new.
//!
//! ```
//! use runtime_core::input::TaskInput;
//! use runtime_core::name::{IdempotencyKey, InvalidName, Scope};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, JsonSchema)]
//! struct Settle { store: u32, period: String }
//!
//! impl TaskInput for Settle {
//!     const KEY: &'static str = "store and period";
//!     fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
//!         IdempotencyKey::new(format!("{}/{}", self.store, self.period))
//!     }
//!     fn scope(&self) -> Result<Option<Scope>, InvalidName> {
//!         Scope::new(format!("store={}", self.store)).map(Some)
//!     }
//! }
//! ```

mod derived;

use std::num::NonZeroU32;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use self::derived::{Derived, Misfit, Misfits};
use crate::error::{ErrorCode, TaskError};
use crate::name::{IdempotencyKey, InvalidName, OrderingKey, Route, Scope, Tenant};
use crate::task::{NewTask, Unique};

/// What a worker's tasks carry, and what follows from it alone. Equal inputs give equal answers.
pub trait TaskInput: Serialize + DeserializeOwned + JsonSchema + Send + 'static {
    /// Version of the schema; raised when a change could be misread by an older build.
    const SCHEMA_VERSION: u32 = 1;

    /// What the idempotency key is made of, in words: `store and period`.
    const KEY: &'static str;

    /// The most that [`TaskInput::weight`] answers, where that is known. An app whose worker has a rate that never gives so much at once does
    /// not start, and an input that weighs more becomes no task.
    const HEAVIEST: Option<NonZeroU32> = None;

    /// Same key, same task. An input whose tasks are each a new one carries an id of its own, made by whoever asks.
    ///
    /// # Errors
    /// When what it is made of is no key.
    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName>;

    /// For how long the key stands for one task, and what a second task under it does.
    fn unique(&self) -> Unique {
        Unique::default()
    }

    /// The part of the world it concerns: what an operator names to run it alone.
    ///
    /// # Errors
    /// When what it is made of is no scope.
    fn scope(&self) -> Result<Option<Scope>, InvalidName> {
        Ok(None)
    }

    /// Whose work it is.
    ///
    /// # Errors
    /// When what it is made of is no tenant.
    fn tenant(&self) -> Result<Option<Tenant>, InvalidName> {
        Ok(None)
    }

    /// Tasks of one ordering key run one at a time, in order.
    ///
    /// # Errors
    /// When what it is made of is no ordering key.
    fn ordering_key(&self) -> Result<Option<OrderingKey>, InvalidName> {
        Ok(None)
    }

    /// How much of its lane's rate it takes: ten rows to send may weigh ten times as much as one.
    fn weight(&self) -> NonZeroU32 {
        NonZeroU32::MIN
    }
}

/// An input that cannot become a task.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It cannot be written as JSON.
    #[error("the input cannot be written as JSON: {0}")]
    NoJson(#[from] serde_json::Error),
    /// A key or a scope that follows from it is none.
    #[error("the input gives no task: {0}")]
    NoName(#[from] InvalidName),
    /// It weighs more than its type says it can.
    #[error("the input weighs {weight}, more than {heaviest}, which its type says is the most")]
    AboveHeaviest {
        /// What it weighs.
        weight: u32,
        /// [`TaskInput::HEAVIEST`].
        heaviest: u32,
    },
}

impl From<InputError> for TaskError {
    fn from(error: InputError) -> Self {
        Self::new(ErrorCode::HandlerRejected, error.to_string())
    }
}

impl NewTask {
    /// The task of this input: payload, schema version, idempotency key with what it promises, scope, tenant, ordering key and
    /// weight all follow from it.
    ///
    /// # Errors
    /// [`InputError`] when one of them cannot be had.
    pub fn of<I: TaskInput>(route: Arc<Route>, input: &I) -> Result<Self, InputError> {
        let Derived { schema_version, idempotency_key, unique, scope, tenant, ordering_key, weight } =
            Derived::of(input)?;
        Ok(Self {
            schema_version,
            idempotency_key: Some(idempotency_key),
            unique,
            scope,
            tenant,
            ordering_key,
            weight,
            ..Self::new(route, serde_json::to_vec(input)?)
        })
    }
}

/// Whether documents of this JSON schema say nothing: `null`, an object without properties, or anything at all.
pub fn is_implicit(schema: &Value) -> bool {
    says_nothing(schema, schema, 0)
}

fn says_nothing(schema: &Value, root: &Value, depth: u8) -> bool {
    let Some(known) = schema.as_object() else { return true };
    if let Some(target) = known.get("$ref").and_then(Value::as_str) {
        let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return depth < 8 && target.is_none_or(|target| says_nothing(target, root, depth + 1));
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        if let Some(schemas) = known.get(several).and_then(Value::as_array)
            && schemas.iter().any(|schema| !says_nothing(schema, root, depth + 1))
        {
            return false;
        }
    }
    if known.contains_key("enum") || known.contains_key("const") {
        return known.get("const").is_some_and(Value::is_null);
    }
    let types: Vec<&str> = match known.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    types.iter().all(|kind| match *kind {
        "null" => true,
        "object" => {
            let properties = known.get("properties").and_then(Value::as_object);
            let others = known.get("additionalProperties").is_some_and(Value::is_object);
            properties.is_none_or(serde_json::Map::is_empty) && !others
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::{JsonSchema, schema_for};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::task::UniqueWithin;

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Settle {
        store: u32,
        period: String,
    }

    impl TaskInput for Settle {
        const SCHEMA_VERSION: u32 = 3;
        const KEY: &'static str = "store and period";
        fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
            IdempotencyKey::new(format!("{}/{}", self.store, self.period))
        }
        fn scope(&self) -> Result<Option<Scope>, InvalidName> {
            Scope::new(format!("store={}", self.store)).map(Some)
        }
        fn unique(&self) -> Unique {
            Unique { within: UniqueWithin::WhileLive, ..Unique::default() }
        }
        const HEAVIEST: Option<NonZeroU32> = NonZeroU32::new(50);
        fn tenant(&self) -> Result<Option<Tenant>, InvalidName> {
            Tenant::new("north").map(Some)
        }
        fn weight(&self) -> NonZeroU32 {
            NonZeroU32::MIN.saturating_add(self.store)
        }
        fn ordering_key(&self) -> Result<Option<OrderingKey>, InvalidName> {
            OrderingKey::new(self.store.to_string()).map(Some)
        }
    }

    fn route() -> Arc<Route> {
        let (app, queue, handler) = ("shop".parse(), "settle".parse(), "settle".parse());
        Arc::new(Route { app: app.unwrap(), queue: queue.unwrap(), handler: handler.unwrap() })
    }

    #[test]
    fn a_task_is_made_of_its_input_alone() {
        let task = NewTask::of(route(), &Settle { store: 42, period: "2026-10".into() }).unwrap();
        assert_eq!(task.payload, br#"{"store":42,"period":"2026-10"}"#);
        assert_eq!(task.schema_version, 3);
        assert_eq!(task.idempotency_key.unwrap().as_str(), "42/2026-10");
        assert_eq!(task.unique.within, UniqueWithin::WhileLive);
        assert_eq!(task.scope.unwrap().as_str(), "store=42");
        assert_eq!(task.tenant.unwrap().as_str(), "north");
        assert_eq!(task.ordering_key.unwrap().as_str(), "42");
        assert_eq!(task.weight.get(), 43);
    }

    #[test]
    fn an_input_without_a_key_becomes_no_task() {
        let refused = NewTask::of(route(), &Settle { store: 42, period: "a\nb".into() }).unwrap_err();
        assert!(matches!(refused, InputError::NoName(_)), "{refused}");
    }

    #[test]
    fn an_input_that_weighs_more_than_its_type_says_becomes_no_task() {
        let refused = NewTask::of(route(), &Settle { store: 50, period: "2026-10".into() }).unwrap_err();
        assert!(matches!(refused, InputError::AboveHeaviest { weight: 51, heaviest: 50 }), "{refused}");
    }

    #[test]
    fn an_input_that_says_nothing_is_told_apart() {
        #[derive(JsonSchema)]
        struct Unit;
        #[derive(JsonSchema)]
        struct Empty {}
        #[derive(JsonSchema)]
        struct Wrapped(Empty);
        #[derive(JsonSchema)]
        #[expect(dead_code, reason = "only its schema matters")]
        enum Either {
            Hour(u8),
            Day { day: u8 },
        }
        #[derive(JsonSchema)]
        #[expect(dead_code, reason = "only its schema matters")]
        enum Word {
            Hour,
            Day,
        }
        let nothing = [
            schema_for!(()),
            schema_for!(Unit),
            schema_for!(Empty),
            schema_for!(Wrapped),
            schema_for!(Option<Empty>),
            schema_for!(Value),
        ];
        for schema in nothing {
            assert!(is_implicit(schema.as_value()), "{schema:?}");
        }
        let something = [
            schema_for!(Settle),
            schema_for!(Option<Settle>),
            schema_for!(u32),
            schema_for!(String),
            schema_for!(Vec<u8>),
            schema_for!(BTreeMap<String, u8>),
            schema_for!(Either),
            schema_for!(Word),
        ];
        for schema in something {
            assert!(!is_implicit(schema.as_value()), "{schema:?}");
        }
    }
}

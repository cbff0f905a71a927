//! Types at the boundary: serde and JSON schema on the way in and on the way out.

use std::future::Future;
use std::marker::PhantomData;

use async_trait::async_trait;
use jsonschema::Validator;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Context, Handler, HandlerResult, NotDone, misfit};
use crate::error::{ErrorCode, TaskError};
use crate::input::{Derived, Misfit, Misfits, TaskInput};
use crate::task::NewTask;

/// An async function from `I` to `O`, with both checked.
///
/// A payload that is no `I` never reaches the function: the attempt ends with [`ErrorCode::InvalidInput`] and the JSON pointer of
/// the field. An output that breaks its own schema ends with [`ErrorCode::InvalidOutput`] and is not published.
pub struct TypedHandler<I, O, F> {
    function: F,
    input: Check,
    output: Check,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O, F, Fut> TypedHandler<I, O, F>
where
    I: TaskInput,
    O: Serialize + JsonSchema + Send + 'static,
    F: Fn(Context, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult<O>> + Send,
{
    /// Wraps the function.
    ///
    /// # Panics
    /// When the schema that the type derives is itself invalid: a bug in a hand-written `JsonSchema`.
    pub fn new(function: F) -> Self {
        Self {
            function,
            input: Check::of(schema_for!(I)),
            output: Check::of(schema_for!(O)),
            types: PhantomData,
        }
    }
}

#[async_trait]
impl<I, O, F, Fut> Handler for TypedHandler<I, O, F>
where
    I: TaskInput,
    O: Serialize + JsonSchema + Send + 'static,
    F: Fn(Context, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = HandlerResult<O>> + Send,
{
    async fn run(&self, ctx: Context, payload: &[u8]) -> HandlerResult<Vec<u8>> {
        let input: I = self.input.read(payload, ErrorCode::InvalidInput)?;
        let output = (self.function)(ctx, input).await?;
        self.output.write(&output, ErrorCode::InvalidOutput)
    }

    /// The payload becomes what the type writes, so that one record is one document whoever wrote it first.
    fn complete(&self, task: NewTask) -> Result<NewTask, Misfits> {
        let input: I = self.input.read_all(&task.payload)?;
        let derived = Derived::of(&input).map_err(|error| Misfits::one("input", error.to_string()))?;
        let payload = serde_json::to_vec(&input).map_err(|error| Misfits::one("input", error.to_string()))?;
        derived.onto(NewTask { payload, ..task })
    }

    fn input_schema(&self) -> Value {
        self.input.schema.clone()
    }

    fn output_schema(&self) -> Value {
        self.output.schema.clone()
    }
}

/// A schema, ready to check documents.
struct Check {
    schema: Value,
    validator: Validator,
}

impl Check {
    fn of(schema: Schema) -> Self {
        let schema = schema.to_value();
        let validator = jsonschema::validator_for(&schema).expect("a derived schema is valid");
        Self { schema, validator }
    }

    fn read<T: DeserializeOwned>(&self, document: &[u8], code: ErrorCode) -> Result<T, NotDone> {
        let value: Value =
            serde_json::from_slice(document).map_err(|error| misfit(code, String::new(), error))?;
        self.check(&value, code)?;
        serde_json::from_value(value).map_err(|error| misfit(code, String::new(), error).into())
    }

    /// As [`Check::read`], with every misfit instead of the first.
    fn read_all<T: DeserializeOwned>(&self, document: &[u8]) -> Result<T, Misfits> {
        let value: Value = serde_json::from_slice(document)
            .map_err(|error| Misfits::one("input", format!("not a JSON document: {error}")))?;
        let misfits: Vec<Misfit> = self
            .validator
            .iter_errors(&value)
            .map(|error| Misfit {
                field: format!("input{}", error.instance_path()),
                why: error.masked_with("the value").to_string(),
            })
            .collect();
        if !misfits.is_empty() {
            return Err(Misfits(misfits));
        }
        serde_json::from_value(value).map_err(|error| Misfits::one("input", error.to_string()))
    }

    fn write<T: Serialize>(&self, value: &T, code: ErrorCode) -> Result<Vec<u8>, NotDone> {
        let value = serde_json::to_value(value).map_err(|error| misfit(code, String::new(), error))?;
        self.check(&value, code)?;
        Ok(value.to_string().into_bytes())
    }

    /// The first misfit, named by its place. The value itself is not repeated: it may be confidential.
    fn check(&self, value: &Value, code: ErrorCode) -> Result<(), TaskError> {
        if self.validator.is_valid(value) {
            return Ok(());
        }
        match self.validator.iter_errors(value).next() {
            None => Ok(()),
            Some(error) => {
                let field = error.instance_path().to_string();
                Err(misfit(code, field, error.masked_with("the value")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Input {
        #[schemars(range(min = 1))]
        #[expect(dead_code, reason = "only its check matters here")]
        quantity: u32,
    }

    #[derive(Serialize, JsonSchema)]
    struct Output {
        #[schemars(length(max = 3))]
        text: String,
    }

    fn read(document: &str) -> Result<Input, NotDone> {
        Check::of(schema_for!(Input)).read(document.as_bytes(), ErrorCode::InvalidInput)
    }

    #[test]
    fn a_misfit_names_its_place_and_hides_the_value() {
        let Err(NotDone::Reject { error }) = read(r#"{"quantity": "secret"}"#) else {
            panic!("must be rejected")
        };
        assert_eq!((error.code, error.field.as_deref()), (ErrorCode::InvalidInput, Some("/quantity")));
        assert!(!error.message.contains("secret"), "{}", error.message);
        assert!(matches!(read(r#"{"quantity": 0}"#), Err(NotDone::Reject { .. })));
        assert!(matches!(read("{"), Err(NotDone::Reject { .. })));
        assert!(matches!(read(r#"{"quantity": 1, "more": 2}"#), Err(NotDone::Reject { .. })));
        assert!(read(r#"{"quantity": 1}"#).is_ok());
    }

    #[test]
    fn an_output_is_checked_too() {
        let check = Check::of(schema_for!(Output));
        let write = |text: &str| check.write(&Output { text: text.into() }, ErrorCode::InvalidOutput);
        assert_eq!(write("abc").unwrap(), br#"{"text":"abc"}"#);
        assert!(
            matches!(write("abcd"), Err(NotDone::Reject { error }) if error.code == ErrorCode::InvalidOutput)
        );
    }
}

//! How the app's own rows join the store's transactions.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::error::{ErrorCode, TaskError};

/// One SQL value.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlValue {
    /// NULL.
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// A double.
    Real(f64),
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

macro_rules! sql_value_from {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl From<$from> for SqlValue {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}
sql_value_from!(i64 => Integer, i32 => Integer, u32 => Integer, bool => Integer, f64 => Real, String => Text, &str => Text, Vec<u8> => Blob, &[u8] => Blob);

impl<T: Into<SqlValue>> From<Option<T>> for SqlValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of an answer. Columns are read by position.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlRow(pub Vec<SqlValue>);

impl SqlRow {
    fn wrong(index: usize, wanted: &str) -> TaskError {
        TaskError::new(ErrorCode::AppWriteFailed, format!("column {index} is not {wanted}"))
    }

    /// Column `index` as an integer.
    ///
    /// # Errors
    /// When it is absent or something else.
    pub fn integer(&self, index: usize) -> Result<i64, TaskError> {
        match self.0.get(index) {
            Some(SqlValue::Integer(value)) => Ok(*value),
            _ => Err(Self::wrong(index, "an integer")),
        }
    }

    /// Column `index` as text.
    ///
    /// # Errors
    /// When it is absent or something else.
    pub fn text(&self, index: usize) -> Result<&str, TaskError> {
        match self.0.get(index) {
            Some(SqlValue::Text(value)) => Ok(value),
            _ => Err(Self::wrong(index, "text")),
        }
    }

    /// Column `index` as bytes.
    ///
    /// # Errors
    /// When it is absent or something else.
    pub fn blob(&self, index: usize) -> Result<&[u8], TaskError> {
        match self.0.get(index) {
            Some(SqlValue::Blob(value)) => Ok(value),
            _ => Err(Self::wrong(index, "bytes")),
        }
    }
}

/// The open transaction, as the app sees it. Statements that would end or nest the transaction are refused.
pub trait StoreTx {
    /// The store's time of this transaction.
    fn now(&self) -> Timestamp;

    /// Runs a statement, returns the rows it changed. Parameters are `?1`, `?2`, ….
    ///
    /// # Errors
    /// What the database said, as [`ErrorCode::AppWriteFailed`].
    fn execute(&mut self, sql: &str, params: &[SqlValue]) -> Result<usize, TaskError>;

    /// Runs a query.
    ///
    /// # Errors
    /// What the database said, as [`ErrorCode::AppWriteFailed`].
    fn query(&mut self, sql: &str, params: &[SqlValue]) -> Result<Vec<SqlRow>, TaskError>;
}

type WriteFn = dyn Fn(&mut dyn StoreTx) -> Result<(), TaskError> + Send + Sync;

/// The app's own rows, written with a task's enqueue or settlement.
///
/// It runs on the store's writer in a savepoint of its own, under a deadline. An error or a panic undoes its member alone. It may run
/// more than once when the group it rode in could not be committed, so it holds no state of its own.
#[derive(Clone)]
pub struct AppWrite(Arc<WriteFn>);

impl AppWrite {
    /// Wraps a closure.
    pub fn new(write: impl Fn(&mut dyn StoreTx) -> Result<(), TaskError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    /// Runs it.
    ///
    /// # Errors
    /// What the closure returned.
    pub fn run(&self, tx: &mut dyn StoreTx) -> Result<(), TaskError> {
        (self.0)(tx)
    }
}

impl fmt::Debug for AppWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppWrite")
    }
}

/// One step of an app's schema: SQL that brings version n-1 to n.
#[derive(Debug, Clone, Copy)]
pub struct AppMigration {
    /// What it does, for people.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

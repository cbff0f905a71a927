//! What happens in the tree, kept for a while: every change that an operator may want to hear of, in the order in which it happened.
//!
//! ```text
//! node · queue · schedule · operation · configuration ─┐                       ┌─▶ watcher: its own place, its own pace
//!                                                      ├─▶ Journal: two rings ─┤
//! tasks, a batch at a time ────────────────────────────┘                       └─▶ watcher
//! ```
//!
//! Whoever writes waits for nobody: a ring that is full forgets its oldest. Whoever reads has a [`Cursor`] and no queue: what is read is
//! there once, however many read it, and a reader that is overtaken hears that it was. Tasks have a ring of their own, since seventy thousand
//! of them a second must not push out that a node broke; both rings share one sequence, so that there is one order.
//!
//! It is memory of one process: after a restart nothing of it is left, and a cursor of another life is not taken for one of this. What must
//! outlive the process is in the store and in the audit log. An entry holds names, states and codes, never a payload, and text only up to
//! [`MAX_TEXT_BYTES`].

mod coalesce;
mod entry;
mod names;
mod ring;
mod tally;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tokio::sync::Notify;

pub use coalesce::{Told, coalesced};
pub use entry::{
    Cause, Changed, Changes, Entry, EventType, MAX_CHANGES, MAX_TEXT_BYTES, TaskChange, TraceId, Value,
};
pub use names::{Place, Subject};
pub use ring::{Batch, Journal, JournalLimits, Page};
pub use tally::{Counted, Counts, Tally};

/// Which of the two rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nodes, queues, schedules, operations, configuration.
    Tree,
    /// Single tasks.
    Tasks,
}

/// Which rings somebody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classes {
    /// Nodes, queues, schedules, operations, configuration.
    pub tree: bool,
    /// Single tasks.
    pub tasks: bool,
}

/// A place in the sequence of one process's life: everything up to and including it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Which life of the process.
    pub life: u64,
    /// The last entry that is known; 0 before the first.
    pub sequence: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.life, self.sequence)
    }
}

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of an event stream")]
pub struct InvalidCursor;

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (life, sequence) = text.split_at_checked(16).filter(|_| digits).ok_or(InvalidCursor)?;
        let number = |part| u64::from_str_radix(part, 16).map_err(|_| InvalidCursor);
        Ok(Self { life: number(life)?, sequence: number(sequence)? })
    }
}

/// What lies after a cursor cannot be told any more: part of it was forgotten, or it belongs to another life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the events after this cursor are no longer all there: look at the present state and go on from a new cursor"
)]
pub struct CursorExpired;

/// The port to the journal of a running tree, for those who read it and for those outside the tree who have something to write.
pub trait EventJournal: Send + Sync {
    /// The latest place: whoever reads on from here misses nothing that happens from now on.
    fn tip(&self) -> Cursor;

    /// The oldest place from which nothing of these classes is missing.
    fn oldest(&self, of: Classes) -> Cursor;

    /// What came after a cursor: at most about `up_to` entries, a batch as a whole.
    ///
    /// # Errors
    /// [`CursorExpired`].
    fn read(&self, after: Cursor, of: Classes, up_to: usize) -> Result<Page, CursorExpired>;

    /// Notified when something of this class was written.
    fn written(&self, class: Class) -> Arc<Notify>;

    /// Writes entries of one place.
    fn write(&self, class: Class, place: &Arc<Place>, entries: Vec<Entry>);

    /// Somebody watches, until the guard is dropped.
    fn watching(&self) -> Box<dyn Send + Sync>;

    /// How many watch.
    fn watchers(&self) -> usize;

    /// A watcher was cut off because it was overtaken.
    fn cut_off(&self);
}

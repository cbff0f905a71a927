//! One entry: what happened to what, from what to what, why, and on whose behalf. Small, and text only where a name will not do: what a reader
//! sees of it is made when somebody reads.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::Class;
use super::names::Subject;
use crate::control::Origin;
use crate::error::ErrorCode;
use crate::task::TaskState;

/// Longest text of a value, a cause or a field's name, in bytes. The rest is cut off.
pub const MAX_TEXT_BYTES: usize = 256;

/// Most changed fields of an entry. The rest is counted in a field of its own.
pub const MAX_CHANGES: usize = 16;

/// Declares the types of events once: variant, name, ring.
macro_rules! event_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $class:ident;)*) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventType { $($(#[$doc])* $variant,)* }

        impl EventType {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name used in filters and on the command line.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The ring that keeps it.
            pub fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)* }
            }
        }
    };
}

event_types! {
    /// A node's state, desired state, health or number of slots is another.
    NodeChanged = "node_changed", Tree;
    /// A node broke and is started again by its supervisor.
    NodeRestarted = "node_restarted", Tree;
    /// A queue, or a scope of it, is held.
    QueuePaused = "queue_paused", Tree;
    /// A queue, or a scope of it, goes on.
    QueueResumed = "queue_resumed", Tree;
    /// Operators say other limits of a queue.
    QueueUpdated = "queue_updated", Tree;
    /// A breaker opened, closed, or lets a probe through.
    BreakerChanged = "breaker_changed", Tree;
    /// A schedule was made at run time.
    ScheduleCreated = "schedule_created", Tree;
    /// A schedule is another, or belongs to nobody any more.
    ScheduleUpdated = "schedule_updated", Tree;
    /// A schedule was deleted.
    ScheduleDeleted = "schedule_deleted", Tree;
    /// A schedule makes nothing until it is resumed.
    SchedulePaused = "schedule_paused", Tree;
    /// A schedule goes on.
    ScheduleResumed = "schedule_resumed", Tree;
    /// Ticks of a schedule, or an operator, made its tasks.
    ScheduleFired = "schedule_fired", Tree;
    /// Ticks of a schedule made no task.
    ScheduleSkipped = "schedule_skipped", Tree;
    /// An operation began.
    OperationStarted = "operation_started", Tree;
    /// An operation went on.
    OperationProgressed = "operation_progressed", Tree;
    /// An operation is done, cancelled or failed.
    OperationEnded = "operation_ended", Tree;
    /// Another configuration is in force.
    ConfigReloaded = "config_reloaded", Tree;
    /// What operators said of a resource is said no more.
    OverrideCleared = "override_cleared", Tree;
    /// Another log filter is in force.
    LogFilterChanged = "log_filter_changed", Tree;
    /// Leases ran out: their tasks are ready again, or dead.
    LeasesExpired = "leases_expired", Tree;
    /// The instance takes no new work until somebody says otherwise.
    DrainStarted = "drain_started", Tree;
    /// The instance takes work again.
    DrainStopped = "drain_stopped", Tree;
    /// The process is to end.
    ShutdownAsked = "shutdown_asked", Tree;
    /// Somebody may call from now on.
    PrincipalCreated = "principal_created", Tree;
    /// A principal may do something else than before.
    PrincipalUpdated = "principal_updated", Tree;
    /// Somebody may call no more.
    PrincipalDeleted = "principal_deleted", Tree;
    /// A principal has another token.
    TokenCreated = "token_created", Tree;
    /// A token is taken no more.
    TokenRevoked = "token_revoked", Tree;
    /// A task was taken.
    TaskAccepted = "task_accepted", Tasks;
    /// The outcome of an attempt was settled.
    TaskSettled = "task_settled", Tasks;
    /// A task was changed from outside.
    TaskChanged = "task_changed", Tasks;
    /// A handler stated a fact; its body is no part of the event.
    FactStated = "fact_stated", Tasks;
}

/// The id of a trace, by W3C Trace Context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// Reads 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u128::from_str_radix(text, 16).ok().filter(|id| well_formed && *id != 0)?;
        Some(Self(id.to_be_bytes()))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// What a field says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Value {
    /// Nothing, or nothing that is known.
    #[default]
    Nothing,
    /// A word of ours.
    Word(&'static str),
    /// A number.
    Number(u64),
    /// A text, at most [`MAX_TEXT_BYTES`] long.
    Text(Arc<str>),
}

impl Value {
    /// A text, as far as it may go.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(bounded(text.as_ref()).into())
    }

    /// A number.
    pub fn number(number: impl TryInto<u64>) -> Self {
        Self::Number(number.try_into().unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Word(word) => f.write_str(word),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// One field that is another than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Which.
    pub field: Cow<'static, str>,
    /// What it said.
    pub before: Value,
    /// What it says.
    pub after: Value,
}

impl Changed {
    /// A field of ours.
    pub fn new(field: &'static str, before: Value, after: Value) -> Self {
        Self { field: Cow::Borrowed(field), before, after }
    }

    /// A field whose name comes from elsewhere.
    pub fn named(field: &str, before: Value, after: Value) -> Self {
        Self { field: Cow::Owned(bounded(field).to_owned()), before, after }
    }

    /// A field of which only the present is told.
    pub fn is(field: &'static str, after: Value) -> Self {
        Self::new(field, Value::Nothing, after)
    }
}

/// What is another than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// Of a task: kept as it is, since there are many.
    Task(TaskChange),
    /// Of anything else.
    Fields(Box<[Changed]>),
}

impl Changes {
    /// These fields, at most [`MAX_CHANGES`]; what is beyond is counted.
    pub fn of(changed: impl IntoIterator<Item = Changed>) -> Self {
        let mut changed: Vec<Changed> = changed.into_iter().collect();
        if changed.len() > MAX_CHANGES {
            let more = changed.len() - (MAX_CHANGES - 1);
            changed.truncate(MAX_CHANGES - 1);
            changed.push(Changed::is("more", Value::number(more)));
        }
        Self::Fields(changed.into())
    }

    /// One field.
    pub fn one(field: &'static str, before: Value, after: Value) -> Self {
        Self::of([Changed::new(field, before, after)])
    }

    /// Every field that is another.
    pub fn fields(&self) -> Cow<'_, [Changed]> {
        match self {
            Self::Fields(fields) => Cow::Borrowed(fields),
            Self::Task(change) => Cow::Owned(change.fields()),
        }
    }
}

/// Where a task stood and stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskChange {
    /// Where it stood; `None` when it was not there.
    pub before: Option<TaskState>,
    /// Where it stands; `None` when it is forgotten.
    pub after: Option<TaskState>,
    /// Which attempt it was; 0 where there was none.
    pub attempt: u32,
}

impl TaskChange {
    fn fields(self) -> Vec<Changed> {
        let state =
            |state: Option<TaskState>| state.map_or(Value::Nothing, |state| Value::Word(state.as_str()));
        let mut fields = vec![Changed::new("state", state(self.before), state(self.after))];
        if self.attempt > 0 {
            fields.push(Changed::is("attempt", Value::Number(self.attempt.into())));
        }
        fields
    }
}

/// Why it happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Cause {
    /// The platform does it by itself: start, shutdown, what follows from something else.
    #[default]
    Platform,
    /// Somebody commanded it: what, in a word.
    Command(&'static str),
    /// A fault of a node: what it said.
    Fault(Arc<str>),
    /// An attempt ended so.
    Outcome(&'static str, Option<ErrorCode>),
    /// A tick of a schedule.
    Tick(Timestamp),
    /// It came in from outside.
    Source,
    /// Another task made it.
    FollowUp,
}

impl Cause {
    /// A fault, as far as its text may go.
    pub fn fault(text: &str) -> Self {
        Self::Fault(bounded(text).into())
    }

    /// The code of the closed list that it carries.
    pub fn error_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Outcome(_, code) => *code,
            _ => None,
        }
    }

    /// The name used in filters.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Command(_) => "command",
            Self::Fault(_) => "fault",
            Self::Outcome(..) => "outcome",
            Self::Tick(_) => "tick",
            Self::Source => "source",
            Self::FollowUp => "follow_up",
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, by the clock of the tree.
    pub at: Timestamp,
    /// What.
    pub kind: EventType,
    /// To what.
    pub subject: Subject,
    /// From what to what.
    pub changes: Changes,
    /// Why.
    pub cause: Cause,
    /// On whose behalf.
    pub origin: Origin,
    /// In which trace: of the attempt, or of whoever commanded it.
    pub trace: Option<TraceId>,
}

impl Entry {
    /// Something that the platform does by itself.
    pub fn new(at: Timestamp, kind: EventType, subject: Subject, changes: Changes) -> Self {
        Self { at, kind, subject, changes, cause: Cause::Platform, origin: Origin::default(), trace: None }
    }

    /// Why.
    #[must_use]
    pub fn because(self, cause: Cause) -> Self {
        Self { cause, ..self }
    }

    /// On whose behalf. Nothing is changed by an origin that says nobody.
    #[must_use]
    pub fn of(self, origin: &Origin, command: &'static str) -> Self {
        match origin.asked() {
            None => self,
            Some(asked) => Self {
                trace: self.trace.or(asked.trace),
                cause: Cause::Command(command),
                origin: origin.clone(),
                ..self
            },
        }
    }
}

/// The beginning of a text.
fn bounded(text: &str) -> &str {
    let end = (0..=MAX_TEXT_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stays_small() {
        assert!(size_of::<Entry>() <= 136, "{} bytes", size_of::<Entry>());
        assert_eq!(Value::text("ü".repeat(200)).to_string().len(), MAX_TEXT_BYTES);
        let many = (0..40).map(|_| Changed::is("field", Value::Number(1)));
        let Changes::Fields(fields) = Changes::of(many) else { panic!("fields") };
        assert_eq!(fields.len(), MAX_CHANGES);
        assert_eq!(fields[MAX_CHANGES - 1], Changed::is("more", Value::Number(25)));
    }

    #[test]
    fn a_trace_id_is_read_as_it_is_written() {
        let text = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(TraceId::parse(text).expect("an id").to_string(), text);
        for bad in ["", "4bf9", "00000000000000000000000000000000", "+bf92f3577b34da6a3ce929d0e0e4736"] {
            assert_eq!(TraceId::parse(bad), None, "{bad}");
        }
    }
}

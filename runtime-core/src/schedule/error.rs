//! What can be wrong with the text of a schedule.

/// A schedule, or a part of one, that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// The expression has neither five fields nor six.
    #[error(
        "{found} fields in {text:?}: five are expected (minute, hour, day of month, month, day of week), \
         or six with the second first"
    )]
    FieldCount {
        /// The expression.
        text: String,
        /// How many fields it has.
        found: usize,
    },
    /// The expression begins with `@` and is none of the names there are.
    #[error(
        "unknown name {0:?}: there are @yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly"
    )]
    UnknownName(String),
    /// One item of one field is wrong.
    #[error("{field} {item:?}: {reason}")]
    Field {
        /// Which field.
        field: &'static str,
        /// The item of its list.
        item: String,
        /// Why it cannot be.
        reason: String,
    },
    /// Every field is right, and no date fits them all, as 30 February.
    #[error("{0:?} never comes: no date fits")]
    Never(String),
    /// The zone is not in the time zone database that is built in.
    #[error("unknown time zone {0:?}: a name such as \"Europe/Berlin\" or \"UTC\" is expected")]
    UnknownZone(String),
    /// An interval that is no whole number of seconds from 1 to 4,294,967,295.
    #[error("an interval of {0:?} is not a whole number of seconds, at least one")]
    Interval(std::time::Duration),
    /// The schedule ends before it starts.
    #[error("the schedule ends at {end}, not after its start at {start}")]
    EndsBeforeStart {
        /// When it starts.
        start: jiff::Timestamp,
        /// When it ends.
        end: jiff::Timestamp,
    },
}

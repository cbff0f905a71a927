//! How every service speaks to the tree: one command, one answer, one deadline.

use std::sync::Arc;
use std::time::Duration;

use runtime_core::control::{Command, CommandError, Control, InstanceControl, Origin, Reply, ask_on_behalf};
use runtime_core::error::ErrorCode;
use runtime_core::journal::{Entry, EventJournal};
use tonic::{Request, Status};

use crate::status::{Resource, refusal};

/// The door into the tree, and how long to wait behind it.
#[derive(Clone)]
pub(crate) struct Door {
    control: Arc<dyn Control>,
    patience: Duration,
    origin: Origin,
}

impl Door {
    pub(crate) fn new(control: Arc<dyn Control>, patience: Duration) -> Self {
        Self { control, patience, origin: Origin::platform() }
    }

    /// The same door for one call: its caller may have less patience (`grpc-timeout`) than the server, and what is asked is asked on its
    /// behalf.
    pub(crate) fn for_call<T>(&self, call: &Request<T>) -> Self {
        let asked = call.metadata().get("grpc-timeout");
        let asked = asked.and_then(|value| parse_grpc_timeout(value.to_str().ok()?));
        let origin = call.extensions().get().cloned().unwrap_or_default();
        Self { origin, ..self.clone() }.within(asked.unwrap_or(self.patience))
    }

    /// On whose behalf it is asked.
    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What happens in the tree.
    pub(crate) fn journal(&self) -> Result<Arc<dyn EventJournal>, Status> {
        let none = || CommandError::new(ErrorCode::NoAnswer, "the tree is not up yet");
        self.control.journal().ok_or_else(|| refusal(&none(), &Resource::system()))
    }

    /// From where somebody who looks now would watch on. Taken before anything is looked at, so that nothing falls in between; empty while
    /// there is nothing to watch.
    pub(crate) fn event_cursor(&self) -> String {
        self.control.journal().map(|journal| journal.tip().to_string()).unwrap_or_default()
    }

    /// Writes what was done outside the tree, on whose behalf this door asks.
    pub(crate) fn note(&self, entry: Entry, command: &'static str) {
        if let Some(journal) = self.control.journal() {
            let entry = entry.of(&self.origin, command);
            journal.write(entry.kind.class(), &Arc::default(), vec![entry]);
        }
    }

    /// The same door with at most this patience.
    pub(crate) fn within(self, patience: Duration) -> Self {
        Self { patience: self.patience.min(patience), ..self }
    }

    /// Asks about something and waits for the answer.
    pub(crate) async fn ask<T>(
        &self,
        about: &Resource,
        make: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, Status> {
        self.answer(make).await.map_err(|error| refusal(&error, about))
    }

    /// The tree itself, for those that steer it on behalf of a call.
    pub(crate) fn control(&self) -> &dyn Control {
        &*self.control
    }

    /// The process round the tree.
    pub(crate) fn instance(&self) -> Result<Arc<dyn InstanceControl>, Status> {
        let none = || CommandError::precondition("this process was started without a configuration");
        self.control.instance().ok_or_else(|| refusal(&none(), &Resource::system()))
    }

    /// Hands a command in whose answer somebody else waits for.
    pub(crate) fn send(&self, command: Command, about: &Resource) -> Result<(), Status> {
        self.control.send_on_behalf(command, self.origin.clone()).map_err(|error| refusal(&error, about))
    }

    /// The same as [`Door::ask`], with the tree's own error.
    pub(crate) async fn answer<T>(&self, make: impl FnOnce(Reply<T>) -> Command) -> Result<T, CommandError> {
        let asked = ask_on_behalf(&*self.control, self.origin.clone(), make);
        tokio::time::timeout(self.patience, asked).await.unwrap_or_else(|_| {
            let text = format!("the tree did not answer within {:?}", self.patience);
            Err(CommandError::new(ErrorCode::NoAnswer, text))
        })
    }
}

/// Reads the `grpc-timeout` header: at most eight digits and a unit.
fn parse_grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_hours(amount)),
        "M" => Some(Duration::from_mins(amount)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callers_patience_is_read_as_grpc_writes_it() {
        assert_eq!(parse_grpc_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_grpc_timeout("2S"), Some(Duration::from_secs(2)));
        for bad in ["", "S", "2", "-2S", "123456789S", "2s", "2 S", "ü"] {
            assert_eq!(parse_grpc_timeout(bad), None, "{bad:?}");
        }
    }
}

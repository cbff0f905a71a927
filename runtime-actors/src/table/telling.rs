//! What a node's row tells of itself: each change of what operators see, with what it was before.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::control::Origin;
use runtime_core::journal::{
    Cause, Changed, Changes, Class, Entry, EventJournal, EventType, Place, Subject, Value,
};
use runtime_core::name::QueueName;
use runtime_core::node::{DesiredState, Health, NodeState};
use runtime_core::supervision::Fault;

use super::{NodeEntry, lock};
use crate::journal::SharedJournal;

impl NodeEntry {
    /// Where what happens to it belongs: its app and its worker by its path, and the queue that was said.
    pub(crate) fn place(&self) -> &Arc<Place> {
        self.place.get_or_init(|| Arc::new(Place::of_node(&self.path)))
    }

    /// It takes its tasks from this queue. Said before anything happens to it.
    pub(crate) fn takes_from(&self, queue: &QueueName) {
        let place = || Place { queue: Some(queue.clone()), ..Place::of_node(&self.path) };
        self.place.get_or_init(|| Arc::new(place()));
    }

    /// When it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Where what happens is written.
    pub(crate) fn journal(&self) -> &SharedJournal {
        &self.journal
    }

    /// Writes what happened to tasks of this node.
    pub(crate) fn note_tasks(&self, entries: Vec<Entry>) {
        self.journal.write(Class::Tasks, self.place(), entries);
    }

    /// What changes of it from now on changes on somebody's behalf.
    pub(crate) fn begin_behalf(&self, origin: &Origin, command: &'static str) {
        *lock(&self.behalf) = (origin.clone(), command);
    }

    /// What was commanded has happened. What somebody else commanded since goes on.
    pub(crate) fn end_behalf(&self, origin: &Origin) {
        let mut behalf = lock(&self.behalf);
        if behalf.0 == *origin {
            *behalf = Default::default();
        }
    }

    /// Its supervisor starts it again, for this fault, after this time.
    pub(crate) fn note_restart(&self, fault: Option<&Fault>, backoff: Duration) {
        self.expect_restart(fault, backoff);
        let fault = fault.map(ToString::to_string);
        let before = self.restarts.fetch_add(1, Ordering::Relaxed);
        let cause = Cause::fault(fault.as_deref().unwrap_or_default());
        let changed = Changed::new("restarts", Value::Number(before), Value::Number(before + 1));
        self.set_fault(fault);
        self.journal.note(self.place(), self.entry(EventType::NodeRestarted, [changed]).because(cause));
    }

    /// Has so many slots. That it got its first ones is no change.
    pub(crate) fn set_slots(&self, slots: u64) {
        let before = self.slots.swap(slots, Ordering::Relaxed);
        if before != slots && before > 0 {
            self.tell([Changed::new("slots", Value::Number(before), Value::Number(slots))], None);
        }
    }

    pub(super) fn note_state(&self, before: NodeState, after: NodeState) {
        let fault = match after {
            NodeState::BackingOff | NodeState::Abandoned => lock(&self.last_fault).clone(),
            _ => None,
        };
        let changed = Changed::new("state", Value::Word(before.as_str()), Value::Word(after.as_str()));
        self.tell([changed], fault.map(|fault| Cause::fault(&fault)));
    }

    pub(super) fn note_desired(&self, before: DesiredState, after: DesiredState) {
        self.tell([Changed::new("desired", Value::Word(before.as_str()), Value::Word(after.as_str()))], None);
    }

    /// Another level is told, with what is said of it; another text alone is not.
    pub(super) fn note_health(&self, before: &Health, after: &Health) {
        if before.level() != after.level() {
            let changed = Changed::new("health", Value::Word(before.level()), Value::Word(after.level()));
            let text = after.reason().map(|text| Changed::is("health_text", Value::text(text)));
            self.tell([changed].into_iter().chain(text), None);
        }
    }

    /// Writes that this node is another: for a fault, or on behalf of whoever commands it.
    fn tell(&self, changes: impl IntoIterator<Item = Changed>, fault: Option<Cause>) {
        let (origin, command) = lock(&self.behalf).clone();
        let entry = self.entry(EventType::NodeChanged, changes).of(&origin, command);
        let entry = match fault {
            Some(fault) => entry.because(fault),
            None => entry,
        };
        self.journal.note(self.place(), entry);
    }

    fn entry(&self, kind: EventType, changes: impl IntoIterator<Item = Changed>) -> Entry {
        Entry::new(self.now(), kind, Subject::Node(self.path.clone()), Changes::of(changes))
    }
}

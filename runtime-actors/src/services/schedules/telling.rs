//! What is told of schedules.

use runtime_core::journal::{Cause, Changed, Changes, Entry, EventType, Place, Subject, Value};
use runtime_core::schedule::Tick;

use super::*;

impl ScheduleService {
    /// Ticks that made their tasks, and ticks that made none.
    pub(super) fn tell_decided(
        &self,
        stored: &StoredSchedule,
        fired: &[Tick],
        skipped: &[Skipped],
        now: Timestamp,
    ) {
        if let Some(last) = fired.last() {
            let mut fields = vec![Changed::is("ticks", Value::number(fired.len()))];
            fields.extend(
                stored.state.last_task.map(|task| Changed::is("last_task", Value::text(task.to_string()))),
            );
            self.write_entry(stored, EventType::ScheduleFired, fields, now, |entry| {
                entry.because(Cause::Tick(last.at))
            });
        }
        for run in skipped {
            let fields = [
                Changed::is("first", Value::text(run.first.to_string())),
                Changed::is("last", Value::text(run.last.to_string())),
                Changed::is("why", Value::text(format!("{:?}", run.reason).to_lowercase())),
            ];
            self.write_entry(stored, EventType::ScheduleSkipped, fields, now, |entry| {
                entry.because(Cause::Tick(run.last))
            });
        }
    }

    /// Somebody changed a schedule.
    pub(super) fn tell_changed(
        &self,
        stored: &StoredSchedule,
        kind: EventType,
        fields: impl IntoIterator<Item = Changed>,
        origin: &Origin,
        command: &'static str,
    ) {
        let now = self.platform.clock.now();
        self.write_entry(stored, kind, fields, now, |entry| entry.of(origin, command));
    }

    fn write_entry(
        &self,
        stored: &StoredSchedule,
        kind: EventType,
        fields: impl IntoIterator<Item = Changed>,
        now: Timestamp,
        finish: impl FnOnce(Entry) -> Entry,
    ) {
        let StoredSchedule { spec, .. } = stored;
        let entry = Entry::new(now, kind, Subject::Schedule(spec.name.clone()), Changes::of(fields));
        self.platform.journal.note(&Arc::new(Place::of_route(&spec.route)), finish(entry));
    }
}

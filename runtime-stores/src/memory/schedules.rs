//! Schedules: documents that change together with the tasks they make.

use runtime_core::name::ScheduleName;
use runtime_core::schedule::{ScheduleSpec, ScheduleState};
use runtime_core::store::{EnqueueError, Enqueued, Fired, Firing, PutSchedule, Revision, StoredSchedule};

use super::enqueue::Origin;
use super::state::State;

impl State {
    fn has_schedule(&self, name: &ScheduleName, revision: Revision) -> bool {
        self.schedules.get(name).is_some_and(|stored| stored.revision == revision)
    }

    pub(super) fn put_schedule(
        &mut self,
        spec: ScheduleSpec,
        state: ScheduleState,
        expected: Option<Revision>,
    ) -> PutSchedule {
        let fits = match expected {
            None => !self.schedules.contains_key(&spec.name),
            Some(revision) => self.has_schedule(&spec.name, revision),
        };
        if !fits {
            return PutSchedule::Conflict;
        }
        let revision = expected.map_or(Revision::FIRST, Revision::next);
        self.schedules.insert(spec.name.clone(), StoredSchedule { spec, state, revision });
        PutSchedule::Written(revision)
    }

    pub(super) fn delete_schedule(&mut self, name: &ScheduleName, expected: Revision) -> bool {
        self.has_schedule(name, expected) && self.schedules.remove(name).is_some()
    }

    pub(super) fn fire(&mut self, firing: Firing) -> Result<Fired, EnqueueError> {
        if !self.has_schedule(&firing.name, firing.revision) {
            return Ok(Fired::Conflict);
        }
        let tasks = self.take_in_whole(firing.tasks, Origin::Outside)?;
        let mut state = firing.state;
        state.last_task = tasks.last().map(Enqueued::id).or(state.last_task);
        let revision = firing.revision.next();
        if let Some(stored) = self.schedules.get_mut(&firing.name) {
            (stored.state, stored.revision) = (state, revision);
        }
        Ok(Fired::Done { revision, tasks })
    }
}

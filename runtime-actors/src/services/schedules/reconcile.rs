//! What is declared meets what is stored.

use super::*;

impl ScheduleService {
    /// Reads the store and brings it in line with what the apps declare: new ones are made, changed ones replaced, those that nobody
    /// declares any more orphaned, and those that somebody declares again adopted.
    pub(super) async fn reconcile(&mut self) -> Result<(), CommandError> {
        let now = self.platform.clock.now();
        let mut stored: BTreeMap<ScheduleName, StoredSchedule> = self
            .platform
            .store
            .schedules()
            .await?
            .into_iter()
            .map(|one| (one.spec.name.clone(), one))
            .collect();
        for spec in self.declared.clone().iter() {
            match stored.remove(&spec.name) {
                None => {
                    self.write(spec.clone(), ScheduleState::new(DeclaredBy::App, now), None).await?;
                    tracing::info!(schedule = %spec.name, "schedule made");
                }
                Some(known) => {
                    let state = declared_again(&known, spec, now);
                    if state != known.state || *spec != known.spec {
                        self.write(spec.clone(), state, Some(known.revision)).await?;
                        tracing::info!(schedule = %spec.name, "schedule brought in line with its declaration");
                    }
                }
            }
        }
        for (name, known) in stored {
            let mut state = known.state.clone();
            // What was made at run time needs no declaration, but a worker.
            let served = || self.platform.intake.serves(&known.spec.route);
            if state.declared_by == DeclaredBy::RunTime && served() {
                state.adopt(now);
            } else if !state.orphaned {
                state.orphan();
                tracing::warn!(schedule = %name, "nobody declares this schedule any more: it makes nothing");
            }
            if state != known.state {
                self.write(known.spec, state, Some(known.revision)).await?;
            }
        }
        self.read_again().await
    }

    async fn write(
        &self,
        spec: ScheduleSpec,
        state: ScheduleState,
        expected: Option<Revision>,
    ) -> Result<(), CommandError> {
        let name = spec.name.clone();
        match self.platform.store.put_schedule(spec, state, expected).await? {
            PutSchedule::Written(_) => Ok(()),
            PutSchedule::Conflict => {
                Err(CommandError::precondition(format!("schedule {name} was changed at the same moment")))
            }
        }
    }

    /// Takes over what is stored. What was not changed is kept with what is known of it.
    pub(super) async fn read_again(&mut self) -> Result<(), CommandError> {
        let stored = self.platform.store.schedules().await?;
        let mut before = self.book.take().unwrap_or_default();
        let book = stored.into_iter().map(|stored| {
            let name = stored.spec.name.clone();
            let kept = before.remove(&name).filter(|kept| kept.stored.revision == stored.revision);
            (name, kept.unwrap_or_else(|| Kept::new(stored, &self.platform.intake)))
        });
        let book: BTreeMap<ScheduleName, Kept> = book.collect();
        for (name, kept) in &book {
            if let Some(unfit) = &kept.unfit {
                tracing::error!(schedule = %name, error_code = %ErrorCode::InvalidInput, error = %unfit, "schedule makes nothing");
            }
        }
        self.book = Some(book);
        self.changed = true;
        Ok(())
    }
}

/// The state of a stored schedule that an app declares. Other times begin now: what lay before was never theirs. Everything else of
/// the state stays, so a pause outlives a release.
fn declared_again(known: &StoredSchedule, spec: &ScheduleSpec, now: Timestamp) -> ScheduleState {
    let mut state = other_times(known, spec, now);
    state.declared_by = DeclaredBy::App;
    state.adopt(now);
    state
}

/// The state of a stored schedule that becomes another one. Other times begin now.
pub(super) fn other_times(known: &StoredSchedule, spec: &ScheduleSpec, now: Timestamp) -> ScheduleState {
    let mut state = known.state.clone();
    if (&known.spec.timing, known.spec.window()) != (&spec.timing, spec.window()) {
        state.since = state.since.max(now);
    }
    state
}

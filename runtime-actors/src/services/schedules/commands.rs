//! What operators do to schedules.

use runtime_core::control::{Backfilled, MAX_BACKFILL, Origin, PreviewedTick, Reply, ScheduleCommand};
use runtime_core::etag::{Etag, Terms};
use runtime_core::journal::{Cause, Changed, EventType, Value};
use runtime_core::schedule::Paused;
use runtime_core::store::Enqueued;
use runtime_core::task::NewTask;

use super::reconcile::other_times;
use super::*;
use crate::services::telling::{Accepted, Asked};

/// An answer that is ready: sent once the node shows what it speaks of.
pub(crate) type Answer = Box<dyn FnOnce() + Send>;

fn answer<T: Send + 'static>(reply: Reply<T>, result: Result<T, CommandError>) -> Answer {
    Box::new(move || reply.send(result))
}

impl ScheduleService {
    /// Carries a command out, as far as it changes something or needs the store.
    pub(crate) async fn carry_out(&mut self, command: ScheduleCommand, origin: &Origin) -> Answer {
        match command {
            ScheduleCommand::List { reply } => answer(reply, self.views().ok_or_else(|| self.not_read())),
            ScheduleCommand::Get { name, reply } => answer(reply, self.view(&name)),
            ScheduleCommand::Preview { name, after, count, reply } => {
                let after = after.unwrap_or_else(|| self.platform.clock.now());
                answer(reply, self.preview(&name, after, count))
            }
            ScheduleCommand::Pause { name, reason, by, terms, reply } => {
                let at = self.platform.clock.now();
                let change = |state: &mut ScheduleState| state.pause(Paused { reason, by, at });
                answer(reply, self.change(&name, &terms, change, origin).await)
            }
            ScheduleCommand::Resume { name, terms, reply } => {
                let at = self.platform.clock.now();
                answer(reply, self.change(&name, &terms, |state| state.resume(at), origin).await)
            }
            ScheduleCommand::Trigger { name, reply } => answer(reply, self.trigger(&name, origin).await),
            ScheduleCommand::Backfill { name, from, until, reply } => {
                answer(reply, self.backfill(&name, from, until, origin).await)
            }
            ScheduleCommand::Create { spec, validate_only, reply } => {
                answer(reply, self.create(*spec, validate_only, origin).await)
            }
            ScheduleCommand::Update { spec, terms, reply } => {
                answer(reply, self.update(*spec, &terms, origin).await)
            }
            ScheduleCommand::Delete { name, terms, reply } => {
                answer(reply, self.delete(&name, &terms, origin).await)
            }
        }
    }

    fn not_read(&self) -> CommandError {
        let why = match &self.trouble {
            Some(Health::Unhealthy(why) | Health::Degraded(why)) => why.as_str(),
            Some(Health::Healthy) | None => "the store was not read yet",
        };
        CommandError::new(ErrorCode::StoreUnavailable, format!("schedules are not known: {why}"))
    }

    fn find(&self, name: &ScheduleName) -> Result<&StoredSchedule, CommandError> {
        let book = self.book.as_ref().ok_or_else(|| self.not_read())?;
        let kept = book.get(name).ok_or_else(|| CommandError::not_found(format!("no schedule {name}")))?;
        Ok(&kept.stored)
    }

    fn view(&self, name: &ScheduleName) -> Result<ScheduleView, CommandError> {
        self.find(name)?;
        let kept = self.book.as_ref().and_then(|book| book.get(name));
        kept.map(Kept::view).ok_or_else(|| CommandError::not_found(format!("no schedule {name}")))
    }

    /// A schedule as whoever changes it has read it. Nobody else writes it until it is written here, or its revision says so.
    fn on_terms(&self, name: &ScheduleName, terms: &Terms) -> Result<StoredSchedule, CommandError> {
        let known = self.find(name)?;
        if terms.fit(&known.etag()) { Ok(known.clone()) } else { Err(changed_meanwhile(name)) }
    }

    /// How a schedule would be seen that is this now.
    fn would_be(&self, stored: StoredSchedule, now: Etag) -> ScheduleView {
        ScheduleView { etag: now, ..Kept::new(stored, &self.platform.intake).view() }
    }

    fn preview(
        &self,
        name: &ScheduleName,
        after: Timestamp,
        count: usize,
    ) -> Result<Vec<PreviewedTick>, CommandError> {
        let spec = &self.find(name)?.spec;
        let times = spec.timing.preview(after, &spec.window(), count).into_iter();
        times.map(|at| Ok(PreviewedTick { tick: spec.tick(at), input: spec.input_at(at)? })).collect()
    }

    /// Writes another state; what the change brings is decided at once.
    async fn change(
        &mut self,
        name: &ScheduleName,
        terms: &Terms,
        change: impl FnOnce(&mut ScheduleState),
        origin: &Origin,
    ) -> Result<ScheduleView, CommandError> {
        let before = self.on_terms(name, terms)?;
        let StoredSchedule { mut state, revision, .. } = before.clone();
        change(&mut state);
        if terms.validate_only {
            let now = before.etag();
            return Ok(self.would_be(StoredSchedule { state, ..before }, now));
        }
        let paused = (before.state.paused.is_some(), state.paused.is_some());
        let firing = Firing { name: name.clone(), revision, state: state.clone(), tasks: Vec::new() };
        match self.platform.store.fire(firing).await? {
            Fired::Conflict => {
                self.read_again().await?;
                return Err(changed_meanwhile(name));
            }
            Fired::Done { revision, .. } => {
                self.changed = true;
                if let Some(kept) = self.kept(name) {
                    kept.stored.state = state;
                    kept.stored.revision = revision;
                    kept.wake = kept.unfit.is_none().then_some(Timestamp::MIN);
                    kept.next_tick = None;
                }
            }
        }
        let word = |paused| Value::Word(if paused { "yes" } else { "no" });
        let changed = Changed::new("paused", word(paused.0), word(paused.1));
        let (kind, command) = if paused.1 {
            (EventType::SchedulePaused, "pause")
        } else {
            (EventType::ScheduleResumed, "resume")
        };
        self.tell_changed(&before, kind, [changed], origin, command);
        self.decide_changed(name).await;
        self.view(name)
    }

    async fn trigger(&self, name: &ScheduleName, origin: &Origin) -> Result<Enqueued, CommandError> {
        let second = self.platform.clock.now().as_second();
        let at = Timestamp::from_second(second).unwrap_or(Timestamp::MIN);
        let task = self.runnable(name)?.spec.task_besides(at, |task| self.platform.intake.complete(task))?;
        let task = NewTask { asked_by_name: true, ..task };
        let asked = Asked::of(&task);
        let mut made = self.platform.store.enqueue(vec![task]).await?;
        let made = made.pop().ok_or_else(|| CommandError::new(ErrorCode::NoAnswer, "no answer"))??;
        tracing::info!(schedule = %name, task = %made.id(), "schedule triggered by an operator");
        let mut accepted = Accepted::new(self.platform.clock.now(), Cause::Command("trigger"), origin);
        accepted.answered(&asked, &made);
        accepted.tell(&self.platform.journal);
        let task = Changed::is("last_task", Value::text(made.id().to_string()));
        self.tell_changed(self.find(name)?, EventType::ScheduleFired, [task], origin, "trigger");
        Ok(made)
    }

    /// A schedule that may make tasks when an operator asks for them.
    fn runnable(&self, name: &ScheduleName) -> Result<&StoredSchedule, CommandError> {
        let stored = self.find(name)?;
        if stored.state.orphaned {
            let text =
                format!("schedule {name} is orphaned: no app declares it, or no worker takes its tasks");
            return Err(CommandError::precondition(text));
        }
        Ok(stored)
    }

    async fn backfill(
        &self,
        name: &ScheduleName,
        from: Timestamp,
        until: Timestamp,
        origin: &Origin,
    ) -> Result<Backfilled, CommandError> {
        let spec = &self.runnable(name)?.spec;
        let wrong = |text: &str| Err(CommandError::new(ErrorCode::InvalidArgument, text));
        if from >= until {
            return wrong("the period ends before it begins");
        }
        if until > self.platform.clock.now() {
            return wrong("the period ends in the future: ticks to come make their tasks by themselves");
        }
        let most = MAX_BACKFILL.min(self.platform.store.limits().max_batch);
        let mut ticks: Vec<Timestamp> =
            spec.timing.period(from, until, &spec.window()).take(most + 1).collect();
        let mut next_from = ticks.get(most).copied();
        ticks.truncate(most);
        let complete = |task| self.platform.intake.complete(NewTask { asked_by_name: true, ..task });
        let tasks = ticks.iter().map(|at| spec.task(&spec.tick(*at), complete)).collect::<Result<_, _>>()?;
        let mut done = Backfilled { made: Vec::new(), known: 0, next_from: None };
        for (at, answer) in ticks.iter().zip(self.platform.store.enqueue(tasks).await?) {
            match answer {
                Ok(Enqueued::Accepted { id }) => done.made.push(id),
                Ok(_) => done.known += 1,
                Err(error) if done.made.is_empty() => return Err(error.into()),
                // As far as the queue took them. What comes later is in the queue as well, or refused, and found again by its key.
                Err(_) => next_from = Some(next_from.map_or(*at, |next| next.min(*at))),
            }
        }
        done.next_from = next_from;
        let made = Changed::is("made", Value::number(done.made.len()));
        self.tell_changed(self.find(name)?, EventType::ScheduleFired, [made], origin, "backfill");
        tracing::info!(schedule = %name, made = done.made.len(), known = done.known, %from, %until, "schedule backfilled");
        Ok(done)
    }

    /// Whether a schedule may be made, or become, what is asked.
    fn refuse(&self, spec: &ScheduleSpec) -> Result<(), CommandError> {
        spec.check().map_err(|error| CommandError::new(ErrorCode::InvalidArgument, error.to_string()))?;
        self.views().ok_or_else(|| self.not_read())?;
        if !self.platform.intake.serves(&spec.route) {
            let Route { app, queue, handler } = &spec.route;
            let text = format!("no worker runs handler {handler} of queue {queue} in app {app}");
            return Err(CommandError::not_found(text));
        }
        let misfits = self.platform.intake.misfits(spec);
        if misfits.is_empty() { Ok(()) } else { Err(Misfits(misfits).into()) }
    }

    async fn create(
        &mut self,
        spec: ScheduleSpec,
        validate_only: bool,
        origin: &Origin,
    ) -> Result<ScheduleView, CommandError> {
        self.refuse(&spec)?;
        let name = spec.name.clone();
        let state = ScheduleState::new(DeclaredBy::RunTime, self.platform.clock.now());
        if validate_only {
            return match self.find(&name) {
                Ok(_) => Err(CommandError::precondition(format!("there is a schedule {name} already"))),
                Err(_) => {
                    let made = StoredSchedule { spec, state, revision: Revision(0) };
                    let etag = made.etag();
                    Ok(self.would_be(made, etag))
                }
            };
        }
        if self.platform.store.put_schedule(spec, state, None).await? == PutSchedule::Conflict {
            return Err(CommandError::precondition(format!("there is a schedule {name} already")));
        }
        self.read_again().await?;
        tracing::info!(schedule = %name, "schedule made by an operator");
        self.tell_changed(self.find(&name)?, EventType::ScheduleCreated, [], origin, "create");
        self.decide_changed(&name).await;
        self.view(&name)
    }

    async fn update(
        &mut self,
        spec: ScheduleSpec,
        terms: &Terms,
        origin: &Origin,
    ) -> Result<ScheduleView, CommandError> {
        let name = spec.name.clone();
        let known = self.on_terms(&name, terms)?;
        if known.state.declared_by == DeclaredBy::App {
            let text = format!("schedule {name} was declared by its app: change the declaration");
            return Err(CommandError::precondition(text));
        }
        self.refuse(&spec)?;
        let now = self.platform.clock.now();
        let mut state = other_times(&known, &spec, now);
        // It may have been orphaned, and be given a worker that is there.
        state.adopt(now);
        if terms.validate_only {
            let now = known.etag();
            return Ok(self.would_be(StoredSchedule { spec, state, ..known }, now));
        }
        let put = self.platform.store.put_schedule(spec, state, Some(known.revision)).await?;
        self.read_again().await?;
        if put == PutSchedule::Conflict {
            return Err(changed_meanwhile(&name));
        }
        tracing::info!(schedule = %name, "schedule changed by an operator");
        let revision = |stored: &StoredSchedule| Value::text(format!("{:?}", stored.revision));
        let now = self.find(&name)?;
        let changed = Changed::new("revision", revision(&known), revision(now));
        self.tell_changed(now, EventType::ScheduleUpdated, [changed], origin, "update");
        self.decide_changed(&name).await;
        self.view(&name)
    }

    async fn delete(
        &mut self,
        name: &ScheduleName,
        terms: &Terms,
        origin: &Origin,
    ) -> Result<(), CommandError> {
        let known = self.on_terms(name, terms)?;
        let StoredSchedule { state, revision, .. } = known.clone();
        if state.declared_by == DeclaredBy::App && !state.orphaned {
            let text = format!("schedule {name} is declared by its app: pause it, or remove the declaration");
            return Err(CommandError::precondition(text));
        }
        if terms.validate_only {
            return Ok(());
        }
        let gone = self.platform.store.delete_schedule(name.clone(), revision).await?;
        self.read_again().await?;
        if !gone {
            return Err(changed_meanwhile(name));
        }
        tracing::info!(schedule = %name, "schedule deleted by an operator");
        self.tell_changed(&known, EventType::ScheduleDeleted, [], origin, "delete");
        Ok(())
    }
}

fn changed_meanwhile(name: &ScheduleName) -> CommandError {
    CommandError::changed(format!("schedule {name} was changed since it was read: read it again"))
}

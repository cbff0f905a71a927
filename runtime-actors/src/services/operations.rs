//! Operations, batch by batch.
//!
//! ```text
//! stored, running ─▶ book ─▶ due? ─▶ walk: the next tasks that fit ─▶ Operation::next_step (pure)
//!                     ▲                                                       │
//!                     │                            Store::step_operation: tasks and progress, one transaction
//!                     ├── read again ◀── Conflict ◀──────────────────────────┤
//!                     └── told to whoever follows ◀──────────────────────────┘
//! ```
//!
//! Whatever fails is tried again; only what can never go on ends as failed. Nothing is kept here that the store does not have, so a crash
//! at any moment loses nothing: the next start goes on where the last batch that was written ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runtime_core::control::{CommandError, OperationAsk, OperationCommand, OperationPreview, Origin, Reply};
use runtime_core::error::{ErrorClass, ErrorCode, TaskError};
use runtime_core::etag::Terms;
use runtime_core::journal::{Changed, Changes, Entry, EventType, Place, Subject, Value};
use runtime_core::name::PrincipalName;
use runtime_core::node::Health;
use runtime_core::operation::{
    Operation, OperationCounts, OperationId, OperationKind, OperationSpec, OperationState, Pace,
};
use runtime_core::store::{OperationStep, Stepped, StoreError, TaskFilter};
use tokio::sync::watch;

use crate::platform::Platform;

/// Most tasks of one batch. Between two batches others get at the store.
const BATCH: usize = 500;

/// How many tasks a preview shows.
const SAMPLE: usize = 5;

/// How long a sleep may be at most: a wall clock that was moved is noticed by then.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// How long until tasks that were under way, and were asked to end, are looked at again.
const LOOK_AT_RUNNING: SignedDuration = SignedDuration::from_millis(200);

/// How long a failed try waits, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// The operations of one tree.
pub(crate) struct OperationService {
    platform: Arc<Platform>,
    /// Those that go on; `None` until the store was read.
    book: Option<BTreeMap<OperationId, Kept>>,
    trouble: Option<String>,
    retry: Duration,
    paused: bool,
    /// Something is to be shown that was not shown yet.
    changed: bool,
    /// Who ends one at this moment.
    behalf: Origin,
}

/// An operation that goes on, and who hears of it.
struct Kept {
    operation: Operation,
    /// When its next batch is due.
    due: Timestamp,
    followers: Vec<Follower>,
}

/// Somebody who follows an operation: how it goes, and its end.
struct Follower {
    progress: watch::Sender<Operation>,
    end: Reply<Operation>,
}

impl Kept {
    fn new(operation: Operation) -> Self {
        Self { due: operation.next_at, operation, followers: Vec::new() }
    }
}

impl OperationService {
    /// Knows nothing of what is stored yet.
    pub(crate) fn new(platform: Arc<Platform>) -> Self {
        Self {
            platform,
            book: None,
            trouble: None,
            retry: RETRY.0,
            paused: false,
            changed: true,
            behalf: Origin::platform(),
        }
    }

    /// No batch from here on, or batches again.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Reads the store when that has not been done, writes the batch that is due, and says how long none will be.
    pub(crate) async fn work(&mut self) -> Duration {
        match self.go_on().await {
            Ok(()) => {
                self.changed |= self.trouble.take().is_some();
                self.retry = RETRY.0;
                self.until_next()
            }
            Err(error) => {
                tracing::error!(error_code = %error.code, error = %error.message, "operations cannot go on; trying again");
                self.changed |= self.trouble.as_ref() != Some(&error.message);
                self.trouble = Some(error.message);
                let wait = self.retry;
                self.retry = (wait * 2).min(RETRY.1);
                wait
            }
        }
    }

    async fn go_on(&mut self) -> Result<(), CommandError> {
        if self.book.is_none() {
            let running = self.platform.store.running_operations().await?;
            if !running.is_empty() {
                tracing::info!(operations = running.len(), "operations of an earlier start go on");
            }
            let kept = running.into_iter().map(|operation| (operation.id, Kept::new(operation)));
            self.book = Some(kept.collect());
            self.changed = true;
        }
        let now = self.platform.clock.now();
        let next = self.next_due().filter(|(due, _)| *due <= now && !self.paused);
        match next {
            Some((_, id)) => self.batch(id).await,
            None => Ok(()),
        }
    }

    /// The one that has waited longest.
    fn next_due(&self) -> Option<(Timestamp, OperationId)> {
        self.book.iter().flatten().map(|(id, kept)| (kept.due, *id)).min()
    }

    fn until_next(&self) -> Duration {
        let Some((due, _)) = self.next_due().filter(|_| !self.paused) else { return LOOK_AGAIN };
        let wait = Duration::try_from(due.duration_since(self.platform.clock.now())).unwrap_or_default();
        // Rounded up to the next millisecond, so that one look finds it due.
        if wait.is_zero() { wait } else { (wait + Duration::from_millis(1)).min(LOOK_AGAIN) }
    }

    /// The next batch of one operation.
    async fn batch(&mut self, id: OperationId) -> Result<(), CommandError> {
        let Some(operation) = self.running(id) else { return Ok(()) };
        let (rate, most) = (operation.spec.rate, BATCH.min(self.platform.store.limits().max_batch));
        let pace = Pace::of(rate, most);
        let walked =
            self.platform.store.walk(operation.spec.filter.clone(), operation.cursor, pace.tasks).await;
        let written = match walked {
            Ok(found) => self.write(operation.next_step(found, pace)).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => Ok(()),
            // Later is no better: the operation ends here, and what it changed stays so.
            Err(error) if error.code().class() != ErrorClass::Retryable => {
                tracing::error!(operation = %id, error_code = %error.code(), %error, "an operation has failed");
                Ok(self.write(operation.end(OperationState::Failed, Some(error.into()))).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a step, and takes over what it led to.
    async fn write(&mut self, step: OperationStep) -> Result<(), StoreError> {
        let (id, tasks) = (step.id, step.tasks.clone());
        let Stepped::Done { operation, under_way } = self.platform.store.step_operation(step).await? else {
            return self.read_again(id).await;
        };
        runtime_core::failpoint!("operation_committed");
        if operation.spec.kind.ends_tasks() {
            self.platform.completion.finished_elsewhere(&*self.platform.store, tasks).await?;
        }
        under_way.iter().for_each(|task| self.platform.ask_to_end(*task));
        let again = self.platform.clock.now().checked_add(LOOK_AT_RUNNING).unwrap_or(Timestamp::MAX);
        let due = if under_way.is_empty() { operation.next_at } else { operation.next_at.max(again) };
        self.take_over(*operation, due);
        Ok(())
    }

    /// Somebody else has written it.
    async fn read_again(&mut self, id: OperationId) -> Result<(), StoreError> {
        tracing::warn!(operation = %id, "the operation was changed elsewhere; reading again");
        match self.platform.store.operation(id).await? {
            Some(operation) => {
                let due = operation.next_at;
                self.take_over(operation, due);
            }
            None => drop(self.book.iter_mut().find_map(|book| book.remove(&id))),
        }
        Ok(())
    }

    /// The operation stands so now: whoever follows it hears of it, and at its end no more.
    fn take_over(&mut self, operation: Operation, due: Timestamp) {
        let before = self.running(operation.id);
        self.tell(&operation, before.as_ref(), &self.behalf);
        let Some(book) = &mut self.book else { return };
        let id = operation.id;
        let followers = book.remove(&id).map(|kept| kept.followers).unwrap_or_default();
        let followers = followers.into_iter().filter(|follower| !follower.progress.is_closed());
        if operation.is_running() {
            let told = followers.inspect(|follower| {
                follower.progress.send_replace(operation.clone());
            });
            let followers = told.collect();
            let kept = Kept { operation, due, followers };
            book.insert(id, kept);
            return;
        }
        self.changed = true;
        let Operation { spec, state, counts, .. } = &operation;
        let (done, skipped, failed) = (counts.done, counts.skipped, counts.failed);
        tracing::info!(operation = %id, kind = spec.kind.as_str(), state = state.as_str(), matched = spec.matched,
            done, skipped, failed, "an operation has ended");
        followers.for_each(|follower| follower.end.send(Ok(operation.clone())));
    }

    /// Writes how an operation stands: that it began, went on, or ended.
    fn tell(&self, operation: &Operation, before: Option<&Operation>, origin: &Origin) {
        let Operation { id, spec, state, counts, .. } = operation;
        let now = self.platform.clock.now();
        let number = |pick: fn(&OperationCounts) -> u64| {
            Changed::new(
                "done",
                before.map_or(Value::Nothing, |before| Value::Number(pick(&before.counts))),
                Value::Number(pick(counts)),
            )
        };
        // Progress is told in twentieths: of small batches there are many.
        let twentieth = |of: &Operation| of.counts.done.saturating_mul(20) / of.spec.matched.max(1);
        if before.is_some_and(|before| twentieth(before) == twentieth(operation)) && operation.is_running() {
            return;
        }
        let was = before.map_or(Value::Nothing, |before| Value::Word(before.state.as_str()));
        let (kind, command) = match (before, operation.is_running()) {
            (None, true) => (EventType::OperationStarted, spec.kind.as_str()),
            (_, true) => (EventType::OperationProgressed, spec.kind.as_str()),
            (_, false) => (EventType::OperationEnded, "cancel"),
        };
        let fields = [
            Changed::is("kind", Value::Word(spec.kind.as_str())),
            Changed::new("state", was, Value::Word(state.as_str())),
            number(|counts| counts.done),
            Changed::is("matched", Value::Number(spec.matched)),
        ];
        let place = Place { app: spec.filter.app.clone(), queue: spec.filter.queue.clone(), worker: None };
        let entry = Entry::new(now, kind, Subject::Operation(*id), Changes::of(fields));
        self.platform.journal.note(&Arc::new(place), entry.of(origin, command));
    }

    fn running(&self, id: OperationId) -> Option<Operation> {
        self.book.as_ref()?.get(&id).map(|kept| kept.operation.clone())
    }

    /// How it goes and how many go on, when that was not told yet.
    pub(crate) fn changed(&mut self) -> Option<(Health, usize)> {
        let health = match &self.trouble {
            None => Health::Healthy,
            Some(text) => Health::Unhealthy(text.clone()),
        };
        let running = self.book.as_ref().map_or(0, BTreeMap::len);
        std::mem::take(&mut self.changed).then_some((health, running))
    }

    /// Carries a command out and answers it. What only looks waits for nobody.
    pub(crate) async fn carry_out(&mut self, command: OperationCommand, origin: &Origin) {
        let platform = self.platform.clone();
        match command {
            OperationCommand::Preview { kind, filter, at_most, reply } => {
                drop(tokio::spawn(
                    async move { reply.send(preview(&platform, kind, *filter, at_most).await) },
                ));
            }
            OperationCommand::Get { id, reply } => {
                drop(tokio::spawn(async move { reply.send(get(&platform, id).await) }));
            }
            OperationCommand::List { before, page_size, reply } => {
                drop(tokio::spawn(async move {
                    reply
                        .send(platform.store.operations(before, page_size).await.map_err(CommandError::from));
                }));
            }
            OperationCommand::Start { ask, reply } => reply.send(self.start(*ask, origin).await),
            OperationCommand::Cancel { id, by, reason, terms, reply } => {
                reply.send(self.cancel(id, by, &reason, &terms, origin).await);
            }
            OperationCommand::Follow { id, progress, reply } => self.follow(id, progress, reply).await,
        }
    }

    async fn start(&mut self, ask: OperationAsk, origin: &Origin) -> Result<Operation, CommandError> {
        let OperationAsk { kind, filter, asked, rate, reason, by } = ask;
        let filter = selected(&self.platform, kind, filter)?;
        let matched = self.platform.store.count(filter.clone(), u64::MAX).await?.total();
        let spec = OperationSpec { kind, filter, asked, rate, reason, by, matched };
        let operation = self.platform.store.start_operation(spec).await?;
        runtime_core::failpoint!("operation_started");
        let Operation { id, spec, .. } = &operation;
        tracing::info!(operation = %id, kind = kind.as_str(), filter = spec.asked, matched, rate = spec.rate,
            reason = spec.reason, "an operation begins");
        self.tell(&operation, None, origin);
        // Before the store was read, it is read with the others.
        if let Some(book) = &mut self.book {
            book.insert(operation.id, Kept::new(operation.clone()));
        }
        self.changed = true;
        Ok(operation)
    }

    /// Of two who cancel one is first, and both are told the same.
    async fn cancel(
        &mut self,
        id: OperationId,
        by: Option<PrincipalName>,
        reason: &str,
        terms: &Terms,
        origin: &Origin,
    ) -> Result<Operation, CommandError> {
        let known = get(&self.platform, id).await?;
        // Nobody but this task writes operations: nothing comes between.
        if !terms.fit(&known.etag()) {
            let text = format!("operation {id} is {} by now: read it again", known.state.as_str());
            return Err(CommandError::changed(text));
        }
        loop {
            let mut operation = get(&self.platform, id).await?;
            match operation.state {
                OperationState::Running => {}
                OperationState::Cancelled => return Ok(operation),
                OperationState::Done | OperationState::Failed => {
                    let text =
                        format!("operation {id} is {}: there is nothing to cancel", operation.state.as_str());
                    return Err(CommandError::precondition(text));
                }
            }
            if terms.validate_only {
                operation.state = OperationState::Cancelled;
                return Ok(operation);
            }
            let by = by.as_ref().map_or("an operator", |by| by.as_str());
            let text = if reason.is_empty() { format!("by {by}") } else { format!("by {by}: {reason}") };
            let error = TaskError::new(ErrorCode::Cancelled, text);
            // Whoever was faster is found at the next look.
            self.behalf = origin.clone();
            let written = self.write(operation.end(OperationState::Cancelled, Some(error))).await;
            self.behalf = Origin::platform();
            written?;
        }
    }

    async fn follow(&mut self, id: OperationId, progress: watch::Sender<Operation>, reply: Reply<Operation>) {
        if let Some(kept) = self.book.iter_mut().find_map(|book| book.get_mut(&id)) {
            progress.send_replace(kept.operation.clone());
            kept.followers.push(Follower { progress, end: reply });
            return;
        }
        match get(&self.platform, id).await {
            // Before the store was read nothing is kept: whoever asks again finds it.
            Ok(operation) if operation.is_running() => {
                reply.send(Err(CommandError::new(
                    ErrorCode::NoAnswer,
                    "operations were not read yet; try again",
                )));
            }
            answer => reply.send(answer),
        }
    }
}

fn selected(
    platform: &Platform,
    kind: OperationKind,
    filter: TaskFilter,
) -> Result<TaskFilter, CommandError> {
    let states: Vec<&str> = kind.states().iter().map(|state| state.as_str()).collect();
    let text = format!("a {kind} is about tasks that are {}: the filter selects others", states.join(", "));
    let nothing = || CommandError::new(ErrorCode::InvalidArgument, text);
    kind.select(filter, platform.clock.now()).ok_or_else(nothing)
}

async fn preview(
    platform: &Platform,
    kind: OperationKind,
    filter: TaskFilter,
    at_most: u64,
) -> Result<OperationPreview, CommandError> {
    let filter = selected(platform, kind, filter)?;
    let count = platform.store.count(filter.clone(), at_most).await?;
    // A page may hold fewer than there are: then the next one is looked at, as far as the count was.
    let (mut sample, mut after) = (Vec::new(), None);
    while (sample.len() as u64) < count.total().min(SAMPLE as u64) {
        let page = platform.store.list(filter.clone(), after, SAMPLE - sample.len()).await?;
        sample.extend(page.tasks);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(OperationPreview { count, sample })
}

async fn get(platform: &Platform, id: OperationId) -> Result<Operation, CommandError> {
    let found = platform.store.operation(id).await?;
    found.ok_or_else(|| CommandError::not_found(format!("no operation {id}")))
}

//! What operators said in place of the configuration: gathered from where each kind is stored, and taken back by name.

use std::sync::Arc;

use runtime_core::control::{
    CommandError, NodeCommand, Origin, Override, OverrideCommand, OverrideSubject, Reply, ScheduleCommand,
};
use runtime_core::error::ErrorCode;
use runtime_core::etag::Terms;
use runtime_core::journal::{Changed, Changes, Entry, EventType, Place, Subject, Value};
use runtime_core::name::{QueueName, ScheduleName};
use runtime_core::node::DesiredState;
use runtime_core::store::{LimitOverride, OverriddenQueue, QueueChange};

use super::steering::SteeringService;
use crate::platform::Platform;
use crate::schedules::ScheduleMsg;
use crate::table::NodeAddress;

/// Looks at overrides of one tree and takes them back.
#[derive(Clone)]
pub(crate) struct OverrideService {
    platform: Arc<Platform>,
    steering: SteeringService,
    schedules: NodeAddress<ScheduleMsg>,
}

impl OverrideService {
    /// A service over this tree.
    pub(crate) fn new(platform: Arc<Platform>, schedules: NodeAddress<ScheduleMsg>) -> Self {
        Self { steering: SteeringService::new(platform.clone()), platform, schedules }
    }

    /// Carries out a command and answers it.
    pub(crate) async fn carry_out(self, command: OverrideCommand, origin: Origin) {
        match command {
            OverrideCommand::List { reply } => reply.send(self.list().await),
            OverrideCommand::Clear { subject, terms, reply } => {
                reply.send(self.clear(&subject, terms, &origin).await);
            }
        }
    }

    async fn list(&self) -> Result<Vec<Override>, CommandError> {
        let store = &self.platform.store;
        let mut all = Vec::new();
        for (path, desired) in store.desired().await? {
            if desired != DesiredState::Running {
                all.push(said(OverrideSubject::Node(path), desired.as_str()));
            }
        }
        for resized in store.resized().await? {
            let says = format!("slots = {}", resized.slots);
            let subject = OverrideSubject::Node(resized.path);
            all.push(Override { since: Some(resized.since), ..said(subject, says) });
        }
        for queue in store.overridden_queues().await? {
            all.push(limits(queue));
        }
        for paused in store.paused_scopes().await? {
            let says = format!("scope {} is paused", paused.scope);
            let subject = OverrideSubject::Queue(paused.queue);
            all.push(Override { reason: paused.reason, since: Some(paused.since), ..said(subject, says) });
        }
        for schedule in store.schedules().await? {
            if let Some(paused) = schedule.state.paused {
                let subject = OverrideSubject::Schedule(schedule.spec.name);
                let (reason, by, since) = (paused.reason, paused.by, Some(paused.at));
                all.push(Override { reason, by, since, ..said(subject, "paused") });
            }
        }
        all.sort_by(|a, b| a.subject.cmp(&b.subject));
        Ok(all)
    }

    async fn clear(
        &self,
        subject: &OverrideSubject,
        terms: Terms,
        origin: &Origin,
    ) -> Result<Vec<Override>, CommandError> {
        let mut before = self.list().await?;
        before.retain(|known| known.subject == *subject);
        if before.is_empty() {
            return Err(CommandError::not_found(format!("nothing is said of {subject}")));
        }
        let validate_only = terms.validate_only;
        match subject {
            OverrideSubject::Node(path) => {
                drop(self.steering.steer(path, NodeCommand::AsConfigured, &terms, origin).await?);
            }
            OverrideSubject::Queue(queue) => self.clear_queue(queue, &terms).await?,
            OverrideSubject::Schedule(name) => self.resume(name.clone(), terms, origin).await?,
        }
        if !validate_only {
            tracing::info!(%subject, "an operator takes back what was said");
            self.tell(subject, &before, origin);
        }
        Ok(before)
    }

    fn tell(&self, subject: &OverrideSubject, before: &[Override], origin: &Origin) {
        let (about, place) = match subject {
            OverrideSubject::Node(path) => {
                let place = self.platform.table.get(path).map(|node| node.place().clone());
                (Subject::Node(path.clone()), place.unwrap_or_default())
            }
            OverrideSubject::Queue(queue) => {
                let place = Place { queue: Some(queue.clone()), ..Place::default() };
                (Subject::Queue(queue.clone()), Arc::new(place))
            }
            OverrideSubject::Schedule(name) => (Subject::Schedule(name.clone()), Arc::default()),
        };
        let said = before.iter().map(|known| Changed::new("says", Value::text(&known.says), Value::Nothing));
        let kind = EventType::OverrideCleared;
        let entry = Entry::new(self.platform.clock.now(), kind, about, Changes::of(said));
        self.platform.journal.note(&place, entry.of(origin, "clear"));
    }

    async fn clear_queue(&self, queue: &QueueName, terms: &Terms) -> Result<(), CommandError> {
        let (store, wishes) = (&self.platform.store, &self.platform.wishes);
        let turn = wishes.turn().await;
        wishes.check_queue(&turn, &self.platform, queue, terms)?;
        if terms.validate_only {
            return Ok(());
        }
        wishes.note_queue(&turn, &self.platform, queue);
        let change = QueueChange { clear_all: true, ..QueueChange::default() };
        store.override_queue(queue.clone(), change, String::new()).await?;
        let paused = store.paused_scopes().await?.into_iter().filter(|paused| paused.queue == *queue);
        for paused in paused {
            store.pause_scope(paused.queue, paused.scope, false, String::new()).await?;
        }
        Ok(())
    }

    async fn resume(&self, name: ScheduleName, terms: Terms, origin: &Origin) -> Result<(), CommandError> {
        let gone = || CommandError::new(ErrorCode::NoAnswer, "the schedules node is not up");
        let (reply, answer) = Reply::channel();
        let ask = ScheduleMsg::Asked(ScheduleCommand::Resume { name, terms, reply }, origin.clone());
        self.schedules.send(ask).map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone())).map(drop)
    }
}

fn said(subject: OverrideSubject, says: impl Into<String>) -> Override {
    Override { subject, says: says.into(), reason: String::new(), by: String::new(), since: None }
}

fn limits(OverriddenQueue { queue, says, reason, since }: OverriddenQueue) -> Override {
    let mut words = Vec::new();
    if says.every_lane != LimitOverride::default() {
        words.push("limits of every lane".to_owned());
    }
    if let Some(fair) = says.fair {
        words.push(format!("fair = {fair}"));
    }
    match says.lanes.len() {
        0 => {}
        1 => words.push("limits of 1 lane".to_owned()),
        several => words.push(format!("limits of {several} lanes")),
    }
    Override { reason, since: Some(since), ..said(OverrideSubject::Queue(queue), words.join(", ")) }
}

//! The draining of the whole instance: nothing new comes in or begins, what it has ends. It lasts as long as the process, and touches
//! nothing of what operators want of single nodes: so that it can be taken back exactly.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::control::{CommandError, DrainCommand, DrainView, Origin, Reply};
use runtime_core::error::ErrorCode;
use runtime_core::journal::{Changes, Entry, EventType, Subject, Value};
use runtime_core::node::{NodePath, NodeState};

use crate::node::ControlMsg;
use crate::platform::Platform;
use crate::table::{NodeEntry, takes_work};

/// When somebody who was refused may ask again: another instance may be there by then, or the draining be over.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Whether the instance drains, and who wanted it.
#[derive(Debug, Default)]
pub(crate) struct DrainService(Mutex<Option<Drain>>);

#[derive(Debug, Clone)]
struct Drain {
    since: Timestamp,
    by: String,
    reason: String,
}

impl DrainService {
    /// Begins, if it has not begun.
    pub(crate) fn begin(&self, platform: &Platform, by: String, reason: String, origin: &Origin) {
        let mut drain = self.lock();
        if drain.is_none() {
            tracing::warn!(by, reason, "draining: the instance takes no new work");
            *drain = Some(Drain { since: platform.clock.now(), by, reason });
            tell(platform, EventType::DrainStarted, ["no", "yes"], origin);
        }
        platform.table.set_draining(true);
    }

    /// Ends; says how far it was.
    pub(crate) fn end(&self, platform: &Platform, origin: &Origin) -> Option<DrainView> {
        let mut drain = self.lock();
        let was = drain.take().map(|drain| view(drain, platform));
        if let Some(was) = &was {
            tracing::warn!(since = %was.since, "no longer draining: the instance takes work again");
            tell(platform, EventType::DrainStopped, ["yes", "no"], origin);
        }
        platform.table.set_draining(false);
        was
    }

    /// How far it is, when it drains.
    pub(crate) fn view(&self, platform: &Platform) -> Option<DrainView> {
        let drain = self.lock().clone();
        drain.map(|drain| view(drain, platform))
    }

    /// Whether new work may come in.
    ///
    /// # Errors
    /// [`ErrorCode::Draining`], with when to ask again.
    pub(crate) fn lets_in(&self) -> Result<(), CommandError> {
        match self.lock().as_ref() {
            None => Ok(()),
            Some(Drain { by, reason, .. }) => Err(CommandError {
                retry_after: Some(ASK_AGAIN),
                ..CommandError::new(
                    ErrorCode::Draining,
                    format!("the instance is draining ({by}: {reason}) and takes no new work"),
                )
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Drain>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries out a command and answers it.
pub(crate) async fn carry_out(platform: Arc<Platform>, command: DrainCommand, origin: Origin) {
    match command {
        DrainCommand::Start { by, reason, validate_only: true, reply } => {
            let would = || view(Drain { since: platform.clock.now(), by, reason }, &platform);
            reply.send(Ok(platform.drain.view(&platform).unwrap_or_else(would)));
        }
        DrainCommand::Start { by, reason, validate_only: false, reply } => {
            platform.drain.begin(&platform, by, reason, &origin);
            tell_all(&platform).await;
            let taken_back = || CommandError::precondition("the draining was taken back meanwhile");
            reply.send(platform.drain.view(&platform).ok_or_else(taken_back));
        }
        DrainCommand::Stop { reply } => {
            let was = platform.drain.end(&platform, &origin);
            tell_all(&platform).await;
            reply.send(Ok(was));
        }
    }
}

fn tell(platform: &Platform, kind: EventType, [before, after]: [&'static str; 2], origin: &Origin) {
    let changes = Changes::one("draining", Value::Word(before), Value::Word(after));
    let entry = Entry::new(platform.clock.now(), kind, Subject::Instance, changes);
    platform.journal.note(&Arc::default(), entry.of(origin, "drain"));
}

/// Has everything that takes work look whether it still shall. What is not up looks when it comes up.
async fn tell_all(platform: &Platform) {
    let mut told = Vec::new();
    for entry in takers(platform) {
        let (reply, heard) = Reply::channel();
        if entry.control(ControlMsg::Obey(reply)) {
            told.push(heard);
        }
    }
    for heard in told {
        // Without an answer it has ended, or ends.
        drop(heard.await);
    }
}

fn takers(platform: &Platform) -> Vec<Arc<NodeEntry>> {
    let mut entries = platform.table.under(&NodePath::root());
    entries.retain(|entry| takes_work(entry.kind()));
    entries
}

fn view(Drain { since, by, reason }: Drain, platform: &Platform) -> DrainView {
    // In this order: a node that has heard asks for nothing more.
    let heard = takers(platform).iter().all(|entry| entry.state() != NodeState::Running);
    let (leased, asked) = platform.leases.count();
    let leased = u64::try_from(leased).unwrap_or(u64::MAX);
    DrainView { since, by, reason, leased, drained: heard && leased == 0 && !asked }
}

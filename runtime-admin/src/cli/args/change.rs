//! What every command takes that changes something.

use runtime_core::name::RequestId;

use super::{
    AuditVerb, ConfigVerb, DeadLetterVerb, LogFilterVerb, NodeVerb, Noun, OperationVerb, PrincipalVerb,
    QueueVerb, ScheduleVerb, SystemVerb, TaskVerb, TokenVerb, WorkerVerb,
};
use crate::client::AdminClient;

/// Why something is changed, under which id, and whether at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(in crate::cli) struct Change {
    /// Why: it is kept in the audit log
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub(in crate::cli) reason: String,
    /// Under this id it is done once [default: random]
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) request_id: Option<RequestId>,
    /// Only what is still as it was read with this etag
    #[arg(long, value_name = "ETAG")]
    pub(in crate::cli) etag: Option<String>,
    /// Change nothing: only say what would be
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

impl Change {
    /// The client, asking for this change.
    pub(in crate::cli) fn sign(&self, client: AdminClient) -> AdminClient {
        let client = client.with_reason(&self.reason);
        let client = if self.dry_run { client.with_validate_only() } else { client };
        let client = match &self.etag {
            Some(etag) => client.with_etag(etag),
            None => client,
        };
        match &self.request_id {
            Some(id) => client.with_request_id(id.clone()),
            None => client,
        }
    }
}

/// A reason that has to be given.
pub(super) fn needed(reason: clap::Arg) -> clap::Arg {
    reason.required(true).default_value(None)
}

/// Of what cannot be looked at before it is changed.
pub(super) fn unseen(dry_run: clap::Arg) -> clap::Arg {
    dry_run.hide(true)
}

impl Noun {
    /// Why and under which id, of a command that changes something; nothing of one that looks.
    pub(in crate::cli) fn change(&self) -> Option<&Change> {
        match self {
            Self::Tree { .. } | Self::Dump | Self::Info | Self::Overview { .. } | Self::Events(_) => None,
            Self::System { verb } => match verb {
                SystemVerb::Capabilities => None,
                SystemVerb::Drain { change, .. }
                | SystemVerb::Undrain { change }
                | SystemVerb::Shutdown { change, .. } => Some(change),
            },
            Self::Node { verb } => match verb {
                NodeVerb::List { .. } | NodeVerb::Restarts { .. } | NodeVerb::Get(_) => None,
                NodeVerb::Start(target)
                | NodeVerb::Stop(target)
                | NodeVerb::Restart(target)
                | NodeVerb::Pause(target)
                | NodeVerb::Resume(target)
                | NodeVerb::Drain(target)
                | NodeVerb::Resize { target, .. } => Some(&target.change),
            },
            Self::Queue { verb } => match verb {
                QueueVerb::List | QueueVerb::Get { .. } | QueueVerb::Stats { .. } => None,
                QueueVerb::Pause { change, .. }
                | QueueVerb::Resume { change, .. }
                | QueueVerb::Drain { change, .. } => Some(change),
                QueueVerb::Purge(purge) => Some(&purge.change),
                QueueVerb::Update(update) => Some(&update.change),
            },
            Self::Schedule { verb } => match verb {
                ScheduleVerb::List | ScheduleVerb::Get { .. } | ScheduleVerb::Preview { .. } => None,
                ScheduleVerb::Pause { change, .. }
                | ScheduleVerb::Resume { change, .. }
                | ScheduleVerb::Trigger { change, .. }
                | ScheduleVerb::Backfill { change, .. }
                | ScheduleVerb::Delete { change, .. } => Some(change),
                ScheduleVerb::Create(create) => Some(&create.change),
                ScheduleVerb::Update(update) => Some(&update.change),
            },
            Self::Task { verb } => match verb {
                TaskVerb::List { .. }
                | TaskVerb::Get(_)
                | TaskVerb::Count { .. }
                | TaskVerb::Payload { .. } => None,
                TaskVerb::Enqueue(enqueue) => Some(&enqueue.change),
                TaskVerb::Retry(target) | TaskVerb::Cancel(target) => Some(&target.many.change),
                TaskVerb::Reschedule { change, .. }
                | TaskVerb::Resolve { change, .. }
                | TaskVerb::Delete { change, .. }
                | TaskVerb::Replay { change, .. }
                | TaskVerb::Discard { change, .. } => Some(change),
            },
            Self::DeadLetter { verb } => match verb {
                DeadLetterVerb::List { .. } | DeadLetterVerb::Groups { .. } => None,
                DeadLetterVerb::Replay(target) | DeadLetterVerb::Discard(target) => Some(&target.many.change),
            },
            Self::Operation { verb } => match verb {
                OperationVerb::List { .. } | OperationVerb::Get(_) | OperationVerb::Watch(_) => None,
                OperationVerb::Cancel { change, .. } => Some(change),
            },
            Self::Worker { verb } => match verb {
                WorkerVerb::List | WorkerVerb::Get { .. } => None,
                WorkerVerb::Drain { change, .. } => Some(change),
                WorkerVerb::Retry { many, .. } => Some(&many.change),
                WorkerVerb::Run(run) => Some(&run.change),
            },
            Self::Principal { verb } => match verb {
                PrincipalVerb::List | PrincipalVerb::Get { .. } => None,
                PrincipalVerb::Create { change, .. }
                | PrincipalVerb::Update { change, .. }
                | PrincipalVerb::Delete { change, .. } => Some(change),
            },
            Self::Token { verb } => match verb {
                TokenVerb::List { .. } => None,
                TokenVerb::Create { change, .. } | TokenVerb::Revoke { change, .. } => Some(change),
            },
            Self::Audit { verb: AuditVerb::List { .. } } => None,
            Self::Config { verb } => match verb {
                ConfigVerb::Show { .. }
                | ConfigVerb::Schema
                | ConfigVerb::Validate { .. }
                | ConfigVerb::Overrides => None,
                ConfigVerb::Reload { change, .. } | ConfigVerb::Clear { change, .. } => Some(change),
            },
            Self::LogFilter { verb } => match verb {
                LogFilterVerb::Get => None,
                LogFilterVerb::Set { change, .. } | LogFilterVerb::Reset { change } => Some(change),
            },
        }
    }
}

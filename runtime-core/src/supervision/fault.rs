//! Why a child broke, as it travels up the tree.

use super::ChildId;

/// An abnormal end of a child. Its text is for people; `kind` is for decisions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{child}: {kind}: {message}")]
pub struct Fault {
    /// The path of the child that broke.
    pub child: String,
    /// What sort of end it was.
    pub kind: FaultKind,
    /// What the child said, or what was seen from outside.
    pub message: String,
    /// The fault below this one, when the child is a supervisor that gave up.
    #[source]
    pub cause: Option<Box<Fault>>,
}

/// What sort of abnormal end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// It panicked.
    Panic,
    /// It returned an error.
    Error,
    /// It was killed or its task was cancelled, and not by its supervisor's stop.
    Killed,
    /// It was not ready in time.
    InitTimeout,
    /// It could not be spawned.
    SpawnFailed,
    /// It is a supervisor that used up its restart budget.
    GaveUp,
    /// It ended normally although it is permanent.
    Ended,
}

impl Fault {
    /// A fault of the child at `child` (a path) that has none below it.
    pub fn new(child: impl Into<String>, kind: FaultKind, message: impl Into<String>) -> Self {
        Self { child: child.into(), kind, message: message.into(), cause: None }
    }

    /// What the supervisor at `path` hands to its own supervisor when it gives up: the first fault of the burst.
    pub fn gave_up(path: impl Into<String>, first_fault: Self) -> Self {
        Self {
            child: path.into(),
            kind: FaultKind::GaveUp,
            message: format!("restart budget used up, first by {}", first_fault.root()),
            cause: Some(Box::new(first_fault)),
        }
    }

    /// The fault that began it, however many supervisors gave up because of it.
    pub fn root(&self) -> &Self {
        self.cause.as_deref().map_or(self, Self::root)
    }

    pub(super) fn init_timeout(supervisor: &str, child: &ChildId) -> Self {
        Self::new(path_of(supervisor, child), FaultKind::InitTimeout, "not ready in time")
    }

    pub(super) fn ended(supervisor: &str, child: &ChildId) -> Self {
        Self::new(path_of(supervisor, child), FaultKind::Ended, "ended normally although it is permanent")
    }
}

impl FaultKind {
    /// The word for logs and status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Error => "error",
            Self::Killed => "killed",
            Self::InitTimeout => "init_timeout",
            Self::SpawnFailed => "spawn_failed",
            Self::GaveUp => "gave_up",
            Self::Ended => "ended",
        }
    }
}

impl std::fmt::Display for FaultKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

fn path_of(supervisor: &str, child: &ChildId) -> String {
    format!("{}/{child}", supervisor.trim_end_matches('/'))
}

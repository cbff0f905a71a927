//! On whose behalf something is done. Made by whoever knows who asks, and handed on beside the command.

use std::sync::Arc;

use crate::journal::TraceId;
use crate::name::{PrincipalName, RequestId};

/// On whose behalf something is done: somebody's who asked, or nobody's, which is the platform itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin(Option<Arc<Asked>>);

/// A request that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who asks, when that is known.
    pub principal: Option<PrincipalName>,
    /// By which method: `QueueService/PauseQueue`.
    pub method: String,
    /// Why, in the words of whoever asks.
    pub reason: String,
    /// What the caller calls the request.
    pub request_id: Option<RequestId>,
    /// The caller's trace, when it sent one.
    pub trace: Option<TraceId>,
}

impl Origin {
    /// Nobody asked: the platform does it by itself.
    pub fn platform() -> Self {
        Self(None)
    }

    /// Somebody's.
    pub fn of(asked: Asked) -> Self {
        Self(Some(Arc::new(asked)))
    }

    /// The request, when somebody asked.
    pub fn asked(&self) -> Option<&Asked> {
        self.0.as_deref()
    }

    /// Who asked, when that is known.
    pub fn principal(&self) -> Option<&PrincipalName> {
        self.asked().and_then(|asked| asked.principal.as_ref())
    }
}

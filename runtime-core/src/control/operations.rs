//! What operators ask about many tasks at once: a look at what would be changed, and operations.

use std::num::NonZeroU32;

use tokio::sync::watch;

use super::Reply;
use crate::etag::Terms;
use crate::name::PrincipalName;
use crate::operation::{Operation, OperationId, OperationKind};
use crate::store::{TaskCount, TaskFilter};
use crate::task::Task;

/// Everything that can be asked about operations.
#[derive(Debug)]
pub enum OperationCommand {
    /// What would it change?
    Preview {
        /// What is done to each task.
        kind: OperationKind,
        /// Which tasks.
        filter: Box<TaskFilter>,
        /// Tasks that it looks at, live ones and finished ones each, before it says that there are at least so many.
        at_most: u64,
        /// The answer.
        reply: Reply<OperationPreview>,
    },
    /// Begins one. It goes on by itself, whoever listens, also after a restart.
    Start {
        /// What to do.
        ask: Box<OperationAsk>,
        /// Answered when it is on disk.
        reply: Reply<Operation>,
    },
    /// One.
    Get {
        /// Which.
        id: OperationId,
        /// The answer.
        reply: Reply<Operation>,
    },
    /// Those that are kept, newest first.
    List {
        /// The last one of the page before.
        before: Option<OperationId>,
        /// Most of this page.
        page_size: usize,
        /// The answer.
        reply: Reply<Vec<Operation>>,
    },
    /// Ends one; what it changed stays so. One that an operator has ended already is answered as it is.
    Cancel {
        /// Which.
        id: OperationId,
        /// Who does not want the rest, when that is known.
        by: Option<PrincipalName>,
        /// Why; may be empty.
        reason: String,
        /// On which terms.
        terms: Terms,
        /// The operation afterwards.
        reply: Reply<Operation>,
    },
    /// Tells how one goes. Who drops the other end is told no more; the operation goes on.
    Follow {
        /// Which.
        id: OperationId,
        /// How it goes.
        progress: watch::Sender<Operation>,
        /// Answered at its end.
        reply: Reply<Operation>,
    },
}

/// An operation that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationAsk {
    /// What is done to each task.
    pub kind: OperationKind,
    /// Which tasks. Only what is so when it is asked for is meant.
    pub filter: TaskFilter,
    /// The filter in the words in which it was asked for.
    pub asked: String,
    /// Most tasks of any second; as fast as the store takes them when absent.
    pub rate: Option<NonZeroU32>,
    /// Why; may be empty where nothing is lost.
    pub reason: String,
    /// Who asks, when that is known.
    pub by: Option<PrincipalName>,
}

/// What an operation would change.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationPreview {
    /// How many tasks fit, or at least so many.
    pub count: TaskCount,
    /// Some of them, newest first.
    pub sample: Vec<Task>,
}

//! The node table: every node's address and figures, readable without asking the node.
//!
//! A node is addressed by its path. Behind the path stands the door of its present incarnation; a restart swaps the door, so
//! nobody ever holds a reference to an actor that is gone. Everything that status shows is an atomic in here.

mod entry;
mod restarts;
mod telling;

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use ractor::ActorRef;
use runtime_core::clock::Clock;
use runtime_core::node::{NodeKind, NodePath};
use tokio::sync::Notify;

pub use entry::NodeEntry;
pub(crate) use entry::takes_work;

use entry::lock;
use restarts::RestartBook;

use crate::journal::SharedJournal;
use crate::node::{NodeMsg, send};

/// All nodes of one tree, in start order: parents before children.
pub struct NodeTable {
    clock: Arc<dyn Clock>,
    journal: Arc<SharedJournal>,
    rows: RwLock<Rows>,
    changed: Arc<Notify>,
    drains: Arc<AtomicBool>,
    began: Timestamp,
    book: Arc<RestartBook>,
}

#[derive(Default)]
struct Rows {
    in_order: Vec<Arc<NodeEntry>>,
    by_path: HashMap<NodePath, Arc<NodeEntry>>,
}

impl NodeTable {
    /// An empty table, whose nodes write what happens to them here.
    pub(crate) fn new(clock: Arc<dyn Clock>, journal: Arc<SharedJournal>) -> Self {
        let began = clock.now();
        Self {
            clock,
            journal,
            rows: RwLock::default(),
            changed: Arc::default(),
            drains: Arc::default(),
            began,
            book: Arc::default(),
        }
    }

    /// The row of this path, made when it is new.
    pub(crate) fn declare(&self, path: NodePath, kind: NodeKind) -> Arc<NodeEntry> {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = rows.by_path.get(&path) {
            return entry.clone();
        }
        let entry = Arc::new(NodeEntry::new(path.clone(), kind, self));
        rows.in_order.push(entry.clone());
        rows.by_path.insert(path, entry.clone());
        entry
    }

    /// The row of this path.
    pub fn get(&self, path: &NodePath) -> Option<Arc<NodeEntry>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).by_path.get(path).cloned()
    }

    /// The rows at and under this path, in start order.
    pub fn under(&self, root: &NodePath) -> Vec<Arc<NodeEntry>> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        rows.in_order.iter().filter(|entry| entry.path.is_within(root)).cloned().collect()
    }

    /// Since when changes are counted.
    pub(crate) fn began(&self) -> Timestamp {
        self.began
    }

    /// Operators want something else of these nodes: so they do of each above them, as a whole.
    pub(crate) fn note_wish<'a>(&self, of: impl IntoIterator<Item = &'a NodePath>) {
        let of: Vec<&NodePath> = of.into_iter().collect();
        for entry in self.under(&NodePath::root()) {
            if of.iter().any(|path| path.is_within(entry.path())) {
                entry.wishes.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// Whether nodes that take work shall take none. Each has to be told to look: [`ControlMsg::Obey`].
    pub(crate) fn set_draining(&self, drains: bool) {
        self.drains.store(drains, Ordering::Release);
    }

    /// Notified when any node changes its state.
    pub fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// The address of the node at this path, for messages of type `M`.
    pub(crate) fn address<M>(&self, path: &NodePath) -> Option<NodeAddress<M>> {
        self.get(path).map(NodeAddress::of)
    }
}

/// Where messages for a node go: to whatever incarnation stands behind its path at that moment.
pub(crate) struct NodeAddress<M> {
    entry: Arc<NodeEntry>,
    messages: PhantomData<fn(M)>,
}

impl<M> Clone for NodeAddress<M> {
    fn clone(&self) -> Self {
        Self::of(self.entry.clone())
    }
}

impl<M> NodeAddress<M> {
    pub(crate) fn of(entry: Arc<NodeEntry>) -> Self {
        Self { entry, messages: PhantomData }
    }
}

impl<M: Send + 'static> NodeAddress<M> {
    /// Whether both lead to the same node.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.entry, &other.entry)
    }

    /// The node's row.
    pub(crate) fn entry(&self) -> &Arc<NodeEntry> {
        &self.entry
    }

    /// Sends a message; gives it back when nobody is behind the door.
    pub(crate) fn send(&self, message: M) -> Result<(), M> {
        let door = self.entry.door.read().unwrap_or_else(PoisonError::into_inner);
        let Some(actor) = door.as_ref().and_then(|open| open.own.downcast_ref::<ActorRef<NodeMsg<M>>>())
        else {
            return Err(message);
        };
        send(&self.entry, actor, message)
    }
}

//! The book of restarts: bounded, for this process, written when a node begins one more run.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use runtime_core::control::{Restart, RestartCause, RestartPage};
use runtime_core::node::NodePath;
use runtime_core::supervision::{Fault, FaultKind};

use super::{NodeEntry, NodeTable, lock};

/// Restarts that are kept. A node that breaks again and again waits longer each time, so this is long for a tree in trouble.
const KEPT: usize = 1_000;

/// The latest restarts of a tree, oldest first, and how many there were.
#[derive(Debug, Default)]
pub(super) struct RestartBook(Mutex<(VecDeque<Restart>, u64)>);

impl RestartBook {
    fn write(&self, restart: Restart) {
        let mut book = lock(&self.0);
        book.1 += 1;
        let number = book.1;
        book.0.push_back(Restart { number, ..restart });
        if book.0.len() > KEPT {
            book.0.pop_front();
        }
    }
}

impl NodeEntry {
    /// Its next run begins for this fault, after this time.
    pub(super) fn expect_restart(&self, fault: Option<&Fault>, backoff: Duration) {
        let cause = match fault {
            Some(fault) if fault.kind == FaultKind::GaveUp => RestartCause::Escalation(fault.to_string()),
            fault => RestartCause::Fault(fault.map(ToString::to_string).unwrap_or_default()),
        };
        *lock(&self.next_cause) = Some((cause, Some(backoff)));
    }

    /// Its next run begins because an operator wants it.
    pub(crate) fn expect_wish(&self) {
        *lock(&self.next_cause) = Some((RestartCause::Operator, None));
    }

    /// A run begins: unless it is the first, it is a restart.
    pub(super) fn note_run(&self, after: u64) {
        let expected = lock(&self.next_cause).take();
        if after < 2 {
            return;
        }
        let (cause, backoff) = expected.unwrap_or((RestartCause::Together, None));
        let (path, at) = (self.path.clone(), self.clock.now());
        self.book.write(Restart { number: 0, path, before: after - 1, after, at, cause, backoff });
    }
}

impl NodeTable {
    /// The latest restarts at and under a path, newest first, before the one of this number.
    pub(crate) fn restarts(&self, under: &NodePath, before: Option<u64>, most: usize) -> RestartPage {
        let book = lock(&self.book.0);
        let older = book.0.iter().rev().filter(|known| before.is_none_or(|before| known.number < before));
        let mut restarts: Vec<Restart> =
            older.filter(|known| known.path.is_within(under)).take(most + 1).cloned().collect();
        let more = restarts.len() > most;
        restarts.truncate(most);
        RestartPage { restarts, more, forgotten: book.1 - book.0.len() as u64 }
    }
}

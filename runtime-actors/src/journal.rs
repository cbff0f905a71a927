//! The journal of one tree, shared: the lock and the wake-ups round what runtime-core decides.
//!
//! Whoever writes holds the lock for as long as it takes to put a batch into a ring; whoever reads, for as long as it takes to share some
//! batches. Nothing is made into text under it, and nobody who writes waits for anybody who reads.

mod rates;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime_core::control::QueueRates;
use runtime_core::journal::{
    Class, Classes, Cursor, CursorExpired, Entry, EventJournal, Journal, JournalLimits, Page, Place,
};
use runtime_core::name::QueueName;
use tokio::sync::Notify;

use rates::{Counts, Rates};

/// What happens in one tree.
pub struct SharedJournal {
    kept: Mutex<Journal>,
    rates: Rates,
    tree: Arc<Notify>,
    tasks: Arc<Notify>,
    watchers: Arc<AtomicUsize>,
    cut_off: AtomicU64,
}

/// What is known of a journal's use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JournalFigures {
    /// Entries that were written.
    pub(crate) written: u64,
    /// Of these, gone.
    pub(crate) evicted: u64,
    /// Those who watch.
    pub(crate) watchers: u64,
    /// Watchers that were overtaken.
    pub(crate) cut_off: u64,
}

impl SharedJournal {
    /// The empty journal of a new life.
    pub fn new(limits: JournalLimits) -> Self {
        // Chance of the standard library: two lives of a process do not share it.
        let life = RandomState::new().build_hasher().finish();
        Self {
            kept: Mutex::new(Journal::new(life, limits)),
            rates: Rates::new(),
            tree: Arc::default(),
            tasks: Arc::default(),
            watchers: Arc::default(),
            cut_off: AtomicU64::new(0),
        }
    }

    /// How fast a queue went lately; `None` in the first second.
    pub(crate) fn rates(&self, queue: &QueueName) -> Option<QueueRates> {
        self.rates.of(queue)
    }

    /// Writes one entry of its class.
    pub(crate) fn note(&self, place: &Arc<Place>, entry: Entry) {
        self.write(entry.kind.class(), place, vec![entry]);
    }

    pub(crate) fn figures(&self) -> JournalFigures {
        let (written, evicted) = {
            let kept = self.kept();
            (kept.written(), kept.evicted())
        };
        JournalFigures {
            written,
            evicted,
            watchers: self.watchers.load(Ordering::Relaxed) as u64,
            cut_off: self.cut_off.load(Ordering::Relaxed),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Journal> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notify(&self, class: Class) -> &Arc<Notify> {
        match class {
            Class::Tree => &self.tree,
            Class::Tasks => &self.tasks,
        }
    }
}

impl Default for SharedJournal {
    fn default() -> Self {
        Self::new(JournalLimits::default())
    }
}

impl EventJournal for SharedJournal {
    fn tip(&self) -> Cursor {
        self.kept().tip()
    }

    fn oldest(&self, of: Classes) -> Cursor {
        self.kept().oldest(of)
    }

    fn read(&self, after: Cursor, of: Classes, up_to: usize) -> Result<Page, CursorExpired> {
        self.kept().read(after, of, up_to)
    }

    fn written(&self, class: Class) -> Arc<Notify> {
        self.notify(class).clone()
    }

    fn write(&self, class: Class, place: &Arc<Place>, entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        let counts = Counts::of(&entries);
        let evicted = self.kept().write(class, place.clone(), entries);
        if let (Class::Tasks, Some(queue)) = (class, &place.queue) {
            self.rates.note(queue, counts);
        }
        // What is forgotten is dropped outside the lock.
        drop(evicted);
        self.notify(class).notify_waiters();
    }

    fn watching(&self) -> Box<dyn Send + Sync> {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Box::new(Watching(self.watchers.clone()))
    }

    fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }

    fn cut_off(&self) {
        self.cut_off.fetch_add(1, Ordering::Relaxed);
    }
}

/// Somebody watches.
struct Watching(Arc<AtomicUsize>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

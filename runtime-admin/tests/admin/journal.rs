//! A journal in memory: the rings of the tree, with the lock and the wake-ups that a tree puts round them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use runtime_core::journal::{
    Changes, Class, Classes, Cursor, CursorExpired, Entry, EventJournal, EventType, Journal, JournalLimits,
    Page, Place, Subject, Value,
};
use tokio::sync::Notify;

/// A journal that tests write into.
pub(crate) struct KeptJournal {
    kept: Mutex<Journal>,
    tree: Arc<Notify>,
    tasks: Arc<Notify>,
    pub(crate) watchers: Arc<AtomicUsize>,
    pub(crate) slow: AtomicUsize,
}

impl KeptJournal {
    pub(crate) fn new(life: u64, limits: JournalLimits) -> Self {
        Self {
            kept: Mutex::new(Journal::new(life, limits)),
            tree: Arc::default(),
            tasks: Arc::default(),
            watchers: Arc::default(),
            slow: AtomicUsize::new(0),
        }
    }

    /// Another life of the process.
    pub(crate) fn live_again(&self, life: u64) {
        *self.kept.lock().expect("no panic while held") = Journal::new(life, JournalLimits::default());
    }

    /// Writes that a number of this queue is another.
    pub(crate) fn count(&self, queue: &str, number: u64) {
        let name: runtime_core::name::QueueName = queue.parse().expect("a name");
        let changes = Changes::one("n", Value::Number(number.saturating_sub(1)), Value::Number(number));
        let subject = Subject::Queue(name.clone());
        let entry = Entry::new(Timestamp::UNIX_EPOCH, EventType::QueueUpdated, subject, changes);
        let place = Place { queue: Some(name), ..Place::default() };
        self.write(Class::Tree, &Arc::new(place), vec![entry]);
    }
}

impl EventJournal for KeptJournal {
    fn tip(&self) -> Cursor {
        self.kept.lock().expect("no panic while held").tip()
    }

    fn oldest(&self, of: Classes) -> Cursor {
        self.kept.lock().expect("no panic while held").oldest(of)
    }

    fn read(&self, after: Cursor, of: Classes, up_to: usize) -> Result<Page, CursorExpired> {
        self.kept.lock().expect("no panic while held").read(after, of, up_to)
    }

    fn written(&self, class: Class) -> Arc<Notify> {
        match class {
            Class::Tree => self.tree.clone(),
            Class::Tasks => self.tasks.clone(),
        }
    }

    fn write(&self, class: Class, place: &Arc<Place>, entries: Vec<Entry>) {
        self.kept.lock().expect("no panic while held").write(class, place.clone(), entries);
        self.written(class).notify_waiters();
    }

    fn watching(&self) -> Box<dyn Send + Sync> {
        struct Counted(Arc<AtomicUsize>);
        impl Drop for Counted {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.watchers.fetch_add(1, Ordering::SeqCst);
        Box::new(Counted(self.watchers.clone()))
    }

    fn watchers(&self) -> usize {
        self.watchers.load(Ordering::SeqCst)
    }

    fn cut_off(&self) {
        self.slow.fetch_add(1, Ordering::SeqCst);
    }
}

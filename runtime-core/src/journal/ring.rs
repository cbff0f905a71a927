//! Two rings with one sequence. Plain data: whoever shares it brings the lock.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use super::names::Place;
use super::tally::{Tally, tallied};
use super::{Class, Classes, Cursor, CursorExpired, Entry};

/// How many entries each ring keeps at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLimits {
    /// Of nodes, queues, schedules, operations, configuration.
    pub tree: usize,
    /// Of single tasks.
    pub tasks: usize,
}

impl Default for JournalLimits {
    /// 8,192 and 65,536: with all their names and texts at most about 60 MB, in practice a sixth of it.
    fn default() -> Self {
        Self { tree: 8_192, tasks: 65_536 }
    }
}

/// Entries that were written together, at one place.
#[derive(Debug)]
pub struct Batch {
    first: u64,
    place: Arc<Place>,
    /// Never empty, and all of one class.
    entries: Vec<Entry>,
    /// Made when somebody asks, once for all who do.
    tallies: OnceLock<Vec<Tally>>,
}

impl Batch {
    /// Where all of them belong.
    pub fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// The ring that keeps it.
    pub fn class(&self) -> Class {
        self.entries.first().map_or(Class::Tree, |entry| entry.kind.class())
    }

    /// How many of its entries are alike.
    pub fn tallies(&self) -> &[Tally] {
        self.tallies.get_or_init(|| tallied(&self.entries))
    }

    fn last(&self) -> u64 {
        self.first + (self.entries.len() as u64 - 1)
    }

    /// Whether all of it comes after this place in the sequence.
    pub fn is_all_after(&self, sequence: u64) -> bool {
        self.first > sequence
    }

    /// The entries after this place in the sequence, each with its own.
    pub fn after(&self, sequence: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let known = sequence.saturating_add(1).saturating_sub(self.first);
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        (self.first..).zip(&self.entries).skip(known)
    }
}

#[derive(Debug)]
struct Ring {
    room: usize,
    held: usize,
    batches: VecDeque<Arc<Batch>>,
    /// The newest entry that is gone; 0 when none is.
    evicted: u64,
}

impl Ring {
    fn new(room: usize) -> Self {
        Self { room: room.max(1), held: 0, batches: VecDeque::new(), evicted: 0 }
    }

    /// Takes a batch, and forgets the oldest ones until all fit.
    fn push(&mut self, batch: Batch) -> Vec<Arc<Batch>> {
        self.held += batch.entries.len();
        self.batches.push_back(Arc::new(batch));
        let mut gone = Vec::new();
        while self.held > self.room
            && let Some(oldest) = self.batches.pop_front()
        {
            self.held -= oldest.entries.len();
            self.evicted = oldest.last();
            gone.push(oldest);
        }
        gone
    }

    /// The batches with anything after this.
    fn after(&self, sequence: u64) -> impl Iterator<Item = &Arc<Batch>> {
        let from = self.batches.partition_point(|batch| batch.last() <= sequence);
        self.batches.range(from..)
    }
}

/// What is kept of what happened.
#[derive(Debug)]
pub struct Journal {
    life: u64,
    last: u64,
    tree: Ring,
    tasks: Ring,
    evicted: u64,
}

impl Journal {
    /// An empty journal of a process's life, which goes by a number that no other life has.
    pub fn new(life: u64, limits: JournalLimits) -> Self {
        Self { life, last: 0, tree: Ring::new(limits.tree), tasks: Ring::new(limits.tasks), evicted: 0 }
    }

    /// The latest place.
    pub fn tip(&self) -> Cursor {
        Cursor { life: self.life, sequence: self.last }
    }

    /// The oldest place from which nothing of these rings is missing.
    pub fn oldest(&self, of: Classes) -> Cursor {
        let evicted = self.asked(of).map(|ring| ring.evicted).max().unwrap_or(self.last);
        Cursor { life: self.life, sequence: evicted }
    }

    /// Entries that were written since the beginning.
    pub fn written(&self) -> u64 {
        self.last
    }

    /// Entries that are gone.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Writes entries of one place, and says what is forgotten for them. A batch that is larger than its ring is forgotten as it comes.
    pub fn write(&mut self, class: Class, place: Arc<Place>, entries: Vec<Entry>) -> Vec<Arc<Batch>> {
        if entries.is_empty() {
            return Vec::new();
        }
        let first = self.last + 1;
        self.last += entries.len() as u64;
        let ring = match class {
            Class::Tree => &mut self.tree,
            Class::Tasks => &mut self.tasks,
        };
        let gone = ring.push(Batch { first, place, entries, tallies: OnceLock::new() });
        self.evicted += gone.iter().map(|batch| batch.entries.len() as u64).sum::<u64>();
        gone
    }

    /// What came after a cursor, oldest first: whole batches, until there are `up_to` entries or more.
    ///
    /// # Errors
    /// [`CursorExpired`] when something of these rings that came after it is gone, and for a cursor of another life.
    pub fn read(&self, after: Cursor, of: Classes, up_to: usize) -> Result<Page, CursorExpired> {
        let is_ours = after.life == self.life && after.sequence <= self.last;
        if !is_ours || self.asked(of).any(|ring| after.sequence < ring.evicted) {
            return Err(CursorExpired);
        }
        let mut tree = of.tree.then(|| self.tree.after(after.sequence)).into_iter().flatten().peekable();
        let mut tasks = of.tasks.then(|| self.tasks.after(after.sequence)).into_iter().flatten().peekable();
        let (mut batches, mut found) = (Vec::new(), 0);
        loop {
            let tree_is_next = match (tree.peek(), tasks.peek()) {
                (None, None) => {
                    let next = self.tip();
                    return Ok(Page { after: after.sequence, batches, next, more: false });
                }
                (Some(tree), Some(tasks)) => tree.first < tasks.first,
                (tree, _) => tree.is_some(),
            };
            if found >= up_to {
                break;
            }
            let batch = if tree_is_next { tree.next() } else { tasks.next() };
            found += batch.map_or(0, |batch| batch.entries.len());
            batches.extend(batch.cloned());
        }
        let sequence = batches.last().map_or(after.sequence, |batch| batch.last());
        Ok(Page { after: after.sequence, batches, next: Cursor { life: self.life, sequence }, more: true })
    }

    fn asked(&self, of: Classes) -> impl Iterator<Item = &Ring> {
        of.tree.then_some(&self.tree).into_iter().chain(of.tasks.then_some(&self.tasks))
    }
}

/// What was read: shared with the ring, not copied.
#[derive(Debug)]
pub struct Page {
    after: u64,
    batches: Vec<Arc<Batch>>,
    next: Cursor,
    more: bool,
}

impl Page {
    /// The batches, oldest first.
    pub fn batches(&self) -> &[Arc<Batch>] {
        &self.batches
    }

    /// Where the reader stood.
    pub fn after(&self) -> u64 {
        self.after
    }

    /// Where it stands now.
    pub fn next(&self) -> Cursor {
        self.next
    }

    /// Whether more is there already.
    pub fn more(&self) -> bool {
        self.more
    }
}

//! How many tasks, instead of which: for readers who want to know what a queue does and not what became of each of its tasks.

use jiff::Timestamp;

use super::names::Place;
use super::{Changes, Entry, EventType};
use crate::task::TaskState;

/// How many entries are of one type, and left their tasks in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// What happened.
    pub kind: EventType,
    /// Where the tasks stand since; `None` where that is not what happened, or they are gone.
    pub after: Option<TaskState>,
    /// How many.
    pub count: u32,
}

/// The tallies of these entries.
pub(super) fn tallied<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Vec<Tally> {
    let mut tallies = Vec::new();
    entries.into_iter().for_each(|entry| add(&mut tallies, Tally::of(entry)));
    tallies
}

impl Tally {
    /// That of one entry.
    pub fn of(entry: &Entry) -> Self {
        let after = match &entry.changes {
            Changes::Task(change) => change.after,
            Changes::Fields(_) => None,
        };
        Self { kind: entry.kind, after, count: 1 }
    }
}

fn add(tallies: &mut Vec<Tally>, more: Tally) {
    let alike = |known: &&mut Tally| (known.kind, known.after) == (more.kind, more.after);
    match tallies.iter_mut().find(alike) {
        Some(known) => known.count = known.count.saturating_add(more.count),
        None => tallies.push(more),
    }
}

/// What happened to tasks of one place, counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted<'a> {
    /// The place in the sequence: of the last one.
    pub sequence: u64,
    /// When the last one happened.
    pub at: Timestamp,
    /// Where they belong.
    pub place: &'a Place,
    /// What happened.
    pub kind: EventType,
    /// How many, by where their tasks stand since.
    pub tallies: Vec<Tally>,
}

impl Counted<'_> {
    /// How many in all.
    pub fn count(&self) -> u32 {
        self.tallies.iter().fold(0, |sum, tally| sum.saturating_add(tally.count))
    }
}

/// Counts what happened to tasks, by place and type.
#[derive(Debug, Default)]
pub struct Counts<'a>(Vec<Counted<'a>>);

impl<'a> Counts<'a> {
    /// So many more of this place, of which the last is at this place in the sequence.
    pub fn add(&mut self, (sequence, last): (u64, &Entry), place: &'a Place, tally: Tally) {
        let alike = |known: &&mut Counted<'a>| known.kind == tally.kind && *known.place == *place;
        match self.0.iter_mut().find(alike) {
            Some(known) => {
                (known.sequence, known.at) = (sequence, last.at);
                add(&mut known.tallies, tally);
            }
            None => {
                let (kind, at, tallies) = (tally.kind, last.at, vec![tally]);
                self.0.push(Counted { sequence, at, place, kind, tallies });
            }
        }
    }

    /// What was counted.
    pub fn into_inner(self) -> Vec<Counted<'a>> {
        self.0
    }
}
